"""Frames into one stage or a chain, and what comes out."""
