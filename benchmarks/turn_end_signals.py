"""What a bot knows of a turn at each moment, for `benchmarks/turn_end.py`: VAD, words, smart-turn's opinion.

The model of a turn is made once and every policy is played against it. The VAD is the bot's own model and segmenter.
Words are what the offline recogniser makes of the audio up to 0.1 s after the last voiced window, as it does in a
call, and are there 110 ms later; a smart-turn takes 55 ms. These two times are fixed, so that a busy machine does not
count. Words and opinions are kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.processors.caller_level import CallerLevel
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings
from piopiy_pipeline.services.stt import moonshine_worker

__all__ = ["Moment", "Signals", "Studio", "text_of"]

Pcm = NDArray[np.int16]
VAD_S = 0.015
"""From the end of a window to its score: windows are gathered for 10 ms."""
PAUSE_S, WORDS_S, SMART_S = 0.1, 0.11, 0.055
PREROLL_S = 0.6


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that the bot learns at a time, in seconds of the line."""

    at: float
    what: str
    """``start``, ``stop``, ``words``, ``smart`` or ``sounding``."""
    value: Any = None


@dataclass(slots=True)
class Signals:
    """All moments of one turn, in order."""

    moments: list[Moment] = field(default_factory=list)
    sounding: list[tuple[float, float]] = field(default_factory=list)
    """When a voiced window is being counted."""

    def sounds_at(self, at: float) -> bool:
        """Whether a sound is under way that may become speech."""
        return any(a <= at < b for a, b in self.sounding)


class Studio:
    """Listens to turns, and keeps what it heard.

    Args:
        cache: The folder in which it keeps words and opinions.
        language: The language that is spoken.
        smart: Whether to ask smart-turn, too.
        level: Whether the VAD tells the caller from voices behind by their level, as the bot's does.
    """

    def __init__(self, cache: Path, *, language: str = "en", smart: bool = True, level: bool = True) -> None:
        self._level = level
        cache.mkdir(parents=True, exist_ok=True)
        self._file = cache / "turn_end.json"
        self._known: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._language = language
        self._smart: Any = None
        self._wants_smart = smart
        self._new = 0
        self.cpu_s = {"vad": 0.0, "words": 0.0, "smart": 0.0}
        self.heard_s = 0.0

    def close(self) -> None:
        """Write what was heard."""
        waiting = self._file.with_suffix(".new")
        waiting.write_text(json.dumps(self._known))
        waiting.rename(self._file)

    def listen(self, line: Pcm, rate: int) -> Signals:
        """Return what the bot learns of a line, int16 at 8 or 16 kHz."""
        began = time.process_time()
        shape, model = window_shape(rate), load_model()
        self.heard_s += len(line) / rate
        pcm = bytes(shape.context_bytes) + line.tobytes()
        state = SileroModel.fresh_state()
        segmenter = Segmenter(
            VadSettings(),
            window_s=shape.seconds,
            activity_s=0,
            pause_s=PAUSE_S,
            level=CallerLevel(window_s=shape.seconds) if self._level else None,
        )
        signals, started_at, sounding_from = Signals(), 0.0, None
        asks: list[tuple[float, float, float]] = []
        for number in range(len(line) // shape.samples):
            at = number * shape.window_bytes
            middle = at + shape.context_bytes
            audio = (pcm[at:middle], pcm[middle : middle + shape.window_bytes])
            (score,), (power,), state = model.score(shape, audio, state)
            end_s = (number + 1) * shape.seconds
            events = segmenter.window(score, power)
            now = end_s + VAD_S
            for event in events:
                if event is VadEvent.STARTED:
                    started_at = end_s - VadSettings().start_secs
                    signals.moments.append(Moment(now, "start"))
                elif event is VadEvent.PAUSED:
                    paused_at = end_s
                elif event is VadEvent.STOPPED:
                    signals.moments.append(Moment(now, "stop", (segmenter.silence_s, segmenter.crowded)))
                    asks.append((started_at, paused_at, now))
            starting = not segmenter.quiet and not segmenter.speaking
            if starting and sounding_from is None:
                sounding_from = now
            elif not starting and sounding_from is not None:
                signals.sounding.append((sounding_from, now))
                sounding_from = None
        self.cpu_s["vad"] += time.process_time() - began
        heard_until = 0.0  # what was heard is no pre-roll of the next utterance
        for started_at, paused_at, stopped_at in asks:
            begin = int(max(0.0, heard_until, started_at - PREROLL_S) * rate)
            heard_until = stopped_at
            heard = self.heard(line[begin : int(paused_at * rate)], rate)
            if heard:
                ready = max(stopped_at + 0.002, paused_at + VAD_S + WORDS_S)
                signals.moments.append(Moment(ready, "words", heard))
            if self._wants_smart:
                last = line[max(0, int((stopped_at - 8) * rate)) : int(stopped_at * rate)]
                signals.moments.append(Moment(stopped_at + SMART_S, "smart", self._opinion(last, rate)))
        signals.moments.sort(key=lambda moment: moment.at)
        return signals

    def words(self, pcm: Pcm, rate: int) -> str:
        """Return what the recogniser makes of an utterance, as one text."""
        return text_of(self.heard(pcm, rate))

    def heard(self, pcm: Pcm, rate: int) -> list[tuple[str, float]]:
        """Return what the recogniser makes of an utterance: words with their confidences from 0 to 1."""
        key = f"heard-{_digest(pcm, rate)}"
        if key not in self._known:
            began = time.process_time()
            words = moonshine_worker.hear(pcm.tobytes(), rate, self._language).words
            self.cpu_s["words"] += time.process_time() - began
            self._keep(key, [(word, round(float(sure), 3)) for word, sure in words])
        return [(word, sure) for word, sure in self._known[key]]

    def _opinion(self, pcm: Pcm, rate: int) -> float:
        key = f"s{_digest(pcm, rate)}"
        if key not in self._known:
            if self._smart is None:
                from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

                self._smart = LocalSmartTurnAnalyzerV3()
            began = time.process_time()
            samples = (pcm if rate == 16_000 else soxr.resample(pcm, rate, 16_000)).astype(np.float32) / 32768
            self._keep(key, float(self._smart._predict_endpoint(samples)["probability"]))
            self.cpu_s["smart"] += time.process_time() - began
        return float(self._known[key])

    def opinion_cpu_ms(self, times: int = 10) -> float:
        """Return the CPU time of one opinion of smart-turn, in ms."""
        pcm = np.random.default_rng(0).integers(-3000, 3000, 8 * 16_000).astype(np.int16)
        began = time.process_time()
        for i in range(times + 1):
            if i == 1:  # the first one loads the model
                began = time.process_time()
            self._known.pop(f"s{_digest(pcm, 16_000)}", None)
            self._opinion(pcm, 16_000)
        self._known.pop(f"s{_digest(pcm, 16_000)}", None)
        return 1000 * (time.process_time() - began) / times

    def _keep(self, key: str, value: object) -> None:
        self._known[key] = value
        self._new += 1
        if self._new % 25 == 0:
            self.close()


def text_of(words: Sequence[tuple[str, float]]) -> str:
    """Return words as a final transcript: what was heard until now is written as a sentence."""
    text = " ".join(word for word, _ in words)
    return text[:-1] + "." if text.endswith(",") else text


def _digest(pcm: Pcm, rate: int) -> str:
    return hashlib.sha256(pcm.tobytes() + str(rate).encode()).hexdigest()[:24]
