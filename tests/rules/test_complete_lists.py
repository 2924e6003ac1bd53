"""Lists of docstrings and pages that say of themselves that they are complete are compared with the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from piopiy_pipeline import Agent
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.session import Session
from piopiy_pipeline.signaling.liveness import NEWER, takes_steps
from piopiy_pipeline.signaling.messages import ConversationEvent, ConversationEventName
from piopiy_pipeline.voice_agent import VoiceAgent
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


# ---------------------------------------------------------------------- docs/differences.md

PUBLISHED: dict[Callable[..., Any], str] = {
    Agent: "agent_id agent_token create_session signaling_url debug",
    VoiceAgent: "instructions tools greeting idle_timeout_secs initial_messages",
    VoiceAgent.Action: (
        "stt llm tts tts_switcher stt_switcher mcp_tools vad enable_metrics enable_usage_metrics allow_interruptions "
        "interruption_strategy telecmi_params"
    ),
    VoiceAgent.add_tool: "schema handler",
    VoiceAgent.register_tool: "name handler",
}
"""What takes arguments in Piopiy's SDK -> its arguments there."""
METHODS = {"Action", "AgentAction", "configure", "add_tool", "register_tool", "switch_service", "start"}
"""What a `VoiceAgent` of Piopiy's SDK has."""


def ours_alone() -> str:
    page = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    (listed,) = [part for part in page.split("\n\n") if part.startswith("Ours alone, and keyword-only: ")]
    return " ".join(listed.split())


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.__name__)
def test_the_page_lists_each_argument_that_is_ours_alone(published: Callable[..., Any]) -> None:
    ours = [
        argument
        for name, argument in inspect.signature(published).parameters.items()
        if name not in {"self", *PUBLISHED[published].split()}
    ]
    assert all(argument.kind is argument.KEYWORD_ONLY for argument in ours)
    listed = re.search(rf"`{published.__name__}\(([^)]*)\)`", ours_alone())
    assert listed is not None
    assert sorted(listed[1].split(", ")) == sorted(f"{argument.name}=" for argument in ours)


def test_the_page_lists_each_method_of_a_voice_agent_that_is_ours_alone() -> None:
    members = {name: getattr(VoiceAgent, name) for name in dir(VoiceAgent) if not name.startswith("_")}
    ours = {
        f"`{name}()`" if callable(member) else f"`{name}`"
        for name, member in members.items()
        if name not in METHODS
    }
    assert sorted(name for name in ours if name not in ours_alone()) == []
