"""`UnwrittenTurn`: the caller's audio of a turn whose words the provider has not written down yet.

A session that is lost then takes the question with it: neither its conversation nor this side's has the words. So the
next session hears the turn once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from pipecat.frames.frames import (
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken

__all__ = ["UnwrittenTurn"]

APPEND = "input_audio_buffer.append"
BEFORE_S = 3.0
"""A turn has begun so long before it is known to be one at most, in seconds."""


class UnwrittenTurn:
    """Watches one service.

    Args:
        service: The model's service, before it runs.
        pieces: So many events are kept at most, the latest.
    """

    def __init__(self, service: Any, pieces: int) -> None:
        self._events: deque[tuple[float, Any]] = deque(maxlen=pieces)
        self._proposes = False  # it is the provider that hears where speech begins and ends
        self._speaking = self._unwritten = self._is_turn = False
        self._heard = False
        watch_taken(service, self._begins, UserStartedSpeakingFrame)
        watch_taken(service, self._hears, VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame)
        watch_pushes(service, self._proposed_start, ProposedUserStartedSpeakingFrame)
        watch_pushes(service, self._proposed_stop, ProposedUserStoppedSpeakingFrame)
        watch_pushes(service, self._written, TranscriptionFrame)

    def keep(self, event: Any) -> None:
        """Keep an event with audio of the caller's, or the end of a turn, that is on its way to the provider."""
        now = asyncio.get_running_loop().time()
        self._events.append((now, event))
        if event.type != APPEND:
            self._speaking = False
        if not self._unwritten:
            self._forget_before(now - BEFORE_S)

    def cleared(self, but_s: float) -> None:
        """Take note that the provider has dropped the audio since the last turn's end, but for so many seconds."""
        moment = asyncio.get_running_loop().time() - but_s
        kept = []
        while self._events and self._events[-1][1].type == APPEND:
            kept.append(self._events.pop())
        self._events.extend(one for one in reversed(kept) if one[0] >= moment)

    @property
    def goes_on(self) -> bool:
        """Whether the caller still speaks, as our VAD hears it: the provider may have been lost before the end."""
        return self._heard

    def events(self) -> list[Any]:
        """Return what the next session is to hear once more; empty if all turns are written down."""
        return [event for _, event in self._events] if self._unwritten and self._is_turn else []

    def is_answered(self) -> None:
        """Take note that the model has answered: it has heard the turn, whether it was written down or not."""
        if not self._speaking:
            self._unwritten = self._is_turn = False

    def _begins(self, _service: Any, _frame: object) -> None:
        if not self._proposes:
            self._speaks()
        self._is_turn = True  # of words over the bot's speech, they are written down

    def _hears(self, _service: Any, frame: object) -> None:
        self._heard = isinstance(frame, VADUserStartedSpeakingFrame)

    def _proposed_start(self, _service: Any, _frame: object) -> None:
        self._proposes = True
        self._speaks()

    def _proposed_stop(self, _service: Any, _frame: object) -> None:
        self._speaking = False

    def _speaks(self) -> None:
        if not self._unwritten:
            self._is_turn = False
            self._forget_before(asyncio.get_running_loop().time() - BEFORE_S)
        self._speaking = self._unwritten = True

    def _written(self, _service: Any, _frame: object) -> None:
        if not self._speaking:  # else it is of the speech before
            self._unwritten = self._is_turn = False
            self._events.clear()

    def _forget_before(self, moment: float) -> None:
        while self._events and self._events[0][0] < moment:
            self._events.popleft()
