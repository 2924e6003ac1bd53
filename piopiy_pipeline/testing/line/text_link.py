"""The caller's end of a simulated text chat: a caller who types and reads, in the place of one who speaks and hears.

A script for a voice call serves: what is `said` is typed, of a recording the words in the text file beside it. What a
telephone hears as the bot's speech is here text that appears.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from piopiy_pipeline.audio.speech import SpeechBounds
from piopiy_pipeline.signaling.chat import CLIENT_READY, send_text, words_of
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.line.callers import CallerLine
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector
from piopiy_pipeline.testing.line.utterance_audio import Recording, Spoken, check_no_file, words_beside
from piopiy_pipeline.testing.report.event_log import EventLog
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["ShownDetector", "TextCallerLine", "TextCallerLink"]


class ShownDetector(SpeechDetector):
    """Knows when text of the bot has appeared, as `SpeechDetector` knows of its speech."""

    def shown(self, now: float) -> None:
        """Take note of words that have appeared at `now`."""
        if not self.sounding(now):
            self.stretch_began_at = now
        self.last_sound_at = now


class TextCallerLink(CallerLink):
    """A simulated caller who chats. What it sends and gets are the messages of a chat at a gateway.

    Args:
        rate: The rate of the silence on the line, in Hz.
        log: Takes what happens.
        seed: See `CallerLink`.
        line: See `CallerLink`. A chat has no line that could be impaired, so it is a perfect one.
        on_answer: Called when the chat has begun.
        on_hangup: Called when the caller leaves.
    """

    detector: ShownDetector

    def __init__(
        self,
        rate: int,
        log: EventLog,
        *,
        seed: int,
        line: Line,
        on_answer: Callable[[], None],
        on_hangup: Callable[[], None],
    ) -> None:
        super().__init__(rate, log, seed=seed, line=line, on_answer=on_answer, on_hangup=on_hangup)
        self.detector = ShownDetector(rate)
        self.can_hold = False
        self._typed_at = float("-inf")
        self._number = 0
        self._early: list[str] = []
        self._greeted = False

    @property
    def speaks_until(self) -> float:
        """When the last message was sent."""
        return self._typed_at

    def attach(self, listener: LinkListener) -> None:
        super().attach(listener)
        if not self._greeted:
            self._greeted = True
            listener.on_event(DataMessage(data=dict(CLIENT_READY)))
        early, self._early = self._early, []
        for text in early:
            self._send(text)

    def speak(self, recording: Recording) -> asyncio.Future[None]:
        """Type the words of a recording, at once. Without an agent they wait for the next one."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        if not self.closed:
            self._typed_at = self.now()
            self._log.add("typed", text=recording.text)
            if self.listener is None:
                self._early.append(recording.text)
            else:
                self._send(recording.text)
        return done

    def on_agent_event(self, event: Dtmf | DataMessage) -> None:
        words = words_of(event.data) if isinstance(event, DataMessage) else None
        if words is not None:
            self.detector.shown(self.now())
            self._log.add("shown", text=words)
        elif isinstance(event, Dtmf) or event.data.get("label") is None:
            super().on_agent_event(event)

    def _noted(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "bot_turn":
            self.detector.shown(self.now())  # its last words are on their way
        super()._noted(kind, data)

    def _send(self, text: str) -> None:
        self._number += 1
        self.tell(DataMessage(data=send_text(text, str(self._number))))


class TextCallerLine(CallerLine):
    """What a caller can do and read in a chat: `say` types, and `mute` is a `ValueError`."""

    def mute(self, seconds: float) -> None:
        raise ValueError(f"mute({seconds:g}): a text chat has no sound: leave it out, or call by='voice'")

    def _load(self, what: Spoken, text: str | None, name: str | None) -> Recording:
        words = text
        if words is None:
            if isinstance(what, str):
                check_no_file(what, "typed")
            words = what if isinstance(what, str) else words_beside(what) if isinstance(what, Path) else ""
        if not words.strip():
            named = str(what) if isinstance(what, Path) else repr(what)
            raise ValueError(
                f"a text chat has words only, and those of {named:.100} are not known: say(..., text=...), or write "
                "them into a .txt file beside it"
            )
        return Recording(name or words, np.zeros(0, "<i2").tobytes(), words, SpeechBounds(0, 0))
