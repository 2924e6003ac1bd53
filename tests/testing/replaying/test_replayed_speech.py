"""What a network voice sent for each text, where several texts were answered with one stream of audio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import RecordedAnswer, answers_of
from piopiy_pipeline.testing.replaying.replayed_speech import resolve_speech

RATE = 1000
SPEECH = np.arange(4000, dtype=np.int16)


def line(at: float, number: int, kind: str, **data: Any) -> ExchangeLine:
    return ExchangeLine(at=at, stage="tts", service="S", id=number, kind=kind, data=data)


def request(at: float, number: int, text: str, together_with: int) -> ExchangeLine:
    return line(at, number, "request", content={"text": text, "settings": {}}, **{"with": together_with})


def audio(at: float, number: int, position: int, samples: int, *, inline: bool) -> ExchangeLine:
    return line(at, number, "audio", rate=RATE, position=position, samples=samples, inline=inline)


def word(at: float, number: int, text: str, seconds: float, *, inline: bool = False) -> ExchangeLine:
    return line(at, number, "word", word=text, seconds=seconds, inline=inline, spaced=False)


def resolved(*lines: ExchangeLine) -> list[RecordedAnswer]:
    answers = answers_of(lines, "tts")
    resolve_speech(answers, lines, lambda rate: SPEECH)
    return answers


def sound(answer: RecordedAnswer) -> list[int]:
    pieces = [part.data["sound"].pcm for part in answer.parts if part.kind == "sound"]
    return np.concatenate(pieces).tolist() if pieces else []


def words(answer: RecordedAnswer) -> list[tuple[str, float]]:
    return [
        (part.data["word"], round(part.data["seconds"], 6)) for part in answer.parts if part.kind == "word"
    ]


def test_a_voice_that_answers_each_text_by_itself_needs_no_cutting() -> None:
    first, second = resolved(
        request(1.0, 1, "One.", 1),
        word(1.1, 1, "One.", 0.0, inline=True),
        audio(1.2, 1, 0, 500, inline=True),
        request(1.3, 2, "Two.", 1),
        word(1.5, 2, "Two.", 0.6, inline=True),
        audio(1.5, 2, 500, 300, inline=True),
    )
    assert sound(first) == list(range(500))
    assert sound(second) == list(range(500, 800))
    assert words(second) == [("Two.", 0.1)], "from its own audio on"
    assert [round(part.after_s, 3) for part in second.parts] == [0.2, 0.2]


def test_one_stream_is_cut_where_the_words_of_the_next_text_begin() -> None:
    first, second = resolved(
        request(1.0, 1, "A table please.", 1),
        request(1.1, 2, "For four.", 1),
        word(1.2, 1, "A", 0.0),
        word(1.2, 1, "table", 0.3),
        word(1.2, 1, "please.", 0.6),
        audio(1.2, 1, 0, 800, inline=False),
        word(1.4, 1, "For", 1.2),
        word(1.4, 1, "four.", 1.5),
        audio(1.4, 1, 800, 1200, inline=False),
    )
    assert sound(first) == list(range(1200))
    assert sound(second) == list(range(1200, 2000))
    assert words(first) == [("A", 0.0), ("table", 0.3), ("please.", 0.6)]
    assert words(second) == [("For", 0.0), ("four.", 0.3)]


def test_without_words_the_letters_decide() -> None:
    first, second = resolved(
        request(1.0, 1, "aaaaaa", 1),
        request(1.0, 2, "aa", 1),
        audio(1.5, 1, 0, 800, inline=False),
    )
    assert (len(sound(first)), len(sound(second))) == (600, 200)


def test_the_second_text_does_not_wait_twice() -> None:
    """The replayed voice takes the second text when the first is said, and the audio was there by then."""
    _, second = resolved(
        request(1.0, 1, "aaaa", 1),
        request(1.1, 2, "aaaa", 1),
        audio(2.0, 1, 0, 500, inline=False),
        audio(2.2, 1, 500, 500, inline=False),
    )
    assert [part.after_s for part in second.parts if part.kind == "sound"] == [pytest.approx(0.2)]
