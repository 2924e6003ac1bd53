"""Gemini Live speaks without end, takes no leave, takes nothing: the call goes on, or ends in time. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.testing import Caller, CallerLine, Endless, Voice
from tests.support.realtime_calls import GREETING, LONG
from tests.support.virtual import PEOPLE, YES, texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from piopiy_pipeline.compat.gemini_connection import wrap_connections
from tests.support.gemini_calls import GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


def endless(speed: float | None) -> GeminiCase:
    return GeminiCase(
        LONG, "As you like.", texts=["a table", "yes"], reply_faults={1: Endless()}, voice=Voice(speed=speed)
    )


@pytest.mark.parametrize("speed", [1.5, None], ids=["at 1.5 times its speed", "at once"])
def test_a_model_that_speaks_without_end_is_cut_and_answers_the_next_turn(speed: float | None) -> None:
    case = endless(speed)
    caller = Caller().say(PEOPLE).pause(20).say(YES).pause(8)
    call = case.call(caller, agent={"limits": StreamLimits(answer_s=9)})
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    errors = [event.data["message"] for event in call.of("error")]
    assert errors == ["an answer of more than 9 s: it was cut"], call.timeline()
    said = texts(call, "bot")
    assert said[-1] == "As you like.", call.timeline()
    assert LONG in said[1], "what had come was heard"
    assert len(said[1].split()) < 3 * len(LONG.split()), said
    assert any(message.kind == "interrupted" for message in case.server.session.sent), "it has given up"


def test_a_call_ends_in_time_while_its_model_goes_on_without_end() -> None:
    async def hangs_up(line: CallerLine) -> None:
        await line.say(PEOPLE)
        await line.pause(3)

    call = endless(None).call(hangs_up, agent={"limits": StreamLimits(answer_s=6000)})
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()


def test_who_types_over_an_answer_cuts_it_off_at_the_provider_too() -> None:
    """Nobody speaks then, and no turn begins: content that is sent does it."""
    case = GeminiCase(LONG, "Bye.", texts=["a table"], voice=Voice(speed=1.2))
    caller = Caller().say(PEOPLE).pause(2).press("1#").pause(8)
    call = case.call(caller, agent={"dtmf": "text"})
    said = texts(call, "bot")
    assert said[0] == GREETING
    assert LONG.startswith(said[1])
    assert said[1] != LONG
    assert said[2:] == ["Bye."], call.timeline()
    assert any(message.kind == "interrupted" for message in case.server.session.sent)


class Stuck:
    """A connection that takes nothing from the caller's first turn on."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._stuck = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, message: str) -> None:
        if self._stuck:
            await asyncio.Event().wait()
        self._stuck = "activityStart" in message
        await self._connection.send(message)


class StuckCase(GeminiCase):
    """One whose second connection is stuck: the first is of before the conversation is known."""

    connections = 0

    def make_service(self, **options: Any) -> LLMService[Any]:
        service = super().make_service(**options)

        def wrap(connection: Any, _setup: dict[str, Any]) -> Any:
            self.connections += 1
            return Stuck(connection) if self.connections == 2 else connection

        wrap_connections(service, wrap)
        return service


def test_a_connection_that_takes_nothing_is_lost_and_the_next_one_hears_the_turn_from_its_beginning() -> None:
    case = StuckCase("For how many?", "Bye.", texts=["a table", "yes"])
    call = case.call(Caller().say(PEOPLE).pause(8).say(YES).pause(4))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert [event.data["message"] for event in call.of("error")] == [
        "the session was lost, and was opened again"
    ]
    assert texts(call, "bot") == [GREETING, "For how many?", "Bye."], call.timeline()
    assert case.server.session.heard_s > 1.0, "the whole of the first turn"
