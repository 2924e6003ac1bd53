"""Keys as telephone events, in both directions. No I/O.

A received key is reported once, at its first packet, however many packets repeat it. A key is sent as a tone of
160 ms followed by a pause of 80 ms, with its end packet three times, in the place of the speech.

Source: RFC 4733, sections 2.3 (payload) and 2.5 (procedures).
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import NamedTuple

from piopiy_pipeline.audio.frame import frame_samples

__all__ = ["KEYS", "MAX_QUEUED", "KeyPacket", "KeyReceiver", "KeySender"]

KEYS = "0123456789*#ABCD"
"""The keys in the order of their event codes."""
MAX_QUEUED = 128
"""Keys that may wait to be sent; more are dropped."""

_PAYLOAD = Struct("!BBH")
_END = 0x80
_VOLUME = 10  # -10 dBm0, as telephones send
_LONGEST = 0xFFFF
_LATE = 1 << 16  # a timestamp that is further back is from a sender with another clock, and not late
_TONE_FRAMES, _PAUSE_FRAMES, _ENDS = 8, 4, 3


class KeyReceiver:
    """Finds the keys in the telephone events of one source."""

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._code = 0
        self._ended = True

    def receive(self, timestamp: int, payload: bytes) -> str:
        """Take a telephone event.

        Args:
            timestamp: The timestamp of its packet, extended so that it never wraps.
            payload: The payload of its packet.

        Returns:
            The key that this packet begins, one of `KEYS`. "" for a repetition, for an event that is no key (a hook
            flash, a modem's tone), and for a malformed payload.
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
        # A key that is held for longer than the duration field can hold continues in another segment (2.5.1.3).
        held = (
            self._timestamp is not None
            and not self._ended
            and code == self._code
            and timestamp == self._timestamp + _LONGEST
        )
        self._timestamp, self._code, self._ended = timestamp, code, bool(flags & _END)
        return "" if held else KEYS[code]

    def forget(self) -> None:
        """Another source sends from now on: its timestamps are not related to those before."""
        self._timestamp = None
        self._ended = True


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
        self._step = frame_samples(clock)
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
        """Queue keys. Returns how many there was room for. Raises `ValueError` for a character that is no key."""
        codes = [KEYS.index(key) for key in keys.upper()]
        room = MAX_QUEUED - len(self._waiting)
        self._waiting += codes[:room]
        return min(len(codes), room)

    def next_packet(self) -> KeyPacket | None:
        """The packet to send in these 20 ms in the place of the speech; None: no key is due."""
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
        duration = min(self._frame, _TONE_FRAMES) * self._step
        return KeyPacket(_PAYLOAD.pack(self._code, flags, duration), first=self._frame == 1)
