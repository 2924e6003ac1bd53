"""`GeminiCaller`: what the caller says while a session of Gemini Live is being opened, for the next one to hear.

Pipecat's service drops what it cannot send. Here it is kept, in its order with the beginnings and ends of turns, until
a session hears. A turn that has begun in one session and goes on in another is told the other one from its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)

from piopiy_pipeline.compat import gemini_session
from piopiy_pipeline.compat.gemini_session import Hear

__all__ = ["GeminiCaller"]

KEPT = 500
"""So many pieces of the caller's audio are kept while there is no session: 16 s of 32 ms. Of a turn, too."""

Said = tuple[Hear, Frame, tuple[bytes, int | None] | None]
"""How something is told the provider, what it is, and, of the beginning of a turn, the audio from before it."""


class GeminiCaller:
    """Stands between the caller and one service.

    Args:
        service: The service, before it runs.
        withholds: Returns whether the provider does not hear the caller, in turns that begin now.
        hears: Returns whether it hears anything any more.
    """

    def __init__(self, service: Any, withholds: Callable[[], bool], hears: Callable[[], bool]) -> None:
        self._service = service
        self._kept: deque[Said] = deque()
        self._turn: deque[Said] = deque()  # the turn under way, if the provider is told of turns
        self._begun_in: object = None  # the session that was told of its beginning
        self._tells = False
        self._withholds = withholds
        self._hears = hears
        self.is_heard = True
        """Whether the provider hears the turn under way."""
        gemini_session.lead_caller(service, self._take)

    @property
    def speaks(self) -> bool:
        """Whether a turn is under way that another session would be told from its beginning."""
        return bool(self._turn)

    def _is_withheld(self, frame: Frame) -> bool:
        if isinstance(frame, UserStartedSpeakingFrame):
            self.is_heard = not self._withholds()
        was_heard = self.is_heard
        if isinstance(frame, UserStoppedSpeakingFrame):
            self.is_heard = True
        between = isinstance(frame, InputAudioRawFrame) and not gemini_session.user_speaks(self._service)
        return not (was_heard and self._hears()) or (between and self._withholds())

    async def _take(self, hear: Hear, frame: Frame) -> None:
        if self._is_withheld(frame):
            return
        before = (
            gemini_session.preroll(self._service) if isinstance(frame, UserStartedSpeakingFrame) else None
        )
        waits = bool(self._kept) or not gemini_session.hears(self._service)
        if waits or not await self._tell((hear, frame, before)):
            _add(self._kept, (hear, frame, before))

    async def _tell(self, said: Said) -> bool:
        """Tell the session that stands. Returns whether its connection has taken it."""
        hear, frame, before = said
        if isinstance(frame, UserStartedSpeakingFrame):
            self._turn.clear()
            self._begun_in = gemini_session.session_of(self._service)
            if before is not None:
                gemini_session.put_preroll(self._service, before)
        speaks = isinstance(frame, UserStartedSpeakingFrame) or gemini_session.user_speaks(self._service)
        await hear(frame)
        if not gemini_session.hears(self._service):
            return False
        if speaks and gemini_session.turns_are_told(self._service):
            _add(self._turn, said)
        if isinstance(frame, UserStoppedSpeakingFrame):
            self._turn.clear()
        return True

    async def goes_on(self) -> None:
        """Have the session that stands hear what none has heard."""
        if self._tells or not gemini_session.hears(self._service):
            return
        if self._turn and self._begun_in is not gemini_session.session_of(self._service):
            self._kept.extendleft(reversed(self._turn))
            self._turn.clear()
        self._tells = True
        try:
            while self._kept and gemini_session.hears(self._service):
                if await self._tell(self._kept[0]):
                    self._kept.popleft()
        finally:
            self._tells = False


def _add(kept: deque[Said], said: Said) -> None:
    """Keep something more, and drop the oldest audio if it is too much: never where a turn begins or ends."""
    kept.append(said)
    if len(kept) > KEPT:
        oldest = next((n for n, one in enumerate(kept) if isinstance(one[1], InputAudioRawFrame)), 0)
        del kept[oldest]
