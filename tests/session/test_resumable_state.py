"""What one instance of the agent leaves to the next: read by this version, whichever version has written it.

`checkpoints/` holds what agents of older versions have sent. In `tests/call/test_agent.py` a call is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.session.resumable_state import (
    MAX_CHECKPOINT_BYTES,
    VERSION,
    ResumableState,
    resumable_from,
)
from piopiy_pipeline.session.tool_journal import ToolRun

RECORDED = Path(__file__).parent / "checkpoints"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "a table"}]


def checkpoint_of(*values: Any, **more: Any) -> dict[str, Any]:
    """Return the checkpoint of these values."""
    return ResumableState.of(*values, **more).to_checkpoint()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    yield lines
    logger.remove(sink)


def recorded(name: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = json.loads((RECORDED / name).read_text())
    return checkpoint


def test_what_is_written_is_read() -> None:
    checkpoint = checkpoint_of(MESSAGES, {"people": 4}, "1.4.0")
    assert checkpoint == {"version": VERSION, "messages": MESSAGES, "state": {"people": 4}, "rtvi": "1.4.0"}
    resumed = resumable_from(json.loads(json.dumps(checkpoint)))
    assert resumed == ResumableState(messages=MESSAGES, state={"people": 4}, rtvi="1.4.0")


def test_a_checkpoint_has_the_keys_that_older_agents_read_and_no_other_but_its_version() -> None:
    checkpoint = checkpoint_of(MESSAGES, {}, None)
    assert checkpoint == {"version": VERSION, "messages": MESSAGES, "state": {}}


def test_what_was_learnt_of_the_callers_pauses_goes_along() -> None:
    checkpoint = checkpoint_of(MESSAGES, {}, None, [0.8, 0.0])
    resumed = resumable_from(json.loads(json.dumps(checkpoint)))
    assert resumed is not None
    assert resumed.pauses == [0.8, 0.0]


@pytest.mark.parametrize("name", ["version_1.json", "version_1_rtvi.json"])
def test_a_checkpoint_of_an_older_agent_is_understood(name: str) -> None:
    old = recorded(name)
    resumed = resumable_from(old)
    assert resumed is not None
    assert resumed.version == VERSION
    assert (resumed.messages, resumed.state, resumed.rtvi) == (old["messages"], old["state"], old.get("rtvi"))


def test_version_1_ignored_what_it_did_not_know_and_did_without_what_was_missing() -> None:
    resumed = resumable_from({"state": None, "custom": 1})
    assert resumed == ResumableState(messages=[], state={})


def test_nothing_is_no_state() -> None:
    assert resumable_from(None) is None
    assert resumable_from({}) is None


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        ({"version": VERSION + 1, "messages": MESSAGES, "state": {}}, f"version {VERSION + 1}"),
        ({"version": "2", "messages": MESSAGES, "state": {}}, "version is '2'"),
        ({"version": 0, "messages": MESSAGES, "state": {}}, "version is 0"),
        ({"version": VERSION, "messages": MESSAGES, "state": {}, "mood": "good"}, "mood"),
        ({"version": VERSION, "messages": "hello", "state": {}}, "messages"),
        ({"version": VERSION, "messages": MESSAGES}, "state"),
    ],
)
def test_what_is_not_understood_is_logged_and_the_call_goes_on_without_it(
    checkpoint: dict[str, Any], says: str, logged: list[str]
) -> None:
    assert resumable_from(checkpoint) is None
    assert len(logged) == 1
    assert logged[0].startswith("ERROR the call is resumed without its conversation")
    assert says in logged[0]


def test_what_is_not_json_is_no_checkpoint() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        checkpoint_of(MESSAGES, {"when": object()}, None)


def test_a_conversation_that_is_too_long_is_no_checkpoint() -> None:
    with pytest.raises(ValueError, match="too long"):
        checkpoint_of([{"role": "user", "content": "x" * MAX_CHECKPOINT_BYTES}], {}, None)


def test_a_checkpoint_of_version_2_is_understood() -> None:
    resumed = resumable_from({"version": 2, "messages": MESSAGES, "state": {"people": 4}, "pauses": [0.5]})
    assert resumed == ResumableState(messages=MESSAGES, state={"people": 4}, pauses=[0.5])


def test_the_runs_of_tools_go_along() -> None:
    run = ToolRun(
        key="c.1", tool_call_id="1", name="book", arguments={"people": 4}, state="returned", result=[1]
    )
    checkpoint = checkpoint_of(MESSAGES, {}, None, tools=[run], tools_begun=7)
    resumed = resumable_from(json.loads(json.dumps(checkpoint)), "Your table")
    assert resumed is not None
    assert (resumed.tools, resumed.tools_begun, resumed.heard) == ([run], 7, "Your table")


def test_a_checkpoint_is_a_copy() -> None:
    state = {"people": [4]}
    checkpoint = checkpoint_of(MESSAGES, state, None)
    state["people"].append(5)
    assert checkpoint is not None
    assert checkpoint["state"] == {"people": [4]}
