"""Offline STT, LLM and TTS services behind pipecat's service classes, and the choice of providers by name.

Nothing is imported here: the worker processes live below this package and must not load pipecat.
"""
