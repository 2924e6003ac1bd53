"""Lists of docstrings and pages that say of themselves that they are complete are compared with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.session import Session
from piopiy_pipeline.signaling.liveness import NEWER, takes_steps
from piopiy_pipeline.signaling.messages import ConversationEvent, ConversationEventName
from tests.rules.pages import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
STEPS = [name.removeprefix("event.") for name, feature in NEWER.items() if feature == "steps"]
STAGE = re.compile(r'\b(?:add_error|CallError)\(\s*"([^"]+)"')


@pytest.mark.parametrize("event", get_args(ConversationEventName))
def test_each_event_of_a_conversation_is_described_in_code_and_on_the_page(event: str) -> None:
    assert f"``{event}`` (" in str(ConversationEvent.__doc__)
    assert f"\n| `{event}` | " in PROTOCOL


@pytest.mark.parametrize("described", [ConversationEvent, CallState, Session, takes_steps])
def test_the_events_that_not_every_gateway_takes_are_named_wherever_steps_are(described: object) -> None:
    assert [event for event in STEPS if f"``{event}``" not in str(described.__doc__)] == []


def test_the_stages_of_the_event_error_are_listed() -> None:
    sources: list[Path] = [*(ROOT / "piopiy_pipeline").rglob("*.py")]
    stages = {stage for source in sources for stage in STAGE.findall(source.read_text(encoding="utf-8"))}
    assert stages >= {"checkpoint", "event loop", "flow", "hand-off", "summary"}
    (row,) = [line for line in PROTOCOL.splitlines() if line.startswith("| `error` | `stage`")]
    assert [
        one for one in stages if f"``{one}``" not in str(CallError.__doc__) or f"`{one}`" not in row
    ] == []
