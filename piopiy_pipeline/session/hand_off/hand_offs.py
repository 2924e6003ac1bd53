"""`HandOffs`: who has the call, of the personas that its bot may hand it over to.

A hand-off waits until what is being said was heard, cuts off what is not, and then changes everything at once: the
conversation with its instructions, the tools, the voice. So no word of the old voice comes behind the new one, and no
tool of one persona runs for another. Who has the call is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.call import HandOff
from piopiy_pipeline.compat.tool_options import put_functions, take_functions
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.hand_off.conversation_change import (
    HandOffContext,
    changed_conversation,
    summary_by,
)
from piopiy_pipeline.session.hand_off.persona import Persona, personas_in
from piopiy_pipeline.session.model.language_note import with_language_note
from piopiy_pipeline.session.model.system_message import set_system_message, system_message
from piopiy_pipeline.session.voice_change import VoiceChange

__all__ = ["HandOffError", "HandOffMouth", "HandOffs"]

PART = "hand_off"
"""Under this name it is in a checkpoint."""
MAX_HAND_OFFS = 30
"""So many times a call is handed over."""
MAX_WITHOUT_CALLER = 3
"""So many times in a row without a word of the caller: two personas that each think the other one should answer."""


class HandOffError(RuntimeError):
    """The call cannot be handed over now. The sentence is fit for the model."""


@dataclass(frozen=True, slots=True)
class HandOffMouth:
    """What a hand-off needs of the pipeline that runs.

    Attributes:
        wait_until_spoken: Waits until what the bot is saying was heard, in bounded time.
        cut_off: Cuts off everything that is under way, and returns when the context knows what was heard of it.
        speaks: Returns whether the bot speaks, or is about to.
        say: Says a text, and waits for nothing.
        respond: Has the model speak.
        follow: Brings the session of a speech-to-speech model in line with the conversation. Takes the messages before
            the change, and a voice. None: there is no such model.
        until_said: Waits until such a model has given all answers that it was asked for, in bounded time.
        write: Has such a model write something that nobody hears.
    """

    wait_until_spoken: Callable[[], Awaitable[None]]
    cut_off: Callable[[], Awaitable[None]]
    speaks: Callable[[], bool]
    say: Callable[[str], object]
    respond: Callable[[], Awaitable[None]]
    follow: Callable[[Sequence[Any], str | None], Awaitable[None]] | None = None
    until_said: Callable[[], Awaitable[None]] | None = None
    write: Callable[[str], Awaitable[str]] | None = None


class HandOffs:
    """Hands one call over, from persona to persona.

    Args:
        state: The call.
        context: The conversation.
        models: The services that answer. The first one sums up.
        voice: Changes voice and language.
        mouth: How the call speaks.
        known: The personas by name that the next instance can find again.
    """

    def __init__(
        self,
        state: CallState,
        *,
        context: LLMContext,
        models: Iterable[LLMService[Any]],
        voice: VoiceChange,
        mouth: HandOffMouth,
        known: Mapping[str, Persona],
    ) -> None:
        self.persona: Persona | None = None
        """Who has the call; None: the one that it began with."""
        self.came_back: Callable[[], Awaitable[None]] | None = None
        """Called when the one that the call began with has it again, before they speak."""
        self._state = state
        self._context = context
        self._models = list(models)
        self._voice = voice
        self._mouth = mouth
        self._known = known
        self._count = 0
        self._in_a_row = 0
        self._turns_seen = 0  # of the caller
        self._under_way = False
        self._base: str | None = None  # the instructions that the call began with, while somebody else has it
        self._base_tools: Any = None
        self._base_functions: list[dict[str, Any]] = []
        state.checkpoints.parts[PART] = self._part

    # ------------------------------------------------------------------ handing over

    async def hand_over(self, to: Persona | None, how: HandOffContext) -> None:
        """Hand the call over, which was claimed. See `Call.hand_over`."""
        try:
            before = self._name
            summary = await self._summary() if how == "summary" else ""
            if how == "summary" and not summary:
                how = "keep"
            await self._mouth.wait_until_spoken()
            if self._mouth.speaks():
                await self._mouth.cut_off()
            if self._state.ended:
                return
            self._count += 1
            self._in_a_row += 1
            messages = tuple(self._context.get_messages())
            self._change(to, how, before=before, summary=summary)
            await self._sound_like(to, messages)
            if to is None and self.came_back is not None:
                await self.came_back()
            logger.info(
                "the call is handed over from {} to {}", before or "the first", self._name or "the first"
            )
            self._state.add_hand_off(HandOff(self._name, before, how))
            self._state.checkpoints.part_changed()
            self._speak(to)
            if self._mouth.until_said is not None and self._state.recovery.tools_running:
                await self._mouth.until_said()  # an answer under way is taken for that to the tool's result
        finally:
            self._under_way = False

    @property
    def _name(self) -> str:
        return "" if self.persona is None else self.persona.name

    def claim(self, to: Persona | None) -> None:
        """Have the call for one hand-over, which `hand_over` does.

        Raises:
            HandOffError: It cannot be handed over to this one now.
            ValueError: The chain does not have this voice.
        """
        self._voice.check(None if to is None else to.voice)
        turns = sum(turn.role == "user" for turn in self._state.transcript)
        if turns != self._turns_seen:
            self._turns_seen, self._in_a_row = turns, 0
        if self._under_way:
            raise HandOffError("the call is being handed over already")
        if (to.name if to is not None else "") == self._name:
            raise HandOffError(f"{self._name or 'the first one'} has the call already")
        if self._count >= MAX_HAND_OFFS:
            raise HandOffError(f"the call was handed over {MAX_HAND_OFFS} times: help the caller yourself")
        if self._in_a_row >= MAX_WITHOUT_CALLER:
            raise HandOffError(
                f"the call was handed over {MAX_WITHOUT_CALLER} times since the caller has spoken: speak with them"
            )
        self._under_way = True

    async def _summary(self) -> str:
        try:
            return await summary_by(self._write, self._context.get_messages())
        except Exception as error:  # noqa: BLE001  whatever a provider raises: the conversation itself does as well
            self._state.add_error(
                "hand-off", f"the conversation is handed over as it is: no summary ({error_text(error)})"
            )
            return ""

    async def _write(self, asked: LLMContext) -> str | None:
        if self._mouth.write is None:
            return await self._state.ask_beside(self._models[0], asked)
        message: Any = asked.get_messages()[-1]
        return await self._mouth.write(str(message["content"]))

    def _speak(self, to: Persona | None) -> None:
        """Have somebody say something: what introduces them, and the answer that the caller waits for."""
        if to is not None and to.introduction:
            self._mouth.say(to.introduction)
        if self._state.recovery.tools_running:
            return  # the model answers the tool's result
        messages: list[Any] = self._context.get_messages()
        waits = bool(messages) and messages[-1].get("role") == "user"
        if waits or to is None or not to.introduction:
            self._state.spawn(self._respond(), "hand_off")

    async def _sound_like(self, to: Persona | None, before: Sequence[Any], *, followed: bool = False) -> None:
        voice = None if to is None else to.voice
        await self._voice.hand_over(voice, None if to is None else to.language, followed=followed)
        if self._mouth.follow is not None:
            own = isinstance(voice, str) and not self._voice.has_tts
            await self._mouth.follow(before, voice if own and isinstance(voice, str) else None)

    async def _respond(self) -> None:
        await self._mouth.respond()

    # ------------------------------------------------------------------ what changes

    def _change(self, to: Persona | None, how: HandOffContext, *, before: str, summary: str = "") -> None:
        """Change conversation and tools at once."""
        if self._base is None:
            self._leave_base()
        else:
            self._drop_functions()
        if to is None:
            instructions, self._base = self._base or "", None
            tools = self._base_tools
            for model, functions in zip(self._models, self._base_functions, strict=True):
                put_functions(model, functions)
        else:
            instructions = to.instructions
            made = to.tool_set()
            tools = made.schema()
            for model in self._models:
                made.register_all(model)
        messages = self._context.get_messages()
        changed = changed_conversation(messages, instructions, how, before=before, summary=summary)
        if to is None or to.language is None:  # who has a language of their own keeps to it
            changed = with_language_note(changed, self._state.language_note)
        self._context.set_messages(changed if instructions else changed[1:])
        self._set_tools(tools)
        self.persona = to

    def _leave_base(self) -> None:
        first = system_message(self._context)
        self._base = standard_message_text(first) if first is not None else ""
        self._base_tools = self._context.tools
        names = _names_in(self._base_tools)
        self._base_functions = [take_functions(model, names) for model in self._models]

    def _drop_functions(self) -> None:
        for model in self._models:
            take_functions(model, _names_in(self._context.tools))

    def _set_tools(self, tools: Any) -> None:
        if isinstance(tools, ToolsSchema):
            self._context.set_tools(tools)
        else:
            self._context.set_tools()

    # ------------------------------------------------------------------ after a loss

    async def restore(self) -> None:
        """Give the call to whom it was handed over before another instance was lost. Nothing is said."""
        conversation = self._state.checkpoints.conversation
        kept = self._state.checkpoints.kept_part(PART)
        if not conversation or not isinstance(kept, dict):
            return
        count = kept.get("count")
        self._count = count if isinstance(count, int) else 1
        name = str(kept.get("agent") or "")
        if not name:
            return
        base, first = kept.get("base"), system_message(self._context)
        if isinstance(base, str) and first is not None and first == conversation[0]:
            # What it is now, is what the persona was told.
            if base:
                set_system_message(self._context, base)
            else:
                self._context.set_messages(self._context.get_messages()[1:])
        persona = self._known.get(name) or self._advertised().get(name)
        if persona is None:
            self._state.add_error(
                "hand-off", f"the call was with {name!r}, whom this bot does not know: see Call.add_personas"
            )
            return
        self._leave_base()
        made = persona.tool_set()
        for model in self._models:
            made.register_all(model)
        set_system_message(self._context, persona.instructions)
        self._set_tools(made.schema())
        self.persona = persona
        followed = kept.get("followed") is True
        await self._sound_like(persona, self._context.get_messages(), followed=followed)

    def _advertised(self) -> dict[str, Persona]:
        tools = self._context.tools
        schemas = tools.standard_tools if isinstance(tools, ToolsSchema) else ()
        handlers = [getattr(schema, "handler", None) for schema in schemas]
        return {persona.name: persona for persona in personas_in(handlers)}

    def _part(self) -> dict[str, Any] | None:
        if not self._count:
            return None
        kept: dict[str, Any] = {"agent": self._name, "count": self._count}
        if self._base is not None:
            kept["base"] = self._base
        if self._name and self._voice.followed:
            kept["followed"] = True
        return kept


def _names_in(tools: Any) -> set[str]:
    schemas = tools.standard_tools if isinstance(tools, ToolsSchema) else ()
    return {schema.name for schema in schemas}
