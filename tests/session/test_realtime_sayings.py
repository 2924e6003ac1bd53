"""What a speech-to-speech model is told to say while a tool runs: a filler, and what the tool itself has it say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session.realtime.realtime_provider import said_as_it_is
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.testing import Caller, Tool
from tests.support.realtime_calls import Case
from tests.support.virtual import PEOPLE, texts


def test_a_tool_that_has_something_said_and_returns_at_once_gets_its_answer() -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        saying.append(asyncio.ensure_future(case.agents[-1].say("I have a look at that.")))
        await asyncio.sleep(0)
        await params.result_callback({"found": 2})

    saying: list[Any] = []
    case = Case((Tool("look_up"), "There are two."), texts=["how many"])
    call = case.call(Caller().say(PEOPLE).pause(6), agent={"greeting": None, "tools": [look_up]})
    assert texts(call, "bot") == ["I have a look at that.", "There are two."]
    assert not call.of("error")


@pytest.mark.parametrize(
    ("filler", "said"),
    [("Let me see.", "Let me see."), (Filler(), "One moment, please."), (None, "")],
    ids=["own words", "by default", "none"],
)
def test_the_model_says_the_filler_while_a_tool_runs(filler: Any, said: str) -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await asyncio.sleep(6)
        await params.result_callback({"found": 2})

    case = Case((Tool("look_up"), "There are two."), texts=["how many"])
    call = case.call(
        Caller().say(PEOPLE).pause(6), agent={"greeting": None, "tools": [look_up], "filler": filler}
    )
    asked = [one.body.get("response", {}).get("instructions") or "" for one in case.server.session.received]
    assert [one for one in asked if one] == ([said_as_it_is(said)] if said else [])
    assert texts(call, "bot") == ["There are two."], "a filler is no part of the conversation"
    assert said not in [message.get("content") for message in case.context]
    assert not call.of("error")
