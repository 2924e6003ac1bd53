"""Takes an interim transcript back: what sounded like words was a noise."""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import SystemFrame

__all__ = ["WithdrawnInterimFrame"]


@dataclass
class WithdrawnInterimFrame(SystemFrame):
    """No final transcript will come of the interim ones of this utterance.

    Without it, a session takes the last interim for a final that is missing (`session/providers/missing_finals.py`).
    """
