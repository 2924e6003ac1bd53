"""Speech and replies: offline STT, LLM and TTS behind pipecat's service classes, and who is chosen.

Nothing is imported here: the worker processes live below this package and must not load pipecat.
"""
