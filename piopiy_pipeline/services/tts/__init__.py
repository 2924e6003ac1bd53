"""Text to speech offline: piper and espeak-ng behind pipecat's `TTSService`, each computing in worker processes.

`piper.py` and `espeak.py` are the services, in the agent's process; `local_tts.py` is what they share. The
`*_worker.py` are the processes that compute. `speech_synthesis.py` is a voice for callers in tests.
"""
