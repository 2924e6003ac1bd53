"""What Ctrl-C, SIGTERM and a closed terminal do to a verb: while it loads it ends at once; later the first one asks for
an orderly end, and the second ends at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

__all__ = ["ends_at_once", "stop_on_signals", "unwinds_when_ended"]


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Have Ctrl-C end this process meanwhile, without a traceback and without waiting for what is being imported.

    It is for the imports of a verb that has begun nothing yet which would need an orderly end. The earlier handler is
    restored; a SIGINT that is ignored stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if before in (signal.SIG_IGN, None) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def unwinds_when_ended() -> Iterator[None]:
    """Have SIGTERM and a closed terminal do what Ctrl-C does: `KeyboardInterrupt` is raised, so folders with what a
    call said are removed. Then the process ends by that signal. A second one ends it at once.

    It is for work that no event loop of a verb watches. Signals that somebody handles or ignores stay as they are.
    """
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for each in numbers:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        if received:
            os.kill(os.getpid(), received[0])


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGINT, SIGTERM or SIGHUP sets. The second signal has its default effect.

    A SIGHUP that is ignored (nohup) stays ignored. The earlier handlers are restored at the end.
    """
    import asyncio  # only here: the first thing that a command does is to see to Ctrl-C

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def on_signal() -> None:
        """Set the event, and restore the default effect of all these signals."""
        stop.set()
        for number in before:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in before:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
