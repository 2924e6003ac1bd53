"""Which reply a scripted language model gives to a request: a state machine without I/O.

A request is the next turn, the rest of a turn whose tool has returned, or the same question once more
because the answer to it failed. Only the conversation tells which, as it does for a real model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.session.resumed_conversation import CUT_SHORT
from piopiy_pipeline.testing.scripted.faults import Fault

__all__ = ["Replier", "Reply", "ReplyScript", "ScriptOver", "ScriptedResponse", "Tool"]


class Tool:
    """The model uses a tool: ``Tool("book_table", people=4, day="Friday")``."""

    __slots__ = ("arguments", "name")

    def __init__(self, name: str, /, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __repr__(self) -> str:
        given = "".join(f", {key}={value!r}" for key, value in self.arguments.items())
        return f"Tool({self.name!r}{given})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tool) and (self.name, self.arguments) == (other.name, other.arguments)

    def __hash__(self) -> int:
        return hash(self.name)


Replier: TypeAlias = Callable[[LLMContext], "Reply | Fault"]
"""A reply worked out from the conversation at each request, or a fault that this request meets."""

Reply: TypeAlias = "str | Tool | Replier | Sequence[str | Tool | Replier]"
"""What the model does in a turn. What follows a tool in a sequence is said when the tool has returned."""


class ScriptOver(RuntimeError):
    """The model was asked more often than the script has replies."""


@dataclass(frozen=True, slots=True)
class ScriptedResponse:
    """The answer to one request: words to say, and tools to use after them."""

    turn: int
    text: str
    tools: tuple[Tool, ...]
    fault: Fault | None = None
    """What goes wrong with this request, if a function of the context said so."""


class ReplyScript:
    """Goes through `turns` with one conversation; beyond them it gives `otherwise`, if there is one.

    Ask `respond()` at each request, and say `completed()` when the answer was given in full.
    Turns are numbered from 1.
    """

    def __init__(self, turns: Sequence[Reply], otherwise: Reply | None = None) -> None:
        self._turns = turns
        self._otherwise = otherwise
        self._turn = 0
        self._users = self._inputs = self._tools = -1
        self._asked: list[tuple[Any, Any]] = []  # roles and texts of the last request
        self._steps: list[str | Tool | Replier] = []
        self._at = 0  # the step that this response begins with
        self._next = 0  # and the next one, once it is completed
        self._awaits_tools = False
        self._resumed = False

    @staticmethod
    def check(turns: Sequence[Reply]) -> None:
        """Raise `TypeError` for a turn that is not a reply."""
        for turn in turns:
            _steps(turn)

    def respond(self, context: LLMContext) -> ScriptedResponse:
        """Return the answer to this request. Raises `ScriptOver` when there is none."""
        messages = [message for message in context.get_messages() if isinstance(message, Mapping)]
        roles = [message.get("role") for message in messages]
        # pipecat tells a speech-to-speech model notes as the caller's words when a session begins.
        users = sum(one.get("role") == "user" and one.get("content") != CUT_SHORT for one in messages)
        inputs = roles.count("user") + roles.count("system") + roles.count("developer")
        tools = sum("tool_calls" in message or message.get("role") == "tool" for message in messages)
        resumed, self._resumed = self._resumed, False
        # A conversation that begins anew (a hand-off, a flow's node) has no trace of the tool that led there.
        asked = [(message.get("role"), message.get("content")) for message in messages]
        rewritten = not resumed and not _goes_on(self._asked, asked)
        # A summary may take the place of as many of the caller's turns as have come since.
        shortened = rewritten and asked[: len(self._asked) - 1] != self._asked[:-1]
        asks_else = shortened and _last_of_user(asked) != _last_of_user(self._asked)
        self._asked = asked
        asked_on = self._awaits_tools and (
            (users == self._users and tools != self._tools)
            or (rewritten and users <= self._users and self._next < len(self._steps))
        )
        if asked_on:
            self._at = self._next
        elif users > self._users if resumed else (inputs != self._inputs or asks_else):
            self._begin_turn(messages)
        # else: the same question once more, so the same answer
        self._users, self._inputs, self._tools = users, inputs, tools
        self._awaits_tools = False
        return self._response(context)

    def resume(self) -> None:
        """Note that another agent goes on with the conversation: what it asks for a turn that was begun is the same
        question once more, whatever notes are in the conversation.
        """
        self._resumed = True

    def completed(self, response: ScriptedResponse) -> None:
        """Note that the answer was given in full: what comes next follows it."""
        self._awaits_tools = bool(response.tools)

    def _begin_turn(self, messages: Sequence[Mapping[str, Any]]) -> None:
        if self._turn < len(self._turns):
            self._steps = _steps(self._turns[self._turn])
        elif self._otherwise is not None:
            self._steps = _steps(self._otherwise)
        else:
            asked = next((m.get("content") for m in reversed(messages) if m.get("role") == "user"), None)
            raise ScriptOver(
                f"the script of the LLM has {len(self._turns)} turns, and it was asked once more: {asked!r}. "
                "Give it another reply, or otherwise=..."
            )
        self._turn += 1
        self._at = self._next = 0

    def _response(self, context: LLMContext) -> ScriptedResponse:
        """Return the steps from here to the end of the next run of tools."""
        words: list[str] = []
        tools: list[Tool] = []
        at = self._at
        steps = self._steps[at:]
        if not steps and self._steps and callable(self._steps[-1]):
            at -= 1  # a function of the context is asked again with what its tool has returned
            steps = self._steps[-1:]
        for step in steps:
            if tools and not isinstance(step, Tool):
                break
            at += 1
            found = step(context) if callable(step) else step
            if isinstance(found, Fault):
                return ScriptedResponse(self._turn, " ".join(words), (), found)
            for part in _steps(found):
                match part:
                    case str():
                        words.append(part)
                    case Tool():
                        tools.append(part)
                    case _:
                        raise TypeError(
                            f"{shown(step)} returned {shown(part)}, which is neither text nor a Tool"
                        )
            if callable(step) and tools:
                break
        self._next = at
        return ScriptedResponse(self._turn, " ".join(words), tuple(tools))


def _goes_on(before: Sequence[tuple[Any, Any]], asked: Sequence[tuple[Any, Any]]) -> bool:
    """Return whether a request has the conversation of the one before, whose last words may be longer now: a caller
    who pauses and speaks on is asked about twice.
    """
    *kept, (role, text) = before or [("", "")]
    if list(asked[: len(kept)]) != kept:
        return False
    role_now, text_now = asked[len(kept)] if len(asked) > len(kept) else ("", "")
    return not before or (role_now == role and str(text_now).startswith(str(text)))


def _last_of_user(asked: Sequence[tuple[Any, Any]]) -> Any:
    return next((text for role, text in reversed(asked) if role == "user"), None)


def _steps(reply: Reply) -> list[str | Tool | Replier]:
    """Raises `TypeError` for what is no reply."""
    parts: list[Any] = list(reply) if isinstance(reply, (list, tuple)) else [reply]
    for part in parts:
        if not isinstance(part, (str, Tool)) and not callable(part):
            raise TypeError(
                f"a reply is text, a Tool, a function of the context or several of them, not {shown(part)}"
            )
    return parts
