"""The event store: the port, the coalescing writer, and its adapters."""
