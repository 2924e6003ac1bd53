"""`WrittenAnswer`: what a speech-to-speech model writes, if a TTS says it.

The stages behind the service know it as the answer of any model. What the caller has heard of it, the output transport
finds out from the TTS's audio. Providers have no truncation for text: after an interruption the words that were heard
take the place of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator

from piopiy_pipeline.session.realtime.openai_provider import HEARD, PUT_IN
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.session_changes import OpenSession
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer

__all__ = ["WrittenAnswer"]

ITEMS = 16
"""So many items of one turn of the bot are remembered."""


class WrittenAnswer(SpokenAnswer):
    """Stands around `push_frame` of one service whose answers have no audio.

    Args:
        service: The service, before it runs.
        provider: Its provider.
        assistant: Knows what was heard.
        session: The provider's session.
        done: Called when an answer is over.
    """

    def __init__(
        self,
        service: Any,
        provider: RealtimeProvider,
        assistant: LLMAssistantAggregator,
        *,
        session: OpenSession,
        done: Callable[[], None],
    ) -> None:
        super().__init__(service, provider, done=done)
        self._session = session
        self._cut_short = False  # an interruption has come before the model had written all of it
        self._turn: list[str] = []  # the items of the turn that is being said
        if hasattr(service, "send_client_event"):
            service.add_event_handler("on_conversation_item_created", self._item_created)
        assistant.add_event_handler("on_assistant_turn_stopped", self._turn_over)

    # ------------------------------------------------------------------ what was heard

    async def _item_created(self, _service: Any, name: str, item: Any) -> None:
        is_answer = (
            item.role == "assistant" and item.type == "message" and not name.startswith((HEARD, PUT_IN))
        )
        if is_answer and name not in self._turn:
            self._turn = [*self._turn, name][-ITEMS:]

    async def _start(self, frame: Frame) -> None:
        self._cut_short = False
        await super()._start(frame)

    async def _interrupted(self, _service: Any, frame: Frame) -> None:
        self._cut_short = self.open  # of a text chat, the turn's end does not say so
        await super()._interrupted(_service, frame)

    async def _turn_over(self, _assistant: Any, message: Any) -> None:
        """Tell the provider what was heard of a turn that was cut off, or that is none of its model's."""
        said, self._turn = self._turn, []
        interrupted, self._cut_short = message.interrupted or self._cut_short, False
        heard = (message.content or "").strip()
        if interrupted and said:
            await self._provider.rewrite(said, heard)
        elif heard and not said:
            self._service.create_task(self._tell(heard, stood=self._session.stands), "said beside")

    async def _tell(self, text: str, *, stood: bool) -> None:
        """Tell the provider what its model has not written, and the TTS has said: a greeting, for example."""
        if not stood:
            await self._session.until_stands()
            if any(isinstance(one, dict) and one.get("content") == text for one in self._session.begun_with):
                return  # the session was begun with it
        message: dict[str, Any] = {"role": "assistant", "content": text}
        await self._provider.tell([message])
