"""The playbook as a pipecat `LLMService`. It takes the place of a language model, and is not one.

It streams its words and calls tools through pipecat's function calling. So the rest of the chain, the tools
and the conversation's context stay the same if a model takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from uuid import uuid4

from loguru import logger
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from piopiy_pipeline.compat.pipecat import push_llm_text
from piopiy_pipeline.services.plain_adapter import PlainAdapter
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.model import Playbook

__all__ = ["PlaybookLLMService"]


class _PlaybookAdapter(PlainAdapter):
    messages_for = "playbook"


class PlaybookLLMService(LLMService[_PlaybookAdapter]):
    """Answers from a playbook, in the place of a language model.

    Args:
        playbook: The path of a playbook file, what `load_playbook` returned, or a `Dialogue`.

    Raises:
        PlaybookError: The file has a mistake; the message is ``file:line: what was expected``.
    """

    adapter_class = _PlaybookAdapter
    runs_locally = True
    """It asks no network provider, so a capture leaves it out and a replay runs it."""
    may_answer_nothing = True
    """A playbook may have no reply to what a tool returns: its author wanted silence, and nothing has failed."""

    def __init__(self, playbook: Dialogue | Playbook | str | Path) -> None:
        if isinstance(playbook, (str, Path)):
            playbook = load_playbook(playbook)
        dialogue = playbook if isinstance(playbook, Dialogue) else Dialogue(playbook)
        super().__init__(
            settings=LLMSettings(
                model="playbook",
                system_instruction=None,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=None,
                user_turn_completion_config=None,
            )
        )
        self._dialogue = dialogue
        self._unsure: Callable[[str], Collection[str]] | None = None
        self._knows_tools = False

    def doubt(self, unsure: Callable[[str], Collection[str]]) -> None:
        """Read back by itself each value that the recogniser was not sure of.

        Args:
            unsure: Returns the words of a text that were heard with little confidence, such as the method
                `unsure_words` of `MoonshineSTTService`.
        """
        self._unsure = unsure

    @property
    def hot_words(self) -> tuple[str, ...]:
        """The names that callers may say, for a recogniser that takes hot words."""
        return self._dialogue.hot_words

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time to its first word."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer an `LLMContextFrame`, and pass every other frame on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._respond(frame.context)
        else:
            await self.push_frame(frame, direction)

    def check_tools(self, context: LLMContext) -> None:
        """Tell the author in the log, once, which tools the playbook will call in vain. The first answer does it, too.

        Args:
            context: The conversation, whose tools are those of the bot.
        """
        if self._knows_tools:
            return
        self._knows_tools = True
        called = {intent.tool for intent in self._dialogue.playbook.intents.values() if intent.tool}
        if missing := sorted(name for name in called if not self._has_tool(name, context)):
            logger.warning(
                "the playbook calls tools that the bot does not have: {}. Callers who want them hear that it did not "
                "work: give the bot these tools, VoiceAgent(tools=[...])",
                ", ".join(missing),
            )

    def _has_tool(self, name: str, context: LLMContext) -> bool:
        tools = context.tools if isinstance(context.tools, ToolsSchema) else None
        advertised = tools is not None and any(schema.name == name for schema in tools.standard_tools)
        return advertised or self.has_function(name)

    async def _respond(self, context: LLMContext) -> None:
        self.check_tools(context)
        await self.start_ttfb_metrics()
        messages = [message for message in context.get_messages() if isinstance(message, Mapping)]
        action = self._dialogue.next(messages, self._unsure)
        await self.stop_ttfb_metrics()
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            # Of a tool that the bot does not have, a caller hears only that it did not work, and no "Goodbye!" before.
            if action.tool is None or self._has_tool(action.tool, context):
                for word in re.findall(r"\S+\s*", action.text):
                    await push_llm_text(self, word)
            if action.tool is not None:
                call = FunctionCallFromLLM(
                    function_name=action.tool,
                    tool_call_id=f"call_{uuid4().hex[:12]}",
                    arguments=dict(action.arguments),
                    context=context,
                )
                await self.run_function_calls([call])
        finally:
            await self.push_frame(LLMFullResponseEndFrame())
