"""An argument that cannot work is one sentence with its name, what is expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.turn_end_policy import TurnWaits

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Filler, {"answer_s": 0}, "Filler: answer_s must be more than 0 seconds, not 0"),
    (Filler, {"answer_s": "x"}, "Filler: answer_s must be a number of seconds, not 'x'"),
    (Filler, {"tool_s": float("nan")}, "Filler: tool_s must be more than 0 seconds, not nan"),
    (Filler, {"tool_s": float("inf")}, "Filler: tool_s must be more than 0 seconds, not inf"),
    (Filler, {"sound": "x"}, "Filler: sound must be True or False, not 'x'"),
    (Filler, {"says": "x.WAV"}, "Filler: says='x.WAV' would be read out: write Path('x.WAV')"),
    (Filler, {"says": 5}, "Filler: says must be a sentence, the Path of a WAV file or None, not 5"),
    (BargeInPolicy, {"language": 5}, "BargeInPolicy: language must be the code of a language"),
    (BargeInPolicy, {"speech_s": "1"}, "BargeInPolicy: speech_s must be a number of seconds, not '1'"),
    (BargeInPolicy, {"answer_s": -1}, "BargeInPolicy: answer_s must be 0 seconds or more, not -1"),
    (BargeInPolicy, {"earliest_s": 1.6}, "1.5 at most"),
    (TurnWaits, {"neutral": "x"}, "TurnWaits: neutral must be a number of seconds, not 'x'"),
    (TurnWaits, {"neutral": True}, "TurnWaits: neutral must be a number of seconds, not True"),
    (TurnWaits, {"open": 6}, "TurnWaits: open must be 5 seconds at most, not 6"),
    (TurnWaits, {"learns": "no"}, "TurnWaits: learns must be True or False, not 'no'"),
    (SpokenText, {"language": 5}, "SpokenText: language must be the code of a language"),
    (SpokenText, {"pronunciations": ["a"]}, "pronunciations must be a dict of words"),
    (SpokenText, {"pronunciations": {"a": 5}}, "of texts, not 'a': 5"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_work_is_named(make: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_work_is_taken() -> None:
    Filler(says=Path("wait.wav"), answer_s=1, sound=False)
    BargeInPolicy(answer_s=0)
    TurnWaits(answered=0, learns=False)
    SpokenText("de", pronunciations={"Siobhan": "shi vawn"})
