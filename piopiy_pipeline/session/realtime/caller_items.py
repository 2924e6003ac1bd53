"""`CallerItems`: what a provider has written down of the caller's speech, and to which speech it belongs.

Words come behind the end of a turn. So it is kept which stretch of speech has become which item of the conversation.
"""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import InterimTranscriptionFrame, TranscriptionFrame
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import filter_pushes, watch_pushes
from piopiy_pipeline.processors.typed_words import is_typed
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.provider_turns import ProviderSpeech
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns

__all__ = ["CallerItems"]

SPEECHES = 16
"""So many stretches of the caller's speech are remembered."""


class CallerItems:
    """Watches one service.

    Args:
        service: The model's service, before it runs.
        output: The stage that speaks.
        turns: Who decides on turns; None: strategies of the author's.
        has_ears: Whether an STT writes down what the provider hears, in its place.
    """

    def __init__(
        self,
        service: LLMService[Any],
        output: BotOutput,
        turns: RealtimeTurns | None,
        *,
        has_ears: bool = False,
    ) -> None:
        self._output = output
        self._turns = turns
        self._speech: dict[str, ProviderSpeech] = {}
        self._interim = ("", "")  # the words so far of the latest item
        if turns is not None:
            turns.is_old = self.is_old
            if turns.provider_end is not None and hasattr(service, "send_client_event"):
                service.add_event_handler("on_conversation_item_created", self._item_created)
        watch_pushes(service, self._written_down, InterimTranscriptionFrame)
        if has_ears:  # not every provider leaves it when it is told to
            filter_pushes(
                service, lambda frame: not isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame)
            )

    def is_old(self, frame: Any) -> bool:
        """Whether these words of the caller say nothing about a turn: it has begun and ended without them."""
        if self._turns is None or not self._turns.asks or is_typed(frame):
            return True
        if not frame.text.strip() and not self._output.has_floor:
            return True
        speech = self._speech.get(getattr(frame.result, "item_id", ""))
        return speech is None or speech.claimed

    def _written_down(self, _service: Any, frame: InterimTranscriptionFrame) -> None:
        """Write the words so far into it: OpenAI's are those that are new, others' all of them."""
        if not hasattr(frame.result, "delta"):
            return
        item = getattr(frame.result, "item_id", "")
        before = self._interim[1] if self._interim[0] == item else ""
        frame.text = before + frame.text
        self._interim = (item, frame.text)

    async def _item_created(self, _service: Any, name: str, item: Any) -> None:
        """Note which speech of the caller has become which item, because words of it come later."""
        if item.role == "user" and self._turns is not None and self._turns.provider_end is not None:
            self._speech[name] = self._turns.provider_end.speech
            for old in list(self._speech)[:-SPEECHES]:
                del self._speech[old]
