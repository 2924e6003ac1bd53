"""A real OpenAI client whose endpoint fails, five ways at once, on calls over real sockets.

In real time, because the client, its retries and its server are real, and so are the timeouts between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.providers.provider_failures import CLOSING_LINE
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import ask
from tests.support.calls import CallLog, house
from tests.support.openai_server import Answer, Endpoint, endpoint
from tests.support.services import SECONDS_A_CHARACTER, ScriptedSTT, ToneTTS

pytestmark = pytest.mark.realtime

PATIENCE_S = 2.0
BUSY_MACHINE_S = 1.5
FINE = Answer("fine", "A table for two.")


class Case:
    """One call, and everything that its author and its caller noticed."""

    def __init__(self) -> None:
        self.errors: list[CallError] = []
        self.said: list[str] = []
        """What the TTS was given to say."""
        self.end: CallEnd | None = None
        self.log = CallLog(16000)

    def watch(self, agent: VoiceAgent) -> None:
        def note(error: CallError) -> None:
            if error.stage != "event loop":  # a busy machine holds up the loop, and no provider does
                self.errors.append(error)

        agent.on("error", note)

    @property
    def longest_silence_s(self) -> float:
        """From the answer on: how long the caller heard nothing, at most, before the last sound."""
        sounds = [s for s in self.log.sounds if s.side == "right" and abs(s.pcm).max(initial=0) > 500]
        at, longest = 0, 0
        for sound in sounds:
            longest = max(longest, sound.position - at)
            at = max(at, sound.position + sound.pcm.size)
        return longest / 16000


class ListeningTTS(ToneTTS):
    """Remembers what it was given to say."""

    def __init__(self, case: Case, **options: Any) -> None:
        super().__init__(**options)
        self._case = case

    async def run_tts(self, text: str, context_id: str) -> Any:
        self._case.said.append(text)
        async for frame in super().run_tts(text, context_id):
            yield frame


Bot = Callable[[Call, Case], Awaitable[CallEnd | None]]


async def play(place_bots: dict[str, Bot], **call: Any) -> dict[str, Case]:
    """Call each of these bots, all at once, and return what happened on each call."""
    cases = {name: Case() for name in place_bots}

    async def create_session(call: Call, metadata: dict[str, Any]) -> None:
        name = metadata["bot"]
        cases[name].end = await place_bots[name](call, cases[name])

    async with house(create_session) as place:
        options = {"hangup_after_s": 12.0, "limit_s": 30.0, **call}
        await asyncio.gather(
            *(place.call(metadata={"bot": name}, log=case.log, **options) for name, case in cases.items())
        )
        for name, case in cases.items():
            record = next(one for one in place.ended() if one.call_id == case.log.of("ringing")[0]["call_id"])
            assert record.reason is case.log.reason, f"{name}: on the record as the caller heard it"
    return cases


def openai_bot(server: Endpoint, **options: Any) -> Bot:
    """A bot on pipecat's OpenAI service, which answers at once, is content with one answer and hangs up."""

    async def bot(call: Call, case: Case) -> CallEnd:
        agent = VoiceAgent(
            instructions="Be brief.", reply_timeout_secs=PATIENCE_S, error_line="Sorry.", call=call
        )
        case.watch(agent)
        llm = OpenAILLMService(
            api_key="none", base_url=server.url, settings=OpenAILLMService.Settings(model="test")
        )
        await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ListeningTTS(case))
        ask(agent)

        async def content(turn: Any) -> None:
            if FINE.text in turn.text:
                await agent.hangup()

        agent.on("bot_turn", content)
        return await agent.start()

    return bot


def test_an_llm_that_fails_once_is_apologised_for_and_asked_again() -> None:
    async def scenario() -> None:
        async with (
            endpoint(Answer("busy"), FINE) as busy,
            endpoint(Answer("busy", retry_after_s=30), FINE) as come_back_later,
            endpoint(Answer("silent"), FINE) as silent,
            endpoint(Answer("cut", "We have. Or rather"), FINE) as cut,
            endpoint(Answer("garbage"), FINE) as garbage,
        ):
            servers = {
                "busy": busy,
                "later": come_back_later,
                "silent": silent,
                "cut": cut,
                "garbage": garbage,
            }
            cases = await play({name: openai_bot(server) for name, server in servers.items()})
            for name, case in cases.items():
                assert case.log.reason is EndReason.AGENT_HANGUP, name
                assert FINE.text in case.said, name
                assert case.longest_silence_s < PATIENCE_S + BUSY_MACHINE_S, name
            assert not cases["busy"].errors, "the client asks again by itself, in half a second"
            for name in ("later", "silent", "cut", "garbage"):
                assert [error.stage for error in cases[name].errors] == ["llm"], name
                assert "Sorry." in cases[name].said, name

    asyncio.run(scenario())


def test_an_llm_that_fails_always_ends_the_call_with_an_apology_and_the_reason() -> None:
    async def scenario() -> None:
        async with (
            endpoint(Answer("busy")) as busy,
            endpoint(Answer("silent")) as silent,
            endpoint(Answer("cut", "We have. Or rather")) as cut,
            endpoint(Answer("garbage")) as garbage,
        ):
            servers = {"busy": busy, "silent": silent, "cut": cut, "garbage": garbage}
            cases = await play({name: openai_bot(server) for name, server in servers.items()})
            for name, case in cases.items():
                assert case.log.reason is EndReason.ERROR, name
                assert case.end is not None
                assert case.end.detail.startswith("llm: "), name
                assert len(case.errors) == 2, name
                assert "Sorry." in case.said, name
                apologies = [text for text in case.said if text in ("Sorry.", CLOSING_LINE)]
                assert apologies == ["Sorry.", CLOSING_LINE], name
                loud_s = (abs(case.log.heard.astype(int)) > 500).sum() / 16000
                assert loud_s > 0.85 * SECONDS_A_CHARACTER * len("".join(apologies)), f"{name}: heard in full"
                assert case.longest_silence_s < PATIENCE_S + BUSY_MACHINE_S, name
            assert "429" in cases["busy"].end.detail  # type: ignore[union-attr]

    asyncio.run(scenario())
