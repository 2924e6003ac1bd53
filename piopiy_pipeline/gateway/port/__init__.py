"""The one TCP port: the first request of a connection decides what it becomes."""
