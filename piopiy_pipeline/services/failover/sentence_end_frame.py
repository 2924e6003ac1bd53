"""Tells a voice that a sentence is whole, so that it can be said at once."""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import ControlFrame

__all__ = ["SentenceEndFrame"]


@dataclass
class SentenceEndFrame(ControlFrame):
    """The text so far ends with a whole sentence: a voice need not wait for what follows to say it."""
