"""Sound in one frame, however long it is: nothing works on more than a piece of it at a time. In virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import (
    AudioRawFrame,
    Frame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline import VoiceAgent
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.limits.sound_pieces import PIECE_BYTES, PIECE_S, pieces_of
from piopiy_pipeline.session.providers.mute_voice import MuteVoice
from piopiy_pipeline.testing import CallerLine, SimulatedCall, simulate
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import info, spoken_s

pytestmark = pytest.mark.usefixtures("either_bot")

RATE = 16000
HOUR_S = 3600


class OneFrameTTS(TTSService):
    """Says each text in one frame, which comes from `run_tts`, over a socket, or is pushed past all contexts."""

    def __init__(self, way: str, frame_s: float) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._way = way
        self._frame_s = frame_s

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        audio = b"\x00\x10" * int(self._frame_s * self.sample_rate)
        frame = TTSAudioRawFrame(audio, self.sample_rate, 1, context_id=context_id)
        if self._way == "run_tts":
            yield frame
        elif self._way == "socket":
            await self.append_to_audio_context(context_id, frame)
            await self.remove_audio_context(context_id)
            yield None
        else:
            await self.push_frame(frame)
            yield None


class OneFrame(FrameProcessor):
    """Pushes one frame when the pipeline starts."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self.create_task(self.push_frame(self._frame))


@pytest.fixture
def longest_s(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The longest sound that each of those who work on sound was given, in seconds."""
    longest: dict[str, float] = {}

    def note(who: str, size: int, rate: int) -> None:
        longest[who] = max(longest.get(who, 0.0), size / 2 / rate)

    def spy(owner: type, name: str, rate_of: Any = lambda rate: rate) -> None:
        original = getattr(owner, name)

        def method(self: Any, pcm: bytes, rate: int) -> Any:
            note(name, len(pcm), rate_of(rate))
            return original(self, pcm, rate)

        monkeypatch.setattr(owner, name, method)

    push = FrameProcessor.push_frame

    async def push_frame(
        self: FrameProcessor, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        if isinstance(frame, AudioRawFrame):
            note("push_frame", len(frame.audio), frame.sample_rate * frame.num_channels)
        await push(self, frame, direction)

    monkeypatch.setattr(FrameProcessor, "push_frame", push_frame)
    spy(MuteVoice, "audio")
    spy(CaptureLog, "speech")
    return longest


def called(tts: Any, *, insert: FrameProcessor | None = None, path: Path) -> SimulatedCall:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, greeting="Welcome to the museum.")
        pipeline = await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=tts)
        if insert is not None:
            pipeline.insert("mine", insert, before="user_context")
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(40.0)

    return simulate(bot, caller, info=info(), limit_s=300, record=path)


@pytest.mark.parametrize("way", ["run_tts", "socket"])
@pytest.mark.three_services("a TTS sends a text in one frame")
def test_what_a_voice_sends_in_one_frame_is_worked_on_in_pieces_and_heard_whole(
    way: str, longest_s: dict[str, float], tmp_path: Path
) -> None:
    call = called(OneFrameTTS(way, 20.0), path=tmp_path)
    assert longest_s["push_frame"] <= PIECE_S
    assert longest_s["audio"] <= PIECE_S
    assert longest_s.get("speech", 0.0) <= PIECE_S
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    assert spoken_s(call) == pytest.approx(20.0, abs=0.5)


@pytest.mark.parametrize("way", ["run_tts", "socket", "pushed"])
@pytest.mark.three_services("a TTS sends a text in one frame")
def test_of_an_hour_in_one_frame_nobody_works_on_more_than_a_piece(
    way: str, longest_s: dict[str, float], tmp_path: Path
) -> None:
    call = called(OneFrameTTS(way, HOUR_S), path=tmp_path)
    assert max(longest_s.values(), default=0.0) <= PIECE_S, longest_s
    if way != "pushed":  # of which nobody knows what text it belongs to
        assert call.end_reason is EndReason.ERROR, call.timeline()
        assert call.end_detail == "tts: 3600 s of sound for a text of 22 characters"


@pytest.mark.parametrize("kind", [OutputAudioRawFrame, InputAudioRawFrame])
def test_of_an_hour_that_a_stage_pushes_in_one_frame_nobody_works_on_more_than_a_piece(
    kind: Any, longest_s: dict[str, float], tmp_path: Path
) -> None:
    call = called(ToneTTS(), insert=OneFrame(kind(bytes(2 * RATE * HOUR_S), RATE, 1)), path=tmp_path)
    assert longest_s["push_frame"] <= PIECE_S
    assert "115200000 bytes of sound in one frame: cut after 600 s" in call.of("error")[0].data["message"]


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (24000, 2), (10**9, 1), (0, 0)])
@pytest.mark.three_services("nobody calls")
def test_pieces_are_bounded_in_bytes_and_have_whole_samples(rate: int, channels: int) -> None:
    frame = OutputAudioRawFrame(bytes(range(256)) * 5000, rate, max(1, channels))
    frame.num_channels = channels
    frame.interruptible = False
    frame.transport_destination = "there"
    pieces = list(pieces_of(frame))
    assert b"".join(piece.audio for piece in pieces) == frame.audio
    assert max(len(piece.audio) for piece in pieces) <= PIECE_BYTES
    assert all(len(piece.audio) % (2 * max(1, channels)) == 0 for piece in pieces)
    assert len({piece.id for piece in pieces}) == len(pieces)
    assert not any(piece.interruptible for piece in pieces)
    assert {piece.transport_destination for piece in pieces} == {"there"}
    assert next(pieces_of(OutputAudioRawFrame(bytes(320), 16000, 1))).audio == bytes(320)
    assert sum(len(piece.audio) for piece in pieces_of(frame, 100_000)) == 100_000
