"""Finds, in a capture, the audio that a network voice sent for each text. Without I/O.

Some providers answer each text by itself. Others take the sentences of an answer one after the other and send
one stream of audio. The stream is cut at the times of the words if they came, or else in proportion to the
letters.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import Part, RecordedAnswer

__all__ = ["SpeechClip", "resolve_speech"]


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """A piece of speech: int16 of shape ``[samples]`` at `rate` Hz."""

    pcm: NDArray[np.int16]
    rate: int


def resolve_speech(
    answers: Iterable[RecordedAnswer],
    exchanges: Iterable[ExchangeLine],
    speech: Callable[[int], NDArray[np.int16]],
) -> None:
    """Give each answer its own audio (`sound` parts) and words (`word` parts, in seconds from the start of
    its audio).

    Args:
        answers: The answers of a network voice, which are changed.
        exchanges: The lines of the capture's exchanges.
        speech: Returns all captured audio of a sample rate in Hz, int16 of shape ``[samples]``.
    """
    groups: dict[int, list[RecordedAnswer]] = defaultdict(list)
    first = {
        line.id: line.data["with"] for line in exchanges if line.stage == "tts" and line.kind == "request"
    }
    for answer in answers:
        groups[first[answer.number]].append(answer)
    asked = {line.id: line.at for line in exchanges if line.stage == "tts" and line.kind == "request"}
    for group in groups.values():
        _resolve(group, asked, speech)


def _resolve(
    group: list[RecordedAnswer], asked: dict[int, float], speech: Callable[[int], NDArray[np.int16]]
) -> None:
    zero = asked[group[0].number]
    streamed = [
        part for part in group[0].parts if part.kind in ("audio", "word") and not part.data.get("inline")
    ]
    if streamed and len(group) > 1:
        _share_out(group, streamed, {each.number: asked[each.number] - zero for each in group}, speech)
        return
    heard = 0.0  # of the context, in seconds: the times of its words go on from sentence to sentence
    for answer in group:
        answer.parts, heard = _own(answer.parts, heard, speech)


def _own(
    parts: list[Part], start: float, speech: Callable[[int], NDArray[np.int16]]
) -> tuple[list[Part], float]:
    """Return an answer's parts with its sounds, and the position in the context at which it ends."""
    resolved: list[Part] = []
    end = start
    for part in parts:
        if part.kind == "audio":
            pcm, rate = _piece(part.data, speech), int(part.data["rate"])
            end += pcm.size / rate
            resolved.append(replace(part, kind="sound", data={"sound": SpeechClip(pcm, rate)}))
        elif part.kind == "word":
            seconds = max(0.0, float(part.data["seconds"]) - start)
            resolved.append(replace(part, data={**part.data, "seconds": seconds}))
        else:
            resolved.append(part)
    return resolved, end


def _share_out(
    group: list[RecordedAnswer],
    streamed: list[Part],
    asked: dict[int, float],
    speech: Callable[[int], NDArray[np.int16]],
) -> None:
    """Divide one stream of audio among several texts."""
    chunks = [(part.after_s, _piece(part.data, speech)) for part in streamed if part.kind == "audio"]
    words = [part for part in streamed if part.kind == "word"]
    if not chunks:
        return
    rate = int(next(part.data["rate"] for part in streamed if part.kind == "audio"))
    total = sum(pcm.size for _, pcm in chunks)
    bounds = _bounds([str(each.content["text"]) for each in group], words, total, rate)
    answered = (
        0.0  # the replayed voice takes one text after the other: this one not before the last was given
    )
    for answer, (start, end) in zip(group, bounds, strict=True):
        parts: list[Part] = []
        at, begins = 0, max(asked[answer.number], answered)
        for after_s, pcm in chunks:
            piece = pcm[max(0, start - at) : max(0, end - at)]
            if piece.size:
                answered = max(answered, after_s)
                parts.append(Part(max(0.0, after_s - begins), "sound", {"sound": SpeechClip(piece, rate)}))
            at += pcm.size
        for word in words:
            seconds = float(word.data["seconds"])
            if start <= seconds * rate < end or (answer is group[-1] and seconds * rate >= end):
                after = max(0.0, word.after_s - begins)
                data: dict[str, Any] = {**word.data, "seconds": max(0.0, seconds - start / rate)}
                parts.append(Part(after, "word", data))
        answer.parts = sorted(parts, key=lambda part: (part.after_s, part.kind == "sound"))
    for answer, following in itertools.pairwise(
        group
    ):  # only the last one that was heard may have been cut off
        answer.whole = answer.whole or any(part.kind == "sound" for part in following.parts)


def _bounds(texts: list[str], words: list[Part], total: int, rate: int) -> list[tuple[int, int]]:
    """Return where each text begins and ends in the stream, in samples."""
    counts = [len(text.split()) for text in texts]
    cuts: list[int] = []
    letters = sum(len(text) for text in texts) or 1
    for i in range(1, len(texts)):
        number = sum(counts[:i])
        if number < len(words):
            cuts.append(round(float(words[number].data["seconds"]) * rate))
        elif words:
            cuts.append(total)
        else:
            cuts.append(total * sum(len(text) for text in texts[:i]) // letters)
    edges = [0, *(min(max(0, cut), total) for cut in cuts), total]
    return list(itertools.pairwise(edges))


def _piece(data: dict[str, Any], speech: Callable[[int], NDArray[np.int16]]) -> NDArray[np.int16]:
    start = int(data["position"])
    return speech(int(data["rate"]))[start : start + int(data["samples"])]
