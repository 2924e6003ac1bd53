"""Telephone carriers that stream a call's sound over a WebSocket: their messages, signatures and documents."""
