"""`Persona`: somebody to whom a bot may hand its call over. A value: it serves any number of calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language

from piopiy_pipeline.arguments import check_kind, shown
from piopiy_pipeline.tool_set import ToolSet

__all__ = ["Persona", "personas_in"]


@dataclass(frozen=True, kw_only=True)
class Persona:
    """Who speaks to the caller, and what they can do. See `Call.hand_over`.

    Attributes:
        name: What it is called: on the record, and in the checkpoint.
        instructions: The system prompt.
        tools: What the model may use, as in `VoiceAgent`.
        voice: The voice of the TTS, by the provider's name or id, or one of the services that ``Action(tts=[...])`` was
            given. None: the voice that the call began with.
        language: The language of STT and TTS, such as ``"de"``. None: the one that the call began with.
        introduction: What is said first, in the new voice. None for nothing.
        when: Tells the model of `hand_off_call` when to hand the call over to this one.

    Raises:
        TypeError: Something is of the wrong kind, or no tool.
        ValueError: There is no name, or no such language.
    """

    name: str
    instructions: str
    tools: ToolsSchema | Sequence[Any] = ()
    voice: str | TTSService | None = None
    language: str | None = None
    introduction: str | None = None
    when: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "instructions", "when"):
            check_kind(f"Persona: {field}", getattr(self, field), str, "a text")
        check_kind(
            "Persona: introduction", self.introduction, (str, type(None)), "a text, or None for nothing"
        )
        check_kind(
            "Persona: voice",
            self.voice,
            (str, TTSService, type(None)),
            "a voice's name, a TTS service, or None",
        )
        if not self.name.strip():
            raise ValueError("Persona: name is empty: by it the next agent finds the persona after a loss")
        if not self.instructions.strip():
            raise ValueError("Persona: instructions is empty: it tells the model who it is")
        for field in ("voice", "introduction"):
            if isinstance(value := getattr(self, field), str) and not value.strip():
                raise ValueError(f"Persona: {field} is empty: leave it out")
        if self.language is not None:
            try:
                Language(self.language)
            except ValueError:
                raise ValueError(
                    f"Persona: there is no language {shown(self.language)}; write 'de' or 'en-GB'"
                ) from None
        self.tool_set()

    def tool_set(self) -> ToolSet:
        """Return its tools."""
        made = ToolSet()
        made.add(self.tools)
        return made


def personas_in(handlers: Iterable[Any]) -> list[Persona]:
    """Return the personas to whom these handlers of tools may hand a call over, and those that their tools may.

    Raises:
        ValueError: Two different ones have one name.
    """
    found: dict[str, Persona] = {}
    waiting = [persona for handler in handlers for persona in getattr(handler, "personas", ())]
    while waiting:
        persona = waiting.pop()
        if persona is not None and persona.name in found and _is_another(persona, found[persona.name]):
            raise ValueError(
                f"two different personas are called {persona.name!r}: after a loss the next agent would not know "
                "which of them has the call"
            )
        if persona is not None and persona.name not in found:
            found[persona.name] = persona
            handlers_of_it = persona.tool_set().handlers
            waiting += [each for handler in handlers_of_it for each in getattr(handler, "personas", ())]
    return list(found.values())


def _is_another(one: Persona, other: Persona) -> bool:
    """Whether two differ in more than that they were made twice."""
    fields = ("instructions", "voice", "language", "introduction")
    return one is not other and any(getattr(one, field) != getattr(other, field) for field in fields)
