"""Several services in one place of the chain, so that one that fails or is slow is replaced by the next.

`switch.py` does it for STT and TTS, where one is active. `model_switch.py` does it for language models, where several
may answer at once and one is heard.
"""
