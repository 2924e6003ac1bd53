"""What is kept of a greeting that was not made to its end: nothing, or every later caller would hear half of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import WebsocketTTSService

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate_many
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import hang_up_when_answered
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import spoken_s

GREETING = "Welcome to the Blue Door."
WHOLE_S = 0.06 * len(GREETING)
PIECE_S = 0.1


class SocketTTS(WebsocketTTSService):
    """A voice whose sound comes by a connection, a tenth of a second of it at a time.

    Args:
        asked: What it was asked for.
        lost_after: So many pieces before the connection is lost; it is there again at once.
    """

    def __init__(self, asked: list[str], *, lost_after: int | None = None) -> None:
        settings = TTSSettings(model=None, voice=None, language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings)
        self._ask = asked.append
        self._is_lost = lambda number: number == lost_after  # no plain data: it is the same voice

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self._ask(text)
        self.create_task(self._send(text, context_id), "send")
        yield None

    async def _send(self, text: str, context_id: str) -> None:
        pcm = ToneTTS().sound(text, self.sample_rate).tobytes()
        step = int(PIECE_S * self.sample_rate) * 2
        for number, at in enumerate(range(0, len(pcm), step)):
            if self._is_lost(number):
                await self._disconnect()
                return
            await asyncio.sleep(PIECE_S)
            piece = TTSAudioRawFrame(pcm[at : at + step], self.sample_rate, 1, context_id=context_id)
            await self.append_to_audio_context(context_id, piece)
        await self.remove_audio_context(context_id)

    async def _connect(self) -> None: ...

    async def _connect_websocket(self) -> None: ...

    async def _disconnect_websocket(self) -> None: ...

    async def _receive_messages(self) -> None: ...


class FallsSilent(ToneTTS):
    """Answers each text itself, reports an error in the middle of the first, and says no more of it."""

    def __init__(self, asked: list[str], *, fails: bool = False) -> None:
        super().__init__()
        self._ask = asked.append
        self._fails = lambda: fails and len(asked) == 1  # no plain data: it is the same voice

    async def run_tts(self, text: str, context_id: str) -> Any:
        self._ask(text)
        async for frame in super().run_tts(text[: len(text) // 2] if self._fails() else text, context_id):
            yield frame
        if self._fails():
            await self.push_error("the rest did not come")


class Splits(ToneTTS):
    """A provider whose pieces end at any byte, as those of an HTTP stream do."""

    def __init__(self, asked: list[str], sizes: tuple[int, ...]) -> None:
        super().__init__()
        self._ask = asked.append
        self._sizes = sizes

    async def run_tts(self, text: str, context_id: str) -> Any:
        self._ask(text)
        pcm, at = self.sound(text, self.sample_rate).tobytes(), 0
        for size in (*self._sizes, len(pcm)):
            if at < len(pcm):
                yield TTSAudioRawFrame(pcm[at : at + size], self.sample_rate, 1, context_id=context_id)
            at += size


def greeted_twice(first: Caller, *voices: Any) -> tuple[list[SimulatedCall], list[list[str]]]:
    """Have two callers call one after the other, each greeted by the next of these voices.

    Returns:
        The calls, and what each of the voices was asked to say.
    """
    left, asked = list(voices), [list[str]() for _ in voices]

    async def bot(call: Call) -> None:
        if len(left) < len(voices):
            await asyncio.sleep(5)  # the first call is over by then
        agent = VoiceAgent(instructions="Be brief.", greeting=GREETING, call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=left.pop(0)(asked[-len(left) - 1]))
        if not left:
            hang_up_when_answered(agent)
        await agent.start()

    async def later(line: Any) -> None:
        await line.at(20)

    return list(simulate_many(bot, [first, later])), asked


def test_a_greeting_that_came_by_a_connection_is_kept() -> None:
    calls, asked = greeted_twice(Caller().pause(3).hangup(), SocketTTS, SocketTTS)
    assert asked == [[GREETING], []]
    assert spoken_s(calls[1]) == pytest.approx(spoken_s(calls[0]), abs=0.05)


def test_a_caller_who_hangs_up_in_the_greeting_leaves_no_half_of_it_for_the_next_one() -> None:
    calls, asked = greeted_twice(Caller().pause(0.7).hangup(), SocketTTS, SocketTTS)
    assert asked[1] == [GREETING]
    assert spoken_s(calls[1]) == pytest.approx(WHOLE_S, abs=0.2)


def test_a_connection_that_is_lost_in_the_greeting_leaves_no_half_of_it() -> None:
    calls, asked = greeted_twice(
        Caller().pause(3).hangup(), lambda asked: SocketTTS(asked, lost_after=5), SocketTTS
    )
    assert asked[1] == [GREETING]
    assert spoken_s(calls[1]) == pytest.approx(WHOLE_S, abs=0.2)


def test_a_voice_that_reports_an_error_in_the_greeting_leaves_no_half_of_it() -> None:
    calls, asked = greeted_twice(
        Caller().pause(6).hangup(), lambda asked: FallsSilent(asked, fails=True), FallsSilent
    )
    assert asked[1] == [GREETING]
    assert spoken_s(calls[1]) == pytest.approx(WHOLE_S, abs=0.2)


@pytest.mark.parametrize("sizes", [(999, 1001), (1000, 1, 1000)], ids=["odd", "a_byte_alone"])
def test_pieces_that_end_in_the_middle_of_a_sample_are_the_same_sound_again(sizes: tuple[int, ...]) -> None:
    (first, second), asked = greeted_twice(
        Caller().pause(3).hangup(), *[lambda asked: Splits(asked, sizes)] * 2
    )
    assert asked == [[GREETING], []]
    loud = [call.bot_audio[call.bot_audio != 0].tolist() for call in (first, second)]
    assert loud[0] == loud[1]
