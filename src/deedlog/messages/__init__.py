"""Commands, events and queries: typed classes, their names and versions, and how they become JSON."""
