"""Sound that nobody has taken yet goes on as one frame; whatever stands behind it stays there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import TTSAudioRawFrame
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from piopiy_pipeline.compat.waiting_sound import join_waiting
from piopiy_pipeline.session.limits.joined_sound import join_last, joined


def sound(milliseconds: int, fill: int = 1, **changes: Any) -> TTSAudioRawFrame:
    frame = TTSAudioRawFrame(bytes([fill, 0]) * (16 * milliseconds), 16000, 1, context_id="turn")
    for name, value in changes.items():
        setattr(frame, name, value)
    return frame


def test_both_have_the_sound_of_both_and_the_voices_own_frames_stay_as_they_are() -> None:
    one, other = sound(100), sound(50, fill=2)
    both = joined(one, other)
    assert both is not None
    assert both.audio == one.audio + other.audio
    assert (both.id, both.num_frames, one.num_frames) == (one.id, 2400, 1600)
    assert (one.audio, other.audio) == (sound(100).audio, sound(50, fill=2).audio)


def test_no_frame_is_longer_than_a_second() -> None:
    assert joined(sound(900), sound(100)) is not None
    assert joined(sound(901), sound(100)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate": 24000},
        {"num_channels": 2},
        {"context_id": "other"},
        {"interruptible": False},
        {"transport_destination": "radio"},
        {"pts": 1},
        {"metadata": {"of": "an author"}},
        {"audio": b"\1\0\1"},
    ],
)
def test_sound_of_another_form_is_a_frame_of_its_own(changes: dict[str, Any]) -> None:
    assert joined(sound(100), sound(100, **changes)) is None
    assert joined(sound(100, **changes), sound(100)) is None


class Voice(TTSService):
    async def run_tts(self, text: str, context_id: str) -> Any:
        yield None


async def queued(*items: Any) -> list[Any]:
    """Return what a voice's queue has when these were appended, and nobody took any."""
    voice = Voice()
    join_waiting(voice, join_last)
    await voice.create_audio_context("turn")
    for item in items:
        await voice.append_to_audio_context("turn", item)
    queue = voice._audio_context_manager._contexts["turn"]
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_a_voices_queue_has_seconds_instead_of_pieces_behind_the_first_one() -> None:
    found = asyncio.run(queued(*(sound(100, fill=n) for n in range(1, 25))))
    assert [len(frame.audio) for frame in found] == [3200, 32_000, 32_000, 9600]
    assert b"".join(frame.audio for frame in found) == b"".join(
        sound(100, fill=n).audio for n in range(1, 25)
    )


def test_nothing_is_moved_before_a_words_time() -> None:
    word = WordTimestamp(word="Hello", timestamp=0.1, context_id="turn")
    found = asyncio.run(queued(sound(100), sound(100), sound(100), word, sound(100)))
    assert [len(item.audio) if isinstance(item, TTSAudioRawFrame) else item for item in found] == [
        3200,
        6400,
        word,
        3200,
    ]


def test_what_was_taken_takes_nothing_more() -> None:
    async def run() -> list[int]:
        voice = Voice()
        join_waiting(voice, join_last)
        await voice.create_audio_context("turn")
        lengths = []
        for _ in range(3):
            await voice.append_to_audio_context("turn", sound(100))
            lengths.append(len((await voice._audio_context_manager.get("turn", timeout=1)).audio))
        return lengths

    assert asyncio.run(run()) == [3200, 3200, 3200]


def test_half_a_sample_goes_before_the_sound_that_follows_it() -> None:
    odd = sound(100, audio=b"\1\0\2")
    found = asyncio.run(queued(odd, sound(100, audio=b"\0\3\0\4"), sound(100, fill=5)))
    assert b"".join(frame.audio for frame in found) == b"\1\0\2\0\3\0" + b"\4" + sound(100, fill=5).audio[:-1]
