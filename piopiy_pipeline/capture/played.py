"""Works out which of the bot's samples were heard and when, from what was sent and what the playout reports.

A state machine without I/O. The agent sends speech ahead of time, and the playout at the other end
reports positions. Together they give the audio as it was heard, exact to the sample within a stretch of speech.
"""

from __future__ import annotations

from dataclasses import dataclass

from piopiy_pipeline.audio.frame import FRAME_S

__all__ = ["HeardSpeech", "PlayedSpeech"]

KEPT_S = 120
"""Speech that was sent and never reported is forgotten beyond this many seconds; the link allows far less."""
KEPT_PLAYED_S = 2
"""Speech that was played and may be said again: as much as a playout keeps."""


@dataclass(frozen=True, slots=True)
class HeardSpeech:
    """What one report of the playout means.

    `pcm` (PCM16 mono) was heard from `at` on, in seconds since the answer. `began` and `stopped` are set
    where a stretch of speech begins or ends with it; `cut` says that an interruption ended it.
    """

    at: float
    pcm: bytes
    began: float | None = None
    stopped: float | None = None
    cut: bool = False


class PlayedSpeech:
    """The bot's speech of one call. All times are in seconds of one clock, which the user of this class chooses.

    Args:
        rate: The sample rate of the bot's speech in Hz; it is PCM16 mono.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._epoch = 0  # that plays
        self._waiting: dict[int, bytearray] = {0: bytearray()}
        self._sending = 0
        self._position = 0  # samples of the epoch that plays which were heard
        self._kept = bytearray()  # the last of them, which may be said again
        self._start: float | None = None  # of the stretch
        self._heard = 0  # samples of the stretch

    def sent(self, pcm: bytes) -> None:
        """Take speech that the agent has sent."""
        waiting = self._waiting[self._sending]
        waiting += pcm
        if len(waiting) > KEPT_S * self._rate * 2:
            del waiting[: len(waiting) - KEPT_S * self._rate * 2]

    def clearing(self, epoch: int) -> None:
        """Note that the agent has asked for a clear; what it sends from now on belongs to `epoch`."""
        self._sending = epoch
        self._waiting[epoch] = bytearray()

    def played(self, epoch: int, position: int, dry: bool, now: float) -> HeardSpeech | None:
        """Take a report of the playout on how far it has played.

        Args:
            epoch: The epoch that plays.
            position: How many samples of this epoch were played.
            dry: Whether there is nothing left to play.
            now: When the last frame of them was played.

        Returns:
            What was heard since the last report; None if that was nothing.
        """
        if epoch < self._epoch or epoch not in self._waiting:
            return None
        if epoch > self._epoch:  # the answer to the clear was lost
            self._begin_epoch(epoch)
        return self._take(position, now, ends=dry)

    def cleared(self, epoch: int, position: int, now: float) -> HeardSpeech | None:
        """Take the answer to a clear: at `now`, after `position` samples of the previous epoch, `epoch`
        begins.
        """
        if epoch <= self._epoch or epoch not in self._waiting:
            return None
        speaking = self._start is not None
        heard = self._take(position, now, ends=True, cut=speaking)
        self._begin_epoch(epoch)
        return heard

    def held(self, epoch: int, position: int, now: float) -> HeardSpeech | None:
        """Take the answer to a hold: at `now`, after `position` samples of `epoch`, the bot is silent."""
        if epoch != self._epoch or self._start is None:
            return None
        return self._take(position, now, ends=True, cut=True)

    def resuming(self, position: int | None) -> None:
        """Note that the speech goes on from `position`, which may be before what was heard already."""
        again = 0 if position is None else min(2 * max(0, self._position - position), len(self._kept))
        if again:
            self._waiting[self._epoch][:0] = self._kept[-again:]
            del self._kept[-again:]
            self._position -= again // 2

    def _begin_epoch(self, epoch: int) -> None:
        self._waiting = {number: pcm for number, pcm in self._waiting.items() if number >= epoch}
        self._waiting.setdefault(epoch, bytearray())
        self._epoch, self._position = epoch, 0
        self._kept.clear()
        self._start, self._heard = None, 0

    def _take(self, position: int, now: float, *, ends: bool, cut: bool = False) -> HeardSpeech | None:
        count = max(0, position - self._position)
        waiting = self._waiting[self._epoch]
        pcm = bytes(waiting[: 2 * count])
        del waiting[: 2 * count]
        self._kept += pcm
        del self._kept[: -2 * KEPT_PLAYED_S * self._rate]
        self._position = max(self._position, position)
        began = None
        if self._start is None:
            if not pcm:
                return None
            began = self._start = now - max(0.0, count / self._rate - FRAME_S)
            self._heard = 0
        at = self._start + self._heard / self._rate
        self._heard += count
        stopped = None
        if ends:
            stopped = self._start + self._heard / self._rate
            self._start = None
        return HeardSpeech(at, pcm, began, stopped, cut)
