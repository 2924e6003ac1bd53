"""Offline STT, LLM and TTS services behind pipecat's service classes, and the choice of providers by name.

`stt/` hears and `tts/` speaks offline, each computing in the processes of `workers/`; `playbook/` answers without a
language model; `failover/` puts several services in one place. `providers.py` builds services by name.

Nothing is imported here: the worker processes live below this package and must not load pipecat.
"""
