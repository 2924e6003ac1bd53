"""Whole calls in virtual time: a bot's own callback, called by recordings, as an author's tests do it.

    call = simulate(bot, Caller().interrupt(YES, after=1.0))
    assert texts(call, "bot") == ["Hello."]

The bots keep their own scripted services, so what is tested is what a live agent runs: session, chain, VAD.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.testing import SimulatedCall
from tests.support.calls import AGENT_ID, AUDIO

__all__ = [
    "AT_ONCE",
    "PEOPLE",
    "YES",
    "info",
    "longest_silence_s",
    "recorded_apology_heard",
    "spoken_s",
    "spoken_with_pauses_s",
    "texts",
]

PEOPLE = AUDIO / "booking/01-people.wav"
YES = AUDIO / "booking/03-yes.wav"
AT_ONCE = AUDIO / "booking_at_once/01-everything.wav"
LOUD = 500
RECORDED = 8100
"""No sample of a scripted service's tone is as loud as this; the recorded apology is."""


def texts(call: SimulatedCall, who: Literal["user", "bot"]) -> list[str]:
    """Return what this side said, turn by turn, as far as it was heard."""
    return [str(event.data["text"]) for event in call.of(f"{who}_turn")]


BETWEEN_WORDS_S = 0.1
"""The longest silence between two words of a test's voice, in seconds."""


def spoken_s(call: SimulatedCall) -> float:
    """Return how many seconds the bot was heard, without the pauses within its sounds."""
    return float(np.count_nonzero(np.abs(call.bot_audio.astype(np.int32)) > LOUD) / call.rate)


def spoken_with_pauses_s(call: SimulatedCall) -> float:
    """Return how many seconds the bot was heard, with the pauses between words: a voice may be silent there."""
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > LOUD)
    steps = np.diff(loud)
    return float(np.sum(steps[steps <= BETWEEN_WORDS_S * call.rate]) / call.rate)


def longest_silence_s(call: SimulatedCall) -> float:
    """Return the longest time, from the answer to the bot's last sound, in which the caller heard nothing, in
    seconds.
    """
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > LOUD)
    return float(np.max(np.diff(loud, prepend=0), initial=0) / call.rate)


def recorded_apology_heard(call: SimulatedCall) -> bool:
    """Return whether the recording was heard that stands in for a voice that fails."""
    return bool(np.abs(call.bot_audio.astype(np.int32)).max(initial=0) > RECORDED)


def info(**what: object) -> CallInfo:
    """Return who calls, with this metadata."""
    return CallInfo(
        AGENT_ID, "00000000-0000-0000-0000-000000000001", "+15550100", "+15550199", dict(what), "recorded"
    )
