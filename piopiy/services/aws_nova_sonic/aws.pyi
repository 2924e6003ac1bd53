# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.aws.nova_sonic.llm import *
