"""Finds what the caller of a captured call did, and which event of the bot each act followed. Without I/O.

An act is something that was said, keys that were pressed, a message, or the end. It is anchored to the event
that it
followed: for example, the caller waited until the bot had spoken for the second time, or cut in 1.2 s after
the bot
had begun. So a replay waits for a bot that speaks longer today, and does not cut it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.playout import Playout
from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings

__all__ = ["Act", "Anchor", "Stretch", "acts_of", "speech_in", "stretches_of", "utterances_of"]

MERGE_BOT_S = 0.35
"""A silence of the bot that is shorter than this (in seconds) is one between two sentences."""
MERGE_CALLER_S = 1.2
"""A silence of the caller that is shorter than this, and in which the bot did nothing, is within an utterance."""
HELD_WITHIN_S = 0.05
"""The end of a stretch and the hold that ended it are as close as this, in seconds."""
START_S, STOP_S = 0.1, 0.3


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch in which the bot's voice was heard, in seconds since the answer. `end` is infinite while it
    is heard.
    """

    start: float
    end: float = float("inf")


@dataclass(frozen=True, slots=True)
class Anchor:
    """The event that an act followed, and the delay.

    The act began `delay_s` seconds after the `count`-th such event since the act before it began. `answer`
    (of the call)
    and `act` (the end of the act before) happen once. `bot_started` makes the act a barge-in. A `count` of 0 is the
    speech in which the act before began.

    `heard_s` is for how many seconds the bot was heard in all since the act before, and `silence_s` the longest silence
    between two stretches of that, in which the caller waited for more.
    """

    after: Literal["answer", "act", "bot_started", "bot_stopped"]
    delay_s: float
    count: int = 1
    heard_s: float = 0.0
    silence_s: float = 0.0

    def __str__(self) -> str:
        times = {0: "", 1: "", 2: "the second time ", 3: "the third time "}.get(
            self.count, f"for the {self.count}th time "
        )
        what = {
            "answer": "the call was answered",
            "act": "the caller had last done something",
            "bot_started": f"the bot had {times}begun to speak",
            "bot_stopped": f"the bot had {times}finished speaking",
        }[self.after]
        return f"{self.delay_s:.1f} s after {what}"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the caller did, from `start` to `end`, in seconds since the answer."""

    kind: Literal["speech", "dtmf", "message", "hangup"]
    start: float
    end: float
    anchor: Anchor
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def barges_in(self) -> bool:
        """Whether the caller cut in while the bot spoke."""
        return self.anchor.after == "bot_started"


def acts_of(capture: CapturedCall) -> list[Act]:
    """Return what the caller of a capture did, in order."""
    stretches = utterances_of(capture)
    speech = speech_in(capture.caller, capture.meta.caller_rate)
    raw: list[tuple[float, float, Literal["speech", "dtmf", "message", "hangup"], dict[str, Any]]]
    raw = [(start, end, "speech", {}) for start, end in _joined(speech, stretches)]
    for event in capture.events:
        if event.kind == "dtmf" or event.kind == "message":
            raw.append((event.at, event.at, "dtmf" if event.kind == "dtmf" else "message", event.data))
        elif event.kind == "end" and event.data.get("reason") == "caller_hangup":
            raw.append((event.at, event.at, "hangup", {}))
    raw.sort(key=lambda act: act[0])
    acts: list[Act] = []
    for start, end, kind, data in raw:
        anchor = _anchor(start, acts[-1] if acts else None, stretches)
        acts.append(Act(kind, start, end, anchor, data))
    return acts


def stretches_of(capture: CapturedCall, *, merge_s: float = MERGE_BOT_S) -> list[Stretch]:
    """Return when the bot was heard. Stretches that are less than `merge_s` seconds apart are one."""
    stretches: list[Stretch] = []
    for event in capture.events:
        if event.kind == "bot_started":
            if stretches and event.at - stretches[-1].end < merge_s:
                stretches[-1] = Stretch(stretches[-1].start)
            elif not stretches or stretches[-1].end < float("inf"):
                stretches.append(Stretch(event.at))
        elif event.kind == "bot_stopped" and stretches:
            stretches[-1] = Stretch(stretches[-1].start, event.at)
    return stretches


def utterances_of(capture: CapturedCall) -> list[Stretch]:
    """Return when the bot spoke, also where it held its speech because the caller made a sound.

    So a sound is anchored to the speech that it fell into, and not to the silence that it caused.
    """
    found: list[Stretch] = []
    for each in stretches_of(capture, merge_s=0.0):
        if found and each.start - found[-1].end < MERGE_BOT_S:
            found[-1] = Stretch(found[-1].start, each.end)
        else:
            found.append(each)
        if (until := _held_until(capture, each.end)) is not None:
            found[-1] = Stretch(found[-1].start, until)
    return found


def _held_until(capture: CapturedCall, end: float) -> float | None:
    """Return until when the bot held the speech that was heard until `end`; None if it did not hold it."""
    hold: float | None = None
    for event in capture.events:
        if event.kind == "hold" and abs(event.at - end) < HELD_WITHIN_S:
            hold = event.at
        elif hold is not None and event.kind in ("resume", "interruption"):
            return min(event.at, hold + Playout.HOLD_S)
    return None if hold is None else hold + Playout.HOLD_S


def speech_in(
    pcm: NDArray[np.int16], rate: int, *, model: SileroModel | None = None
) -> list[tuple[float, float]]:
    """Find where somebody speaks.

    It always asks Silero, whatever the bot's own VAD is: today's bot may have another VAD than the bot of the
    capture.

    Args:
        pcm: The audio, int16 of shape ``[samples]``.
        rate: Its sample rate in Hz.
        model: The model to use. None: a new one.

    Returns:
        The start and the end of each stretch of speech, in seconds.
    """
    if not pcm.size:
        return []
    model = model or load_model()
    shape = window_shape(rate)
    segmenter = Segmenter(
        VadSettings(confidence=0.6, start_secs=START_S, stop_secs=STOP_S),
        window_s=shape.seconds,
        activity_s=0,
    )
    state, context = model.fresh_state(), bytes(shape.context_bytes)
    data = pcm.astype("<i2").tobytes()
    found: list[tuple[float, float]] = []
    start: float | None = None
    begun = round(START_S / shape.seconds) * shape.seconds
    ended = round(STOP_S / shape.seconds) * shape.seconds
    windows = len(data) // shape.window_bytes
    for i in range(windows):
        window = data[i * shape.window_bytes : (i + 1) * shape.window_bytes]
        (probability,), (power,), state = model.score(shape, [context, window], state)
        context = window[-shape.context_bytes :]
        now = (i + 1) * shape.seconds
        for event in segmenter.window(probability, power):
            if event is VadEvent.STARTED:
                start = now - begun
            elif event is VadEvent.STOPPED and start is not None:
                found.append((start, now - ended))
                start = None
    if start is not None:
        found.append((start, windows * shape.seconds))
    return found


def _joined(speech: Sequence[tuple[float, float]], stretches: Sequence[Stretch]) -> list[tuple[float, float]]:
    """Join speech across its pauses into utterances, except where the bot began or ended."""
    joined: list[tuple[float, float]] = []
    for start, end in speech:
        if joined:
            before, last = joined[-1]
            disturbed = any(last < at < start for stretch in stretches for at in (stretch.start, stretch.end))
            if start - last < MERGE_CALLER_S and not disturbed:
                joined[-1] = (before, end)
                continue
        joined.append((start, end))
    return joined


def _anchor(start: float, before: Act | None, stretches: Sequence[Stretch]) -> Anchor:
    since = before.start if before else -1.0
    heard = [stretch for stretch in stretches if since < stretch.start < start]
    silence_s = max((after.start - each.end for each, after in pairwise(heard)), default=0.0)
    heard_s = sum(min(each.end, start) - each.start for each in heard)
    speaking = next((stretch for stretch in stretches if stretch.start < start < stretch.end), None)
    if speaking is not None:
        return Anchor("bot_started", start - speaking.start, len(heard), heard_s, silence_s)
    if heard:
        return Anchor("bot_stopped", start - heard[-1].end, len(heard), heard_s, silence_s)
    if before is not None:
        outlasts = next((each for each in stretches if each.start <= since and before.end < each.end), None)
        if outlasts is not None:
            return Anchor("bot_stopped", start - outlasts.end, 0)
        return Anchor("act", start - before.end)
    return Anchor("answer", start)
