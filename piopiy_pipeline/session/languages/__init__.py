"""The caller's language: noticed, and followed where the author allows it."""
