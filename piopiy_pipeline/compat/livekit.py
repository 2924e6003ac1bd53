"""What the gateway's leg processes use of LiveKit's client beyond its documented interface: its native library's start
and end, and the token with which a room can be joined again.

The library is loaded by the first room, which takes a part of the time in which a call is to be accepted. When its
native code has failed inside, the client sends its own process a SIGTERM, which a leg process leaves to the gateway.
A server gives a client new tokens before the first one expires, and the client keeps the newest to itself.
"""

from __future__ import annotations

import signal
from types import SimpleNamespace

import livekit.rtc as rtc

from piopiy_pipeline.compat import check_attributes

__all__ = ["check", "end_at_panic", "load", "newest_token"]

LIVEKIT = ">=1.0.9,<2"
"""The versions that this file was written for, as in pyproject.toml."""


def check() -> None:
    """Check that the installed client has everything that this file uses.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    check_attributes("livekit", ((rtc, "_ffi_client"),), written_for=LIVEKIT, used_in=__name__)
    native = rtc._ffi_client
    check_attributes(
        "livekit",
        (
            (native, "signal"),
            (native, "FfiClient"),
            (native.FfiClient, "instance"),
            (rtc.Room, "_token"),
        ),
        written_for=LIVEKIT,
        used_in=__name__,
    )


def load() -> None:
    """Load the native library now. It takes a part of a second.

    Raises:
        ImportError: There is none for this machine.
    """
    _ = rtc._ffi_client.FfiClient.instance


def end_at_panic() -> None:
    """Have this process end at once, with signal 9, when the native code has failed inside: nothing works then."""
    ending = getattr(signal, "SIGKILL", signal.SIGTERM)
    vars(rtc._ffi_client)["signal"] = SimpleNamespace(SIGTERM=ending)


def newest_token(room: rtc.Room) -> str:
    """Return the newest access token of a room that was joined, which the server may have renewed."""
    return room._token or ""


check()
