"""`CallerBacklog`: what a caller said, pressed and sent that the next instance of the agent has to get. No I/O.

It stands between the caller and the agent's media stream. A call changes instances in two ways:

    lost     nobody has the call for a moment: what the caller says waits for the next instance, behind what they had
             said since their last turn was over. The lost one has taken that along; keys and messages
             it may have acted on
    moved    one instance has it until another is ready: what was said since it asked for that is kept, and heard by
             the next one, too, because the one before has not acted on it. Messages are held meanwhile, and only who
             has the call afterwards gets them (`HeldMessages`)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from piopiy_pipeline.gateway.core.call_offer import MediaPort
from piopiy_pipeline.gateway.core.held_messages import HeldMessages
from piopiy_pipeline.gateway.core.leg import Leg

__all__ = ["CallerBacklog"]

KEPT_S = 5.0
"""How much of what the caller says during a change is kept, in seconds: as much as a media stream's backlog takes."""
REPEATED_S = 0.28
"""How much of what an agent had heard when it asked for a move is heard by the next instance, too, in seconds: less
than the time for which both sides must be silent before it asks.
"""
RECENT_S = 4.0
"""How much that was passed on is kept at any time, in seconds: a sentence, for the next instance if this one is lost.
That is 128 kB at 16 kHz. So far behind may an agent be that asks for a move, too.
"""
PIECE_S = 0.02
"""Shorter pieces of audio are kept joined, up to so many seconds: what is kept is a time, however a leg cuts it."""
MAX_RECENT = 500
"""How many pieces of it are kept at most: twice what `KEPT_S` has in pieces of `PIECE_S`, for keys are pieces, too, and
two that are longer than half of it are not joined."""
NOTHING_S = -1.0
"""The position before everything that a media stream was given."""
PLACE_ERROR_S = 0.005
"""By so much two figures for one place in the caller's audio may differ, in seconds: half of the shortest piece."""
MAX_KEYS = 32
"""How many pieces of keys, and how many messages, wait for the next instance."""

Piece = bytes | str | dict[str, Any]
"""Audio, keys, or a message of the client's application."""


class CallerBacklog:
    """Passes on what the caller says, and keeps what the next instance has to hear.

    Args:
        leg: The caller's.
    """

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._waiting: deque[Piece] = deque()
        self._waiting_s = 0.0
        self._keys_waiting = self._messages_waiting = 0
        self._heard_by: MediaPort | None = None
        self._passed_s = 0.0
        self._recent: deque[tuple[float, bytes | str]] = deque(maxlen=MAX_RECENT)  # each with where it ends
        self._moves_from: float | None = None  # the position from which on the next instance hears
        self._held = HeldMessages()
        self._message_s = NOTHING_S  # the position of the latest message that was passed on
        self._on_overdue: Callable[[], None] = lambda: None
        self._understood_s = NOTHING_S  # the position up to which what was said is in the conversation

    # ------------------------------------------------------------------ what the caller does

    def audio(self, pcm: bytes, media: MediaPort | None) -> None:
        """Pass on what the caller said.

        Args:
            pcm: PCM16 mono at the leg's rate.
            media: The agent's media stream. None: nobody has the call, and the next instance hears it.
        """
        self._take(pcm, media)

    def keys(self, digits: str, media: MediaPort | None) -> None:
        """Pass on keys that the caller pressed. `media` is as in `audio`."""
        self._take(digits, media)

    def message(self, data: dict[str, Any], media: MediaPort | None) -> None:
        """Pass on a message of the client's application. `media` is as in `audio`."""
        if media is None or self._moves_from is None:
            self._take(data, media)
        else:
            self._held.add(self._passed_s, data)
            self._look_for_overdue()

    def pass_waiting(self, media: MediaPort) -> None:
        """Pass on what waits for an instance, to the one whose media stream this is."""
        while self._waiting:
            self._pass(self._waiting.popleft(), media)
        self._waiting_s = 0.0
        self._keys_waiting = self._messages_waiting = 0

    def drop_waiting(self) -> None:
        """Forget what waits, because the caller is not to be heard now. Keys and messages stay."""
        others = [one for one in self._waiting if not isinstance(one, bytes)]
        self._waiting, self._waiting_s = deque(others), 0.0
        self._message_s = NOTHING_S  # time goes on without audio, in which the agent reads it

    def understood(self) -> None:
        """Note that the caller's turn is over: what they have said so far is in the conversation."""
        self._understood_s = self._passed_s

    def forget(self) -> None:
        """Keep nothing, because the call is over: else it waits for a collection of garbage, some 200 calls later."""
        self._waiting.clear()
        self._recent.clear()
        self._waiting_s, self._heard_by = 0.0, None
        self._keys_waiting = self._messages_waiting = 0
        self._held.take()

    # ------------------------------------------------------------------ moves

    def begin_move(self, heard_s: float | None, *, on_overdue: Callable[[], None]) -> bool:
        """Keep what is said from now on, because another instance gets ready for the call.

        Args:
            heard_s: How much of the caller's audio the agent has received, in seconds; None for all of it.
            on_overdue: Called when messages cannot wait any longer: the move must be given up.

        Returns:
            False if the agent had a message to read yet when it asked for the move: it will act on it, so the call is
            to stay where it is.
        """
        heard = self._passed_s
        if heard_s is not None and self._heard_by is not None:
            heard = min(heard, heard_s + self._heard_by.caller_dropped_s)
            if self._message_s > heard - PLACE_ERROR_S:
                return False
        self._moves_from = heard - REPEATED_S
        self._on_overdue = on_overdue
        return True

    def give_up_move(self) -> None:
        """Keep no more than at any time, because the call stays where it is, where messages that were held go, too."""
        self._moves_from = None
        for _, data in self._held.take():
            if self._heard_by is not None:
                self._pass(data, self._heard_by)

    def change(self, media: MediaPort | None) -> None:
        """Have the next instance hear what was kept for it.

        Args:
            media: Its media stream, if it is ready.
        """
        since, self._moves_from = self._moves_from, None
        lost = since is None
        since = self._understood_s if since is None else since
        kept: list[tuple[float, Piece]] = [
            (at, one) for at, one in self._recent if at > since and not (lost and isinstance(one, str))
        ]
        kept += self._held.take()
        kept.sort(key=lambda placed: placed[0])  # of one place, messages come after what was said
        self._recent.clear()
        self._heard_by = None
        for _, one in kept:
            self._wait(one)
        if media is not None:
            self.pass_waiting(media)

    # ------------------------------------------------------------------ inside

    def _take(self, piece: Piece, media: MediaPort | None) -> None:
        if media is None:
            self._wait(piece)
        else:
            self.pass_waiting(media)
            self._pass(piece, media)

    def _pass(self, piece: Piece, media: MediaPort) -> None:
        if media is not self._heard_by:
            self._heard_by, self._passed_s, self._understood_s = media, 0.0, NOTHING_S
            self._message_s = NOTHING_S
            self._recent.clear()
        if isinstance(piece, dict):
            self._message_s = self._passed_s
            media.data(piece)
            return
        if isinstance(piece, bytes):
            self._passed_s += self._seconds(piece)
            media.caller_audio(piece)
        else:
            media.dtmf(piece)
        last_at, last = self._recent[-1] if self._recent else (NOTHING_S, None)
        joined = self._joined(last, piece) if last_at > self._understood_s else None
        if joined is not None:
            self._recent[-1] = self._passed_s, joined
        else:
            self._recent.append((self._passed_s, piece))
        oldest = self._passed_s - (RECENT_S if self._moves_from is None else KEPT_S)
        while self._recent[0][0] < oldest:
            self._recent.popleft()
        if self._moves_from is not None:
            self._look_for_overdue()

    def _look_for_overdue(self) -> None:
        if self._held.overdue(self._passed_s):
            self._on_overdue()

    def _wait(self, piece: Piece) -> None:
        if isinstance(piece, str):
            if self._keys_waiting < MAX_KEYS:
                self._keys_waiting += 1
                self._waiting.append(piece)
            return
        if isinstance(piece, dict):
            if self._messages_waiting < MAX_KEYS:
                self._messages_waiting += 1
                self._waiting.append(piece)
            return
        joined = self._joined(self._waiting[-1], piece) if self._waiting else None
        if joined is not None:
            self._waiting[-1] = joined
        else:
            self._waiting.append(piece)
        self._waiting_s += self._seconds(piece)
        while self._waiting_s > KEPT_S:
            at, oldest = next((at, one) for at, one in enumerate(self._waiting) if isinstance(one, bytes))
            self._waiting_s -= self._seconds(oldest)
            del self._waiting[at]

    def _joined(self, last: Piece | None, piece: Piece) -> bytes | None:
        """Return two short pieces of audio as one; None if they are not that."""
        if not isinstance(last, bytes) or not isinstance(piece, bytes):
            return None
        return last + piece if len(last) + len(piece) <= 2 * self._leg.rate * PIECE_S else None

    def _seconds(self, pcm: bytes) -> float:
        return len(pcm) / (2 * self._leg.rate)
