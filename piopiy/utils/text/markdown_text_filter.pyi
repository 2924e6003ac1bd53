# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.text.markdown_text_filter import *
