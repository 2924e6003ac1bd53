"""What an agent logs: little by default, everything with `debug`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from loguru import logger

from piopiy_pipeline.agent import worker_output
from piopiy_pipeline.log import MAX_FRAMES, _json_line, _line, logs_json

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
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    assert "news" in done.stderr
    assert ("a detail" in done.stderr) is detail


def test_what_is_set_up_already_is_not_made_anew() -> None:
    """It was 8 ms of each simulated call."""
    program = """
from piopiy_pipeline import log

made = []
for quiet in (True, True, False):
    log.log_to_stderr(quiet=quiet)
    made.append(log._handler)
print(*made)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    first, again, other = done.stdout.split()
    assert first == again != other


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
        timeout=300,
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


JSON_LOGGER = """
import logging, sys, warnings
from loguru import logger
from piopiy_pipeline.log import log_to_stderr

log_to_stderr()
with logger.contextualize(call_id="c1", trace_id="4bf9"):
    logger.info("line one\\nline two {}", "\\u2028 \\x1b[2K")
    logger.bind(agent_id="desk", odd=object()).warning("bound")
try:
    raise ValueError("bad")
except ValueError:
    logger.exception("it failed")
logging.getLogger("a.library").warning("from a library")
warnings.warn("old", DeprecationWarning, stacklevel=1)
logger.error("x" * 100_000)
raise RuntimeError("the end")
"""


def test_with_json_every_line_is_one_object_with_the_ids_of_call_and_trace() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", JSON_LOGGER],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PIOPIY_LOG_FORMAT": "json"},
    )
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stderr.isascii()
    first, bound, failed, library, warned, long, last = lines
    assert first["message"] == "line one\nline two \u2028 \x1b[2K"
    assert (first["level"], first["call_id"], first["trace_id"]) == ("INFO", "c1", "4bf9")
    assert first["time"].endswith("+00:00")
    assert (bound["agent_id"], bound["call_id"]) == ("desk", "c1")
    assert failed["exception"]["type"] == "ValueError"
    assert "Traceback" in failed["exception"]["traceback"]
    assert library["message"] == "a.library: from a library"
    assert "old" in warned["message"]
    assert len(long["message"]) < 10_000
    assert (last["level"], last["exception"]["message"]) == ("CRITICAL", "the end")


def test_a_form_that_there_is_not_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIOPIY_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match=r"^PIOPIY_LOG_FORMAT: 'xml' is neither text nor json$"):
        logs_json()


def down(depth: int) -> None:
    if depth == 0:
        raise KeyError("bottom")
    up(depth - 1)


def up(depth: int) -> None:
    down(depth)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_deep_traceback_is_cut_to_its_last_places(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIOPIY_LOG_FORMAT", form)
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(str(line)), format=_json_line if form == "json" else _line)
    try:
        down(300)
    except KeyError:
        logger.exception("it failed")
    finally:
        logger.remove(handler)
    assert "KeyError: 'bottom'" in lines[0]
    assert lines[0].count("File ") <= MAX_FRAMES


def test_a_crash_of_a_call_worker_is_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"Fatal Python error: Segmentation fault"
    assert worker_output._as_logged(line) == line
    monkeypatch.setenv("PIOPIY_LOG_FORMAT", "json")
    assert json.loads(worker_output._as_logged(line))["message"] == line.decode()
    own = b'{"time": "2026-11-29T16:00:00.000+00:00", "level": "INFO"}'
    assert worker_output._as_logged(own) == own
