"""Keys as telephone events: how they are written, and how they are sent. No I/O.

A key is sent as a tone of 160 ms followed by a pause of 80 ms, with its end packet three times, in the place of the
speech. Those that come are read by `KeyReceiver`.

Source: RFC 4733, sections 2.3 (payload) and 2.5 (procedures).
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import NamedTuple

from piopiy_pipeline.audio.frame import frame_samples

__all__ = ["KEYS", "MAX_QUEUED", "KeyEvent", "KeyPacket", "KeySender", "parse_event"]

KEYS = "0123456789*#ABCD"
"""The keys in the order of their event codes."""
MAX_QUEUED = 128
"""Keys that may wait to be sent; more are dropped."""

_PAYLOAD = Struct("!BBH")
_END = 0x80
_VOLUME = 10  # -10 dBm0, as telephones send
_TONE_FRAMES, _PAUSE_FRAMES, _ENDS = 8, 4, 3


class KeyEvent(NamedTuple):
    """The payload of a telephone event that is a key."""

    key: str
    """One of `KEYS`."""
    end: bool
    """Whether the key was let go."""
    duration: int
    """For how long it was down, on the clock of the events."""


def parse_event(payload: bytes) -> KeyEvent | None:
    """Read the payload of a telephone event. None for what is no key: a hook flash, a modem's tone, a malformed one."""
    if len(payload) < _PAYLOAD.size:
        return None
    code, flags, duration = _PAYLOAD.unpack_from(payload)
    return KeyEvent(KEYS[code], bool(flags & _END), duration) if code < len(KEYS) else None


class KeyPacket(NamedTuple):
    """A telephone event to be sent. The `first` one of a key has the marker, and its time is that of the key."""

    payload: bytes
    first: bool


class KeySender:
    """The keys that are to be sent, a packet every 20 ms.

    Args:
        clock: The rate in which durations are counted, in Hz.
    """

    def __init__(self, *, clock: int) -> None:
        self.clock = clock
        self._waiting: deque[int] = deque()
        self._code: int | None = None
        self._frame = 0

    @property
    def next_is_key(self) -> bool:
        """Whether the next 20 ms belong to a key, and not to the speech."""
        if self._code is None:
            return bool(self._waiting)
        return self._frame < _TONE_FRAMES + _ENDS - 1

    def press(self, keys: str) -> int:
        """Queue keys. Returns how many there was room for. Raises `ValueError` for a character that is not a key."""
        codes = [KEYS.index(key) for key in keys.upper()]
        room = MAX_QUEUED - len(self._waiting)
        self._waiting += codes[:room]
        return min(len(codes), room)

    def give_up(self) -> str:
        """Send no more keys. Returns those that waited, without the one that is being sent."""
        waiting = "".join(KEYS[code] for code in self._waiting)
        self._waiting.clear()
        self._code = None
        return waiting

    def next_packet(self) -> KeyPacket | None:
        """Return the packet to send in these 20 ms in the place of the speech; None: no key is due."""
        if self._code is None:
            if not self._waiting:
                return None
            self._code, self._frame = self._waiting.popleft(), 0
        self._frame += 1
        if self._frame > _TONE_FRAMES + _ENDS - 1:
            if self._frame >= _TONE_FRAMES + _ENDS - 1 + _PAUSE_FRAMES:
                self._code = None
            return None
        flags = _VOLUME | (_END if self._frame >= _TONE_FRAMES else 0)
        duration = min(self._frame, _TONE_FRAMES) * frame_samples(self.clock)
        return KeyPacket(_PAYLOAD.pack(self._code, flags, duration), first=self._frame == 1)
