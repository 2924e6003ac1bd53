# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.utils import *
from pipecat.audio.utils import create_file_resampler as _create_default_resampler
create_default_resampler = _create_default_resampler
