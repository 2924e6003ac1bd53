# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.vad.aic_quail_vad import *
from pipecat.audio.vad.aic_quail_vad import AICQuailVADAnalyzer as _AICVADAnalyzer
AICVADAnalyzer = _AICVADAnalyzer
