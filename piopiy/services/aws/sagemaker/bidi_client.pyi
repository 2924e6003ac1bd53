# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.aws.sagemaker.bidi_client import *
