"""An STT that sends interim transcripts and never the final one: the caller is answered all the same."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.session.providers.missing_finals import FINAL_S
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, longest_silence_s, texts


class InterimSTT(ScriptedSTT):
    """Sends each of its transcripts as an interim one, and the final one `late_s` later, or never."""

    def __init__(self, heard: list[str], *, late_s: float | None = None) -> None:
        super().__init__(heard)
        self._late_s = late_s

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, TranscriptionFrame) and not frame.finalized:
            await super().push_frame(InterimTranscriptionFrame(frame.text, frame.user_id, frame.timestamp))
            if self._late_s is not None:
                self.get_event_loop().call_later(self._late_s, self._send, frame)
            return
        await super().push_frame(frame, direction)

    def _send(self, frame: TranscriptionFrame) -> None:
        frame.finalized = True
        self.create_task(self.push_frame(frame), "late_final")

    def confirm_finalize(self) -> None:
        """Nothing is final here."""


class TranscriptBot:
    """A bot that answers twice."""

    def __init__(self, stt: Any) -> None:
        self._stt = stt
        self.llm = ScriptedLLM(["For how many?", "It is done."])

    async def __call__(self, call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", error_line="Sorry.")
        await agent.Action(stt=self._stt, llm=self.llm, tts=ToneTTS(), eager=False)  # each request counts
        await agent.start()


TWICE = Caller().say(PEOPLE).say(PEOPLE)


def test_the_last_interim_is_what_was_said_and_the_stt_is_reported() -> None:
    call = simulate(TranscriptBot(InterimSTT(["a table please", "for four"])), TWICE)
    assert texts(call, "user") == ["a table please", "for four"]
    assert texts(call, "bot") == ["For how many?", "It is done."]
    assert [error.data["stage"] for error in call.of("error")] == ["stt", "stt"]
    assert "no final transcript" in call.of("error")[0].data["message"]
    assert longest_silence_s(call) < 10


def test_another_stt_takes_its_place() -> None:
    second = ScriptedSTT(["and at seven"])
    bot = TranscriptBot([InterimSTT(["a table please", "for four"]), second])
    bot.llm = ScriptedLLM(["For how many?", "At what time?", "It is done."])
    call = simulate(bot, Caller().say(PEOPLE).say(PEOPLE).say(PEOPLE))
    assert texts(call, "user") == ["a table please", "for four", "and at seven"]
    assert texts(call, "bot") == ["For how many?", "At what time?", "It is done."]


def test_a_final_that_comes_late_is_not_said_twice() -> None:
    call = simulate(TranscriptBot(InterimSTT(["a table please", "for four"], late_s=FINAL_S + 0.5)), TWICE)
    assert texts(call, "user") == ["a table please", "for four"]
    assert texts(call, "bot") == ["For how many?", "It is done."]
