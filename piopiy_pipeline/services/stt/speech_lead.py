"""What was said just before an utterance. A VAD cuts a sentence at its commas, and half a sentence is misheard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["LEAD_PAUSE_S", "SpeechLead"]

LEAD_PAUSE_S = 1.0
"""After a longer silence, in seconds, what was said before it is not heard along."""
MAX_LEAD_S = 10.0
"""As much is heard along at most, in seconds."""

Lead = tuple[bytes, tuple[int, ...]]


class SpeechLead:
    """An utterance that the next one may continue.

    Args:
        pcm: Its audio, PCM16 mono.
        rate: The sample rate in Hz.
        answer: Has the `EarAnswer` made of it, or will have it.
        before: What this one may continue itself.
    """

    def __init__(self, pcm: bytes, rate: int, answer: asyncio.Future[Any], before: SpeechLead | None) -> None:
        self._pcm = pcm
        self._most = int(2 * MAX_LEAD_S * rate)
        self._answer = answer
        self._before = before
        self._heard: Lead | None = None

    @property
    def is_known(self) -> bool:
        """Whether its words are known, or will never be."""
        return self._answer.done()

    @property
    def heard(self) -> Lead:
        """Audio to be heard along, and the tokens made of it: both are empty if there is nothing to continue.

        To be asked for when `is_known`.
        """
        if self._heard is None:
            self._heard = self._join()
            self._before = None
        return self._heard

    def _join(self) -> Lead:
        answer = self._answer
        if answer.cancelled() or answer.exception() is not None:
            return b"", ()
        said = answer.result()
        pcm, tokens = self._before.heard if self._before else (b"", ())
        if tokens and len(pcm) + len(self._pcm) <= self._most:  # a noise between two phrases parts them not
            return pcm + self._pcm, (*tokens, *said.tokens)
        alone = self._pcm[2 * said.begins :]
        return (alone, said.tokens) if said.words and len(alone) <= self._most else (b"", ())

    def then(self, ask: Callable[[], asyncio.Future[Any]]) -> asyncio.Future[Any]:
        """Ask what depends on this one's words when they are known: at once, if they are.

        Args:
            ask: Asks.

        Returns:
            A future with the answer to it.
        """
        if self.is_known:
            return ask()
        later: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def pass_on(answer: asyncio.Future[Any]) -> None:
            if later.done():
                return
            if answer.cancelled():
                later.cancel()
            elif error := answer.exception():
                later.set_exception(error)
            else:
                later.set_result(answer.result())

        def go_on(_: asyncio.Future[Any]) -> None:
            if not later.done():
                ask().add_done_callback(pass_on)

        self._answer.add_done_callback(go_on)
        return later
