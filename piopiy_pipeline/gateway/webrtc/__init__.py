"""The browser leg: peer connections in worker processes, and the messages between them and the gateway."""
