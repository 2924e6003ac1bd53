"""What an agent logs: little by default, everything with `debug`."""

from __future__ import annotations

import os
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


FORGED = "\n12:00:00.000 ERROR   forged\r\x1b[2K\u2028\x9b31m\u202egnp.exe\udc80"
FORGER = f"""
from loguru import logger
from piopiy_pipeline.log import log_to_stderr

log_to_stderr()
forged = {FORGED!r}
logger.info("a call from {{}}", forged)
logger.bind(call_id="1" + forged).warning("bound")
with logger.contextualize(call_id="1" + forged):
    logger.info("{{{{not a placeholder}}}} <red>no markup</red> {{}}", forged)
try:
    raise ValueError("a bad name: " + forged)
except ValueError:
    logger.exception("it failed: {{}}", forged)
import logging
logging.getLogger("a.library").warning("a call from %s", forged)
"""


def test_no_text_of_a_caller_forges_a_line_of_the_log_or_controls_the_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGER],
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    log = done.stderr.decode()
    records = [line for line in log.splitlines() if not line.startswith("  | ")]
    assert len(records) == 5, log
    assert all("\\n12:00:00.000 ERROR   forged\\r\\x1b[2K" in line for line in records)
    assert "{not a placeholder} <red>no markup</red>" in records[2]
    assert log.count("  | ValueError: a bad name: ") == 1
    assert not any(line.startswith("12:00:00.000") for line in log.splitlines())
    assert not set(log) & set("\r\x1b\u2028\x9b\u202e")
