"""An STT that says nothing while the caller is heard to speak: it fails, and nobody would notice.

`MuteRecognizer` decides, without I/O. `MuteWatch` is its shell around one STT service.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.session.providers.missing_finals import LONGEST_FINAL_S, is_at_final

__all__ = ["MuteRecognizer", "MuteWatch"]

VOICED_S = 1.0
"""Less speech than this may be a cough, of which a good STT says nothing either."""
DOUBTED_VOICED_S = 0.3
"""The same for an STT that was mute the last time."""
UNPROVED = 2
"""So many sounds of that length are too many for an STT of which not a word has come in the whole call."""
WITHIN_S = 10.0
"""Speech that is longer ago does not count, in seconds, if the STT has sent words before."""
WAIT_S = 2.5
"""Words may come this much later than the end of speech, in seconds."""
LOOK_AGAIN_S = 0.5
MISSES = 3
"""An STT that was mute so many times in a row, and was asked twice, has failed for good."""

_WATCHED = (
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    ErrorFrame,
)


class MuteRecognizer:
    """Follows one STT. All times are seconds of one clock.

    Args:
        voiced_s: How much speech without a word is too much.
        wait_s: How long after speech words are waited for.
    """

    def __init__(self, *, voiced_s: float = VOICED_S, wait_s: float = WAIT_S) -> None:
        self._voiced_s = voiced_s
        self._wait_s = wait_s
        self._began: float | None = None
        self._speech: deque[tuple[float, float]] = deque(maxlen=64)  # when it ended, and how long it was
        self.misses = 0
        """How many times in a row it was mute."""
        self._proved = False

    def speech_started(self, at: float) -> None:
        """The caller has begun to speak at this time."""
        self._began = at if self._began is None else self._began

    def speech_stopped(self, at: float) -> None:
        """The caller has stopped speaking at this time."""
        if self._began is not None:
            self._speech.append((at, max(0.0, at - self._began)))
            self._began = None
        while self._proved and self._speech and self._speech[0][0] < at - WITHIN_S:
            self._speech.popleft()

    def words_came(self, at: float) -> None:
        """The STT has sent a word at this time. Many send the last ones before the VAD says that speech has ended."""
        self._proved = True
        self._speech.clear()
        if self._began is not None:
            self._began = at
        self.misses = 0

    def failed(self) -> None:
        """The STT has reported an error of its own, which is dealt with."""
        self._speech.clear()

    @property
    def owes_words(self) -> bool:
        """Whether speech has ended that was long enough, and not a word of it has come."""
        enough_s = min(self._voiced_s, DOUBTED_VOICED_S) if self.misses else self._voiced_s
        voiced_s = sum(length for _, length in self._speech)
        if not self._proved and sum(length >= DOUBTED_VOICED_S for _, length in self._speech) >= UNPROVED:
            return self._began is None
        return self._began is None and voiced_s >= enough_s

    def due(self) -> float | None:
        """Return when the STT counts as mute; None while it does not owe anything."""
        return self._speech[-1][0] + self._wait_s if self.owes_words else None

    def may_wait(self, now: float) -> bool:
        """Return whether an STT that says that it is at it is waited for."""
        return bool(self._speech) and now < self._speech[-1][0] + LONGEST_FINAL_S + WAIT_S

    def take(self, now: float) -> float | None:
        """Return how much speech was not transcribed, in seconds, if the STT counts as mute now."""
        due = self.due()
        if due is None or now < due:
            return None
        voiced_s = sum(length for _, length in self._speech)
        self._speech.clear()
        self.misses += 1
        return voiced_s


class MuteWatch:
    """Watches one STT service.

    Args:
        service: The service.
        is_active: Whether the service is the one in use, and the caller is to be heard.
        owes_words: Told whether words are waited for.
        is_mute: Called with what is wrong, and whether the service has failed for good.
    """

    def __init__(
        self,
        service: STTService,
        *,
        is_active: Callable[[], bool],
        owes_words: Callable[[bool], None],
        is_mute: Callable[[STTService, str, bool], None],
    ) -> None:
        self._service = service
        self._is_active = is_active
        self._owes_words = owes_words
        self._is_mute = is_mute
        self._recognizer = MuteRecognizer()
        self._timer: asyncio.TimerHandle | None = None
        watch_pushes(service, self._on_push, *_WATCHED)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_push(self, stage: STTService, frame: Frame) -> None:
        now = asyncio.get_running_loop().time()
        match frame:
            case InterimTranscriptionFrame() | TranscriptionFrame():
                if frame.text.strip():
                    self._recognizer.words_came(now)
            case VADUserStartedSpeakingFrame():
                self._recognizer.speech_started(now - frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                self._recognizer.speech_stopped(now - frame.stop_secs)
            case ErrorFrame() if frame.processor is self._service:
                self._recognizer.failed()
            case _:
                return
        self._set_timer()

    def _set_timer(self) -> None:
        self.close()
        if not self._is_active():
            return
        due = self._recognizer.due()
        self._owes_words(due is not None)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._take)

    def _take(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._is_active() and is_at_final(self._service) and self._recognizer.may_wait(loop.time()):
            self._timer = loop.call_later(LOOK_AGAIN_S, self._take)
            return
        voiced_s = self._recognizer.take(loop.time())
        if not self._is_active():
            return
        self._owes_words(False)
        if voiced_s is not None:
            fault = f"not a word came of {voiced_s:.1f} s of speech within {WAIT_S:g} s"
            self._is_mute(self._service, fault, self._recognizer.misses >= MISSES)
