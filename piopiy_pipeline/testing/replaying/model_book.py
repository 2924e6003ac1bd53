"""`ModelBook`: what the books of captured speech-to-speech models have in common, whatever the protocol. Without I/O.

The provider keeps the conversation, so a request holds only what is new. Requests are answered in their order, and a
request that is another than the recorded one is noted with what differs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.capture.content import jsonable
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import AnswerBook, Part, RecordedAnswer, difference_from

__all__ = ["AskedAnswer", "ModelBook", "of_gemini"]

OTHER_PROTOCOL = "the recording is of a model with another protocol"

AskedAnswer = tuple[RecordedAnswer, float]
"""An answer, and when it was asked for, in seconds of the capture."""


def of_gemini(exchanges: Iterable[ExchangeLine]) -> set[int]:
    """Return the numbers of the connections that were to Gemini Live."""
    return {
        line.id
        for line in exchanges
        if line.stage == "realtime" and line.kind == "sent" and isinstance(line.data.get("setup"), dict)
    }


class ModelBook:
    """What the provider of one captured call has said.

    Args:
        exchanges: The lines of the capture's exchanges.
        speech: Returns all captured audio of a sample rate in Hz, int16 of shape ``[samples]``.
        book: Takes what differs, and normalizes what is compared.
    """

    def __init__(
        self,
        exchanges: Iterable[ExchangeLine],
        speech: Callable[[int], NDArray[np.int16]],
        book: AnswerBook,
    ) -> None:
        self.of_caller: list[ExchangeLine] = []
        """What came without a request."""
        self._speech = speech
        self._book = book
        self._answers: list[RecordedAnswer] = []
        self._read([line for line in exchanges if line.stage == "realtime"])

    # ------------------------------------------------------------------ of the protocol

    def _read(self, lines: list[ExchangeLine]) -> None:
        """Read the messages of all connections, in their order."""
        raise NotImplementedError

    def _same(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        """Return whether two requests are the same but for the words at which the bot was cut off."""
        raise NotImplementedError

    def _alike(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        """Return whether the answer to one request may be given to another one."""
        raise NotImplementedError

    def _wanted(self, content: dict[str, Any]) -> str:
        """Say what a request asks for that the recording has no answer to."""
        raise NotImplementedError

    def _changed(self, content: dict[str, Any], difference: str) -> str:
        """Say that a request is another one than the recorded one."""
        return difference

    # ------------------------------------------------------------------ answers

    def add_answer(self, content: dict[str, Any]) -> RecordedAnswer:
        """Add a request of the capture, for who reads it."""
        self._answers.append(RecordedAnswer(len(self._answers) + 1, content))
        return self._answers[-1]

    def add_part(self, request: AskedAnswer | None, line: ExchangeLine) -> None:
        """Add what has come to a request, or to none, for who reads it."""
        if request is None:
            self.of_caller.append(line)
            return
        answer, asked_at = request
        answer.parts.append(Part(max(0.0, line.at - asked_at), line.kind, line.data, line.number))

    def _find(self, content: dict[str, Any]) -> RecordedAnswer | None:
        """Return the answer to a request: to the same one, or else to the next one like it, which is noted."""
        content = self._book.normalized(jsonable(content))
        unused = [each for each in self._answers if not each.used and self._alike(each.content, content)]
        found = next((each for each in unused if self._same(each.content, content)), None)
        if found is None:
            found = next(iter(unused), None)
            what = (
                self._wanted(content)
                if found is None
                else self._changed(content, difference_from(found.content, content))
            )
            self._book.note("the model", what)
        if found is not None:
            found.used += 1
        return found

    def _audio(self, place: dict[str, Any]) -> str:
        """Return captured audio as a message has it: base64 of 16-bit PCM."""
        start = int(place["position"])
        pcm = self._speech(int(place["rate"]))[start : start + int(place["samples"])]
        return base64.b64encode(pcm.astype("<i2").tobytes()).decode()
