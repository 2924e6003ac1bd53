"""What is Amazon Nova Sonic's own. `test_every_provider.py` has the rest."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    NovaSonicServer,
    Replies,
    Tool,
    Transcripts,
    Voice,
)
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG
from tests.support.realtime_providers import NovaCase
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pipecat's ready.wav


def test_the_first_generation_takes_no_texts() -> None:
    provide_aws_sdk()
    from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService

    settings = AWSNovaSonicLLMService.Settings(model="amazon.nova-sonic-v1:0")
    call = NovaCase("Hello.").call(Caller().pause(1), service={"settings": settings})
    call.assert_ended(EndReason.ERROR)
    assert "AWSNovaSonicLLMService cannot be told yet what to say" in call.end_detail


def test_who_speaks_while_the_answer_to_a_tool_is_awaited_has_a_turn_that_ends() -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        await asyncio.sleep(0.5)
        await params.result_callback({"booked": True})

    async def caller(line: CallerLine) -> None:
        await line.at(4.5)
        await line.say(PEOPLE)
        await line.at(11.1)
        await line.say(YES)
        await line.pause(8)

    case = NovaCase()
    replies = Replies([Tool("book"), "It is booked."], "For two, certainly.", latency=2.5)
    case.server = NovaSonicServer(replies, ears=Transcripts(texts=["a table please", "yes"]))
    call = case.call(caller, agent={"tools": [book], "filler": None})
    call.assert_no_error()
    assert texts(call, "user") == ["a table please", "yes"]
    assert texts(call, "bot")[-1] == "For two, certainly.", call.timeline()
    ends = [event.at for event in call.of("turn_end")]
    assert len(ends) == 2, call.timeline()
    assert call.of("tool_result")[0].at < call.of("user_speech")[1].data["start"]
    assert ends[1] > call.of("user_speech")[1].data["end"]


def test_the_session_that_follows_is_told_what_was_heard() -> None:
    """pipecat's service changes to it while the bot speaks; here at each answer, and not after 6 minutes."""

    def answer(context: LLMContext) -> str:
        said = [one for one in context.get_messages() if isinstance(one, dict) and one["role"] == "user"]
        return LONG if said[-1]["content"] == "a table please" else "Bye."

    provide_aws_sdk()
    from pipecat.services.aws.nova_sonic.session_continuation import SessionContinuationParams

    ears = Transcripts(texts=["a table please", "no wait", "yes"])
    case = NovaCase()
    case.server = NovaSonicServer(Replies(otherwise=answer), ears=ears, voice=Voice(speed=4.0))
    continuation = SessionContinuationParams(transition_threshold_seconds=0)
    caller = Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5).say(YES)
    call = case.call(caller, service={"session_continuation": continuation})
    assert not call.of("error"), call.timeline()
    heard = texts(call, "bot")[1]
    assert LONG.startswith(heard)
    assert len(heard) < len(LONG)
    begun_so = [
        [one["content"] for one in session.conversation()]
        for session in case.server.sessions
        if session.hears
    ]
    while_said, later = begun_so[1], begun_so[2]
    assert while_said[:5] == ["Be brief.", "[The call has begun.]", GREETING, "a table please", LONG]
    assert any(text.endswith(f"no more than this: {heard}]") for text in while_said), while_said
    assert later[:7] == [*while_said[:4], heard, "no wait", "Bye."]
