"""A provider fails, or a stage misbehaves: what the caller hears, and how the call ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.running import CLOSING_LINE
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.bots import BOTS, ask, voice
from tests.support.calls import CallLog, house
from tests.support.openai_server import Answer, Endpoint, endpoint
from tests.support.services import SECONDS_A_CHARACTER, ScriptedLLM, ScriptedSTT, ToneTTS

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
        agent.on("error", self.errors.append)

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


def scripted_bot(
    *replies: Any, greeting: str | None = None, hang_up_after: str | None = None, **options: Any
) -> Bot:
    """A bot that is asked at once (or greets), and hangs up when it was heard to say `hang_up_after`."""
    fail_first = options.pop("fail_first", 0)
    tts = options.pop("tts", None)

    async def bot(call: Call, case: Case) -> CallEnd:
        speaker = tts() if tts else ListeningTTS(case, fail_first=fail_first)
        agent = await voice(
            call, replies=list(replies), tts=speaker, greeting=greeting,
            **{"error_line": "Sorry.", "reply_timeout_secs": PATIENCE_S, **options},
        )  # fmt: skip
        case.watch(agent)
        if greeting is None:
            ask(agent)

        async def content(turn: Any) -> None:
            if hang_up_after is not None and hang_up_after in turn.text:
                await agent.hangup()

        agent.on("bot_turn", content)
        return await agent.start()

    return bot


class DeafSTT(ScriptedSTT):
    """Loses its connection when the caller first speaks: two errors for one fault."""

    def __init__(self) -> None:
        super().__init__(["anybody there"])
        self._lost = False

    async def process_frame(self, frame: Any, direction: Any) -> None:
        if type(frame).__name__ == "VADUserStartedSpeakingFrame" and not self._lost:
            self._lost = True
            await self.push_error("connection lost")
            await self.push_error("cannot reconnect")
        await super().process_frame(frame, direction)


class HangingTTS(ToneTTS):
    """Takes the text, and never makes a sound."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        await asyncio.Event().wait()
        yield None


def test_a_tts_that_fails_is_apologised_for_by_a_recording() -> None:
    fine = "All is well. So it is."

    async def scenario() -> None:
        cases = await play(
            {
                "once": scripted_bot(fine, fine, fail_first=1, hang_up_after="So it is."),
                "greeting": scripted_bot(greeting=fine, fail_first=1, hang_up_after="All is well"),
                "always": scripted_bot(fine, fine, fail_first=99),
                "hangs": scripted_bot(fine, fine, tts=HangingTTS),
            }
        )
        for name, case in cases.items():
            assert {error.stage for error in case.errors} == {"tts"}, name
            assert recorded_apologies(case) >= 1, name
        for name in ("once", "greeting"):
            assert cases[name].log.reason is EndReason.AGENT_HANGUP, name
            assert len(cases[name].errors) == 1, name
        assert cases["greeting"].said == [fine, fine], "what failed is what is tried again"
        for name in ("always", "hangs"):
            assert cases[name].log.reason is EndReason.ERROR, name
            assert cases[name].longest_silence_s < PATIENCE_S + BUSY_MACHINE_S, name

    asyncio.run(scenario())


def recorded_apologies(case: Case) -> int:
    """How much of the recording was heard: it is no tone, whose samples stay below 8001."""
    return int(
        sum(abs(s.pcm.astype(int)).max(initial=0) > 8100 for s in case.log.sounds if s.side == "right")
    )


def test_an_stt_that_fails_is_apologised_for_and_the_call_goes_on() -> None:
    async def bot(call: Call, case: Case) -> CallEnd:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", error_line="Sorry.", call=call)
        case.watch(agent)
        await agent.Action(stt=DeafSTT(), llm=ScriptedLLM(["I am here."]), tts=ListeningTTS(case))
        return await agent.start()

    async def scenario() -> None:
        async def create_session(call: Call) -> None:
            case.end = await bot(call, case)

        case = Case()
        async with house(create_session) as place:
            await place.call("booking/03-yes.wav", log=case.log, hangup_after_s=2.5)
        assert case.log.reason is EndReason.CALLER_HANGUP
        assert [error.stage for error in case.errors] == ["stt"]
        assert case.said == ["Hello.", "Sorry.", "I am here."]

    asyncio.run(scenario())


def test_an_llm_that_falls_silent_after_a_barge_in_is_noticed_too() -> None:
    async def scenario() -> None:
        case = Case()

        async def create_session(call: Call) -> None:
            agent = await voice(
                call, texts=["wait"], replies=[None, "Here I am."], greeting="Hello and welcome " * 8,
                tts=ListeningTTS(case), error_line="Sorry.", reply_timeout_secs=PATIENCE_S,
            )  # fmt: skip
            case.watch(agent)
            case.end = await agent.start()

        async with house(create_session) as place:
            await place.call("booking/03-yes.wav", log=case.log, interrupt_s=1.0, hangup_after_s=5)
        assert [error.stage for error in case.errors] == ["llm"]
        assert case.said[-2:] == ["Sorry.", "Here I am."]

    asyncio.run(scenario())


def test_a_stage_that_misbehaves_does_not_keep_a_call_from_ending() -> None:
    def bot(name: str) -> Bot:
        async def run(call: Call, case: Case) -> CallEnd:
            end = await BOTS[name](call, {})
            assert isinstance(end, CallEnd)
            return end

        return run

    names = ("swallows_end", "swallows_cancel", "cleanup_hangs", "tool_hangs", "errors_in_a_loop")

    async def scenario() -> None:
        with logged() as lines:
            cases = await play({name: bot(name) for name in names}, hangup_after_s=20)
        for name in ("swallows_end", "cleanup_hangs"):
            assert cases[name].log.reason is EndReason.AGENT_HANGUP, name
        for name in ("swallows_cancel", "tool_hangs"):
            assert cases[name].log.reason is EndReason.IDLE_TIMEOUT, name
        assert cases["errors_in_a_loop"].log.reason is EndReason.ERROR
        assert len(cases["errors_in_a_loop"].log.of("error")) <= 2, "a provider in a loop floods nobody"
        for name, case in cases.items():
            call_id = case.log.of("ringing")[0]["call_id"]
            reason = case.log.reason.value
            assert any(mark == call_id and f"call ended: {reason}" in line for mark, line in lines), name

    asyncio.run(scenario())


def test_a_goodbye_said_after_a_tool_hung_up_is_heard_in_full() -> None:
    goodbye = "Thank you for calling, and have a very nice evening."

    async def scenario() -> None:
        ends: list[CallEnd] = []

        async def create_session(call: Call) -> None:
            async def end_call(params: FunctionCallParams) -> None:
                """End the call."""
                await agent.hangup()
                await params.result_callback({"done": True})

            agent = await voice(call, replies=[("end_call", {}), goodbye], tools=[end_call])
            ask(agent)
            ends.append(await agent.start())

        async with house(create_session) as place:
            log = await place.call(hangup_after_s=10)
        assert log.reason is EndReason.AGENT_HANGUP
        assert log.texts("bot") == [goodbye]
        loud = abs(log.heard.astype(int)) > 500
        assert loud.sum() > 0.9 * 0.06 * len(goodbye) * 16000
        assert [end.reason for end in ends] == [EndReason.AGENT_HANGUP]

    asyncio.run(scenario())
