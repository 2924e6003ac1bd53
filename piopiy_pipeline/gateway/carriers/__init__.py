"""Telephone carriers that stream a call's audio over a WebSocket: their messages, signatures and documents."""
