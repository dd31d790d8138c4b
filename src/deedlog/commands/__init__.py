"""The command path: load, decide, append, retry; around it middleware and receipts."""
