"""The browser leg: peer connections in leg processes, and the messages between them and the gateway."""
