"""An STT that sends interim transcripts and never the final one: what it sent last is what the caller said.

Without the final transcript the caller's turn has no words, and the bot answers nothing. `MissingFinals`
decides when a final is missing, without I/O. `FinalsWatch` is its shell around one STT service: it
passes the last interim on as the final, reports the STT as failing, and gives its place in a switch away.

An STT in this process can tell that it is still at it (`final_under_way`): a long sentence on a busy machine takes its
time. It is waited for, and meanwhile the caller's turn is kept open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import STTService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.frame_taps import filter_pushes, watch_pushes
from piopiy_pipeline.services.stt.withdrawn_interim import WithdrawnInterimFrame

__all__ = ["FINAL_S", "LONGEST_FINAL_S", "FinalsWatch", "MissingFinals", "is_at_final"]

FINAL_S = 2.0
"""A final transcript may come this much later than the end of speech and the last interim, in seconds.

The slowest providers take about one second (their p99), and the caller's turn is given up after three.
"""
LONGEST_FINAL_S = 15.0
"""An STT that says that it is at it is waited for so long after the end of speech, in seconds."""
KEEP_S = 1.0
"""Meanwhile the caller's turn is kept open this often, in seconds: pipecat gives it up after three without a word."""
MISSES = 2
"""An STT whose finals are missing this many times in a row is replaced, if there is another one."""

_WATCHED = (
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    WithdrawnInterimFrame,
    ErrorFrame,
)


class MissingFinals:
    """Follows one STT. All times are seconds of one clock.

    Args:
        wait_s: How long a final transcript is waited for.
    """

    def __init__(self, *, wait_s: float = FINAL_S) -> None:
        self._wait_s = wait_s
        self._interim = ""
        self._interim_at = 0.0
        self._speaking = False
        self._has_vad = False
        self._utterance_over = False
        self._stopped_at: float | None = None  # the end of speech whose final has not come
        self.taken = False
        """Whether the last interim was taken, so that the final one comes too late if it comes."""
        self.misses = 0
        """How many finals were missing in a row."""

    def speech_started(self) -> None:
        """The VAD says that the caller speaks."""
        self._has_vad = self._speaking = True
        self._utterance_over = self.taken = False
        self._stopped_at = None

    def speech_stopped(self, now: float) -> None:
        """The VAD says that the caller has stopped."""
        self._has_vad = True
        self._speaking = False
        self._interim_at = now
        if not self._utterance_over:
            self._stopped_at = now

    def interim(self, text: str, now: float) -> None:
        """The STT has sent an interim transcript; each replaces the one before."""
        if self._has_vad and not self._speaking and (self._utterance_over or self.taken):
            return  # an afterthought to what was transcribed already
        if text.strip():
            self._interim, self._interim_at, self.taken = text, now, False

    def final(self, text: str) -> None:
        """The STT has sent a final transcript. If the last interim was `taken`, it is not to be passed on."""
        if text.strip() and not self.taken:
            self.misses = 0
        self._interim = ""
        self.taken = False
        self._utterance_over = not self._speaking
        self._stopped_at = None

    def failed(self) -> None:
        """The words so far do not count: the STT has reported an error, so that the caller is asked to say it again,
        or has taken them back.
        """
        self._interim = ""
        self._stopped_at = None

    def waited_s(self, now: float) -> float | None:
        """Return for how long a final has been waited for since the end of speech, in seconds; None: it is not."""
        return None if self._stopped_at is None else now - self._stopped_at

    def due(self) -> float | None:
        """When the last interim has to be taken for the final one; None while nothing is missing."""
        return self._interim_at + self._wait_s if self._interim and not self._speaking else None

    def take(self, now: float) -> str | None:
        """The last interim, if it is to be taken for the final transcript now."""
        due = self.due()
        if due is None or now < due:
            return None
        text, self._interim = self._interim, ""
        self.taken = self._utterance_over = True
        self._stopped_at = None
        self.misses += 1
        return text


class FinalsWatch:
    """Watches one STT service.

    Args:
        service: The service.
        spawn: Runs a coroutine beside the pipeline, until the pipeline is torn down.
        is_active: Whether the service is the one in use, if it stands in a switch.
        has_another: Whether another service can take its place.
        owes_final: Told whether the caller has stopped and a final is waited for.
        keep_turn: Called from time to time while the STT says that the final is under way.
    """

    def __init__(
        self,
        service: STTService,
        *,
        spawn: Callable[[Coroutine[Any, Any, None], str], Any],
        is_active: Callable[[], bool],
        has_another: Callable[[], bool],
        owes_final: Callable[[bool], None],
        keep_turn: Callable[[], None],
    ) -> None:
        self._service = service
        self._spawn = spawn
        self._is_active = is_active
        self._has_another = has_another
        self._owes_final = owes_final
        self._keep_turn = keep_turn
        self._finals = MissingFinals()
        self._last: InterimTranscriptionFrame | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._own: TranscriptionFrame | None = None
        watch_pushes(service, self._on_push, *_WATCHED)
        filter_pushes(service, self._accept)

    def close(self) -> None:
        """Take nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def made(self, frame: Frame) -> bool:
        """Whether this is the final transcript that was made of an interim one."""
        return frame is self._own

    def _accept(self, frame: Frame) -> bool:
        """Whether the service may push this: not a final transcript that comes too late."""
        if not isinstance(frame, TranscriptionFrame) or frame is self._own or not self._finals.taken:
            return True
        logger.debug("a final transcript came too late: {!r}", frame.text)
        self._finals.final(frame.text)
        return False

    def _on_push(self, stage: STTService, frame: Frame) -> None:
        now = asyncio.get_running_loop().time()
        match frame:
            case InterimTranscriptionFrame():
                self._finals.interim(frame.text, now)
                self._last = frame
            case TranscriptionFrame() if frame is not self._own:
                waited_s = self._finals.waited_s(now)
                self._finals.final(frame.text)
                if waited_s is not None and waited_s > FINAL_S:
                    self._report(f"a final transcript came {waited_s:.1f} s after the end of speech")
            case VADUserStartedSpeakingFrame():
                self._finals.speech_started()
            case VADUserStoppedSpeakingFrame():
                self._finals.speech_stopped(now)
            case WithdrawnInterimFrame():
                self._finals.failed()
            case ErrorFrame() if frame.processor is self._service:  # not one that passes on its way up
                self._finals.failed()
            case _:
                return
        self._set_timer()

    def _set_timer(self) -> None:
        self.close()
        now = asyncio.get_running_loop().time()
        due = self._finals.due()
        if self._finals.waited_s(now) is not None and hasattr(self._service, "final_under_way"):
            due = now + KEEP_S
        if self._is_active():
            self._owes_final(self._finals.due() is not None or self._is_at_work(now))
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._take)

    def _is_at_work(self, now: float) -> bool:
        waited_s = self._finals.waited_s(now)
        return waited_s is not None and waited_s < LONGEST_FINAL_S and is_at_final(self._service)

    def _take(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        active = self._is_active()
        if active and self._is_at_work(now):
            self._owes_final(True)
            self._keep_turn()
            self._timer = asyncio.get_running_loop().call_at(now + KEEP_S, self._take)
            return
        text = self._finals.take(now)
        if active:
            self._owes_final(self._finals.due() is not None)
        if text is not None and self._last is not None and active:
            self._spawn(self._pass_on(text, self._last), "missing_final")
        elif (due := self._finals.due()) is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._take)

    def _report(self, fault: str) -> None:
        logger.info("{}: {}", self._service, fault)
        # The caller was understood, so nobody is apologised to.
        self._spawn(self._service.push_error(fault, category=ErrorCategory.APPLICATION), "late_final")

    async def _pass_on(self, text: str, interim: InterimTranscriptionFrame) -> None:
        final = TranscriptionFrame(
            text, interim.user_id, interim.timestamp, language=interim.language, finalized=True
        )
        self._own = final
        await self._service.push_frame(final)
        if self._finals.misses >= MISSES and self._has_another():
            await self._service.set_usable(False)
        within_s = LONGEST_FINAL_S if is_at_final(self._service) else FINAL_S
        self._report(f"no final transcript came within {within_s:g} s: the last interim one is taken")


def is_at_final(service: STTService) -> bool:
    """Return whether an STT says that the words of speech which has ended are under way."""
    return bool(getattr(service, "final_under_way", False))
