"""What an agent logs: little by default, everything with `debug`."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from loguru import logger
from piopiy_pipeline.agent.agent import Agent

async def bot(call_id): ...

Agent("desk", "token", bot, debug={debug})
logger.debug("a detail")
logger.info("news")
"""


@pytest.mark.parametrize(("debug", "detail"), [(False, False), (True, True)])
def test_debug_tells_the_details_too(debug: bool, detail: bool) -> None:
    program = PROGRAM.format(debug=debug)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "news" in done.stderr
    assert ("a detail" in done.stderr) is detail
