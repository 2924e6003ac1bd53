"""Who is told how the bot's speech goes on: the call's session."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol

from loguru import logger
from pipecat.frames.frames import AggregatedTextFrame, AggregatedTextProgressFrame, Frame

__all__ = ["GuardedCalls", "SpeechMonitor"]

P = ParamSpec("P")

LOGGED_FAILURES = 5
"""So many exceptions of what watches a call are logged."""


class SpeechMonitor(Protocol):
    """Receives what happens as speech goes on; the call's session is one. Its methods run on the event loop
    and do not wait.
    """

    def frame_arrived(self, frame: Frame) -> None:
        """Note that a frame other than audio has come down the pipeline, before it waits for anything."""

    def audio_arrived(self) -> None:
        """Note that the bot has something to say."""

    def speech_progressed(self, speaking: bool) -> None:
        """Note that the playout has reported; `speaking` tells whether it has more to play."""

    def mark_heard(self, number: int) -> None:
        """Note that everything before the `SpeechMarkFrame` of this number was heard."""

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None:
        """Note a text that has come to its place in the speech.

        A `TTSTextFrame` was heard, word or sentence; another `AggregatedTextFrame` begins now; a
        progress frame says how far a sentence with word times has come.
        """

    def bot_spoke(self, speaks: bool) -> None:
        """Note that the bot has begun to speak, or has stopped."""

    def sentence_progressed(self, text: str) -> None:
        """Note how much was heard, by an estimate, of a sentence whose words have no times."""

    def barge_in_decided(self, verdict: str, reason: str, held_s: float) -> None:
        """Note what became of a sound of the caller over the speech, which was held for so many seconds:
        ``interrupt`` or ``resume``, and why.
        """

    def frames_dropped(self, frames: list[Frame]) -> None:
        """Note the frames that an interruption dropped before they were heard."""


class GuardedCalls:
    """Calls the monitor of one call. What watches the speech must not stop it: an exception is logged, and goes no
    further.
    """

    def __init__(self) -> None:
        self._failures = 0

    def __call__(self, notify: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `notify` with these arguments."""
        try:
            notify(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  whatever a watcher raises
            self._failures += 1
            if self._failures <= LOGGED_FAILURES:  # it may fail with each of 50 frames a second
                logger.opt(exception=True).error("what watches the call failed: {}", error)
