"""Servers of speech-to-speech models for tests: a provider's real client talks to them, over a real WebSocket."""
