# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.dtmf.utils import *
from pipecat.audio.dtmf.types import KeypadEntry as KeypadEntry
from pipecat.audio.resamplers.base_audio_resampler import BaseAudioResampler as BaseAudioResampler
from pipecat.audio.utils import create_file_resampler as create_file_resampler
