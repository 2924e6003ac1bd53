"""Keys on the line: telephone events in and out, without I/O.

A key is told once, at its first packet, however many packets repeat it. It is sent as a tone of 160 ms
with a pause behind it, its end three times, in the place of the voice.

Source: RFC 4733, sections 2.3 (payload) and 2.5 (procedures).
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import NamedTuple

__all__ = ["KEYS", "MAX_QUEUED", "KeyPacket", "KeyReceiver", "KeySender"]

KEYS = "0123456789*#ABCD"
"""The keys in the order of their event codes."""
MAX_QUEUED = 128
"""Keys that may wait to be sent; more are left out."""

_PAYLOAD = Struct("!BBH")
_END = 0x80
_VOLUME = 10  # -10 dBm0, as telephones send
_LONGEST = 0xFFFF
_LATE = 1 << 16  # a time that is further back is no late packet, but of a sender with another clock
_TONE_BEATS, _PAUSE_BEATS, _ENDS = 8, 4, 3
_FRAME_MS = 20


class KeyReceiver:
    """The keys that one source presses."""

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._code = 0
        self._ended = True

    def receive(self, timestamp: int, payload: bytes) -> str:
        """The key that this packet begins: one of `KEYS`, or nothing. `timestamp` is extended: it never wraps.

        Events that are no keys (a hook flash, a modem's tone) and payloads that are none begin nothing.
        """
        if len(payload) < 4:
            return ""
        code, flags, _duration = _PAYLOAD.unpack_from(payload)
        if code >= len(KEYS) or (
            self._timestamp is not None and self._timestamp - _LATE < timestamp <= self._timestamp
        ):
            if timestamp == self._timestamp and flags & _END:
                self._ended = True
            return ""
        # A key that is held for longer than a duration can tell goes on in another segment, 2.5.1.3.
        held = (
            self._timestamp is not None
            and not self._ended
            and code == self._code
            and timestamp == self._timestamp + _LONGEST
        )
        self._timestamp, self._code, self._ended = timestamp, code, bool(flags & _END)
        return "" if held else KEYS[code]

    def forget(self) -> None:
        """Another source sends from now on: its timestamps have nothing to do with those before."""
        self._timestamp = None
        self._ended = True


class KeyPacket(NamedTuple):
    """A telephone event to be sent: `first` of its key, so with a marker and the timestamp of the moment."""

    payload: bytes
    first: bool


class KeySender:
    """The keys to be pressed, a packet every 20 ms; durations in units of `clock` Hz."""

    def __init__(self, *, clock: int) -> None:
        self._step = clock * _FRAME_MS // 1000
        self._waiting: deque[int] = deque()
        self._code: int | None = None
        self._beat = 0

    @property
    def next_is_key(self) -> bool:
        """Whether the next 20 ms are a key's, and not the voice's."""
        if self._code is None:
            return bool(self._waiting)
        return self._beat < _TONE_BEATS + _ENDS - 1

    def press(self, keys: str) -> int:
        """Send these behind those that wait; how many there was room for. Raises `ValueError` for what is no key."""
        codes = [KEYS.index(key) for key in keys.upper()]
        room = MAX_QUEUED - len(self._waiting)
        self._waiting += codes[:room]
        return min(len(codes), room)

    def beat(self) -> KeyPacket | None:
        """What to send in these 20 ms in the place of the voice; None: the voice."""
        if self._code is None:
            if not self._waiting:
                return None
            self._code, self._beat = self._waiting.popleft(), 0
        self._beat += 1
        if self._beat > _TONE_BEATS + _ENDS - 1:
            if self._beat >= _TONE_BEATS + _ENDS - 1 + _PAUSE_BEATS:
                self._code = None
            return None
        flags = _VOLUME | (_END if self._beat >= _TONE_BEATS else 0)
        duration = min(self._beat, _TONE_BEATS) * self._step
        return KeyPacket(_PAYLOAD.pack(self._code, flags, duration), first=self._beat == 1)
