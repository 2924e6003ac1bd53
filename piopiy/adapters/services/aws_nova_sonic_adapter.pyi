# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.services.aws_nova_sonic_adapter import *
