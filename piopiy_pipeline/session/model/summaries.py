"""Long conversations are summarised: the older part becomes one message, between two turns and never in one.

pipecat says what may be summarised (a tool call is never parted from its result) and how long a conversation is. When
it is done is decided here: the summary is written beside the call, and takes the place of what it tells when neither
side has a turn under way and the conversation is still what it was. Otherwise, and when it fails, nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService
from pipecat.utils.context.llm_context_summarization import (
    DEFAULT_SUMMARIZATION_PROMPT,
    LLMContextSummarizationUtil,
)

from piopiy_pipeline.arguments import check_kind, check_seconds
from piopiy_pipeline.call import ContextSummary
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.model.language_note import with_language_note

__all__ = ["ContextSummaries", "Summaries"]

POLL_S = 0.2
MOST_TOKENS = 800
PLACE_S = 60.0
"""A summary that finds no moment between two turns for so long is dropped: the next one tells more."""
PAUSE_TURNS = 4
"""After a failure so many turns of the bot pass until the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """When and how a long conversation is summarised.

    Attributes:
        after_tokens: A conversation of more than so many tokens is, by pipecat's estimate (four characters a token).
        keep_messages: So many of the latest messages stay as they are.
        max_tokens: How long a summary may be, less than `after_tokens`. None: 800, or half of `after_tokens` if that
            is less.
        timeout_s: A summary that takes longer counts as failed, in seconds.
        prompt: What the model is told. None: pipecat's prompt.
        model: Who writes it. None: the model of the call.

    Raises:
        ValueError: A number cannot work.
        TypeError: A value is of the wrong kind.
    """

    after_tokens: int = 8000
    keep_messages: int = 6
    max_tokens: int | None = None
    timeout_s: float = 30.0
    prompt: str | None = None
    model: LLMService[Any] | None = None

    def __post_init__(self) -> None:
        for name, least in (("after_tokens", 100), ("keep_messages", 2), ("max_tokens", 50)):
            value = getattr(self, name)
            if value is None and name == "max_tokens":
                continue
            check_kind(f"Summaries: {name}", value, int, "a number")
            if isinstance(value, bool) or value < least:
                raise ValueError(f"Summaries: {name}={value}: it is {least} at least")
        if self.max_tokens is not None and self.max_tokens >= self.after_tokens:
            raise ValueError(
                f"Summaries: max_tokens={self.max_tokens}: less than after_tokens={self.after_tokens}, or a summary "
                "is as long as what it is of"
            )
        check_seconds("Summaries: timeout_s", self.timeout_s)
        check_kind("Summaries: prompt", self.prompt, (str, type(None)), "a text, or None for pipecat's")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("Summaries: prompt is empty: leave it out for pipecat's")
        check_kind(
            "Summaries: model", self.model, (LLMService, type(None)), "a model, or None for the call's"
        )

    @property
    def most_tokens(self) -> int:
        """How long a summary may be."""
        return min(MOST_TOKENS, self.after_tokens // 2) if self.max_tokens is None else self.max_tokens

    @classmethod
    def of(cls, given: Summaries | int | bool | None) -> Summaries | None:
        """Return what an author says as `summarise_after`: a number of tokens, True for the defaults, or nothing."""
        if given is None or given is False:
            return None
        if given is True:
            return cls()
        if isinstance(given, int):
            return cls(after_tokens=given)
        check_kind("summarise_after", given, cls, "a number of tokens, Summaries, True, or None for never")
        return given


class ContextSummaries:
    """Summarises the conversation of one call when it is too long.

    Args:
        state: The call.
        context: Its conversation.
        model: Who writes summaries.
        how: When and how.
        between_turns: Returns whether neither side has a turn under way.
    """

    def __init__(
        self,
        state: CallState,
        context: LLMContext,
        model: LLMService[Any],
        how: Summaries,
        *,
        between_turns: Callable[[], bool],
    ) -> None:
        self._state = state
        self._context = context
        self._model = how.model or model
        self._how = how
        self._between_turns = between_turns
        self._writing = False
        self._pause = 0
        state.events.on("bot_turn", self._turn_over)

    def _turn_over(self, _: object) -> None:
        if self._pause:
            self._pause -= 1
        elif not self._writing and self._tokens() > self._how.after_tokens:
            self._writing = True
            self._state.spawn(self._summarise(), "summary")

    def _tokens(self) -> int:
        return LLMContextSummarizationUtil.estimate_context_tokens(self._context)

    async def _summarise(self) -> None:
        try:
            chosen = LLMContextSummarizationUtil.get_messages_to_summarize(
                self._context, self._how.keep_messages
            )
            if chosen.messages:
                await self._put_in_place(await self._write(chosen.messages), chosen.messages)
        except Exception as error:  # noqa: BLE001  whatever it is, the call goes on with the whole conversation
            self._pause = PAUSE_TURNS
            logger.warning("the conversation could not be summarised: {}", error_text(error))
            self._state.add_error("summary", f"the conversation could not be summarised: {error_text(error)}")
        finally:
            self._writing = False

    async def _write(self, messages: list[Any]) -> str:
        transcript = LLMContextSummarizationUtil.format_messages_for_summary(messages)
        asked = LLMContext([{"role": "user", "content": f"Conversation history:\n{transcript}"}])
        prompt = self._how.prompt or DEFAULT_SUMMARIZATION_PROMPT
        try:
            async with asyncio.timeout(self._how.timeout_s):
                text = await self._state.ask_beside(
                    self._model, asked, max_tokens=self._how.most_tokens, system_instruction=prompt
                )
        except TimeoutError as error:
            raise TimeoutError(f"the model has written no summary in {self._how.timeout_s:g} s") from error
        if not text or not text.strip():
            raise ValueError("the model has written no summary")
        return text.strip()[: 8 * self._how.most_tokens]

    async def _put_in_place(self, text: str, summarised: list[Any]) -> None:
        """Wait for a moment between two turns, and let the summary take the place of what it tells."""
        try:
            async with asyncio.timeout(PLACE_S):
                while True:
                    if self._between_turns():
                        break
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise TimeoutError(f"there was no moment between two turns in {PLACE_S:g} s") from error
        messages = list(self._context.messages)
        first = next((at for at, each in enumerate(messages) if each is summarised[0]), None)
        if first is None or not _same(messages[first : first + len(summarised)], summarised):
            logger.info("the conversation has changed meanwhile: it is not summarised")
            return
        before = self._tokens()
        content = f"Conversation summary: {text}"
        summary: Any = {"role": "user", "content": content}  # as pipecat's own
        note = self._state.language_note
        shorter = [*messages[:first], summary, *messages[first + len(summarised) :]]
        contents = [each.get("content") for each in summarised if isinstance(each, dict)]
        self._context.set_messages(with_language_note(shorter, note if note in contents else ""))
        if (after := self._tokens()) > self._how.after_tokens:
            self._pause = PAUSE_TURNS  # else the next turn would ask again, and the one behind it
            logger.warning("a summary has left {} tokens: more than {}", after, self._how.after_tokens)
        self._state.add_summary(ContextSummary(text, len(summarised), before, after))


def _same(messages: list[Any], others: list[Any]) -> bool:
    return len(messages) == len(others) and all(
        one is other for one, other in zip(messages, others, strict=True)
    )
