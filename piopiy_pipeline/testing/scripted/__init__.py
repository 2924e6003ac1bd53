"""Scripted STT, LLM and TTS providers, with latencies and faults as data."""
