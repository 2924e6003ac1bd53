"""The caller's end of a simulated call: what callers say, and what a line and a network do to it."""
