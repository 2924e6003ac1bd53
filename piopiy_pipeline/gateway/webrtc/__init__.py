"""The browser leg: peer connections in processes of their own, and what the gateway says to those."""
