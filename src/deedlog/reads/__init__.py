"""Where read models are kept: the port, the row's shape, and the adapters."""
