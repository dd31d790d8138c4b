"""What the SQLite adapters share: connections, the thread they run on, the lock between writers, and their errors."""
