"""`ToolCallAssembler`: the tool calls of one streamed answer, from their pieces. Without I/O.

OpenAI's protocol sends a tool call as pieces ("deltas") with an index, the id and the name in the first one.
pipecat expects exactly that, and loses what comes otherwise: of two calls in one chunk the second, of calls
that all have the index 0 all, and whatever has an index that does not begin at 0. Servers that call
themselves compatible send all of these:

- Ollama, Gemini: a whole call in each chunk, every one with the index 0, the id missing or used before.
- Mistral, Groq: all calls in one chunk. vLLM with a forced tool: the name and a new id in every piece.
- llama.cpp: the whole name in every piece. Qwen: an empty id and an empty name in later pieces.
- SGLang: the names numbered in one way, and the arguments in another. Bedrock's gateway: from -1 on.
  Others: from 1 on, or null.
- LiteLLM: ``"null"`` as the name of later pieces; in front of Anthropic, ``{}`` as the arguments first, and
  then the arguments in pieces.
- Small models and small token limits: arguments that are cut off, JSON ``null``, or no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

__all__ = ["UNNAMED_TOOL", "AssembledCall", "ToolCallAssembler"]

UNNAMED_TOOL = "unnamed_tool"
"""Stands for the name that a model left out: providers refuse a tool call without a name in the context."""
MAX_CALLS = 64
MAX_ARGUMENTS = 256 * 1024
"""Characters. More than any tool needs: a model that repeats itself without an end is stopped here."""
QUOTED = 200
_ENDS = {"{": "}", "[": "]", '"': '"'}
"""With what a JSON value ends that begins so."""


@dataclass(frozen=True, slots=True)
class AssembledCall:
    """A tool call, whole or broken.

    Attributes:
        id: The provider's id, or an empty string.
        name: The tool's name.
        arguments: The arguments; empty if the call is broken.
        fault: What is wrong with the call, in a sentence for the model. None: it can run.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    fault: str | None = None


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    fragments: list[str] = field(default_factory=list)
    size: int = 0
    first: str = ""
    last: str = ""
    """The first and the last character of the arguments, without the blanks around them."""

    def append(self, arguments: str) -> None:
        self.fragments.append(arguments)
        self.size += len(arguments)
        if said := arguments.strip():
            self.first, self.last = self.first or said[0], said[-1]

    @property
    def text(self) -> str:
        return "".join(self.fragments)

    @property
    def blank(self) -> bool:
        return not self.first

    @property
    def complete(self) -> bool:
        """Whether the arguments so far are a whole JSON value.

        They are read only where they can be: with each piece of a long text, that would block the event loop.
        """
        if self.blank or self.size > MAX_ARGUMENTS or _ENDS.get(self.first, self.last) != self.last:
            return False
        return bool(_values(self.text))


class ToolCallAssembler:
    """Puts the tool calls of one answer together.

    Args:
        known: The names of the tools that the model was given. They decide whether two names in a row are
            one name in pieces or two calls.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, delta: Any) -> None:
        """Take one piece: an object with `index`, `id` and `function`, each of which may be missing."""
        function = getattr(delta, "function", None)
        name = _text(getattr(function, "name", None))
        if name == "null" and name not in self._known:
            name = ""
        self._add(
            getattr(delta, "index", None), _text(getattr(delta, "id", None)), name, _arguments_of(function)
        )

    def add_function_call(self, delta: Any) -> None:
        """Take a piece of the protocol's older form, which has one call without index and id."""
        self._add(None, "", _text(getattr(delta, "name", None)), _arguments_of(delta))

    def _add(self, index: Any, id: str, name: str, arguments: str) -> None:
        index = index if isinstance(index, int) else None
        if not (id or name or arguments):
            return
        call = self._continued(index, id, name, arguments)
        if call is None:
            if len(self._calls) == MAX_CALLS:
                return
            call = _Call(index, id, name)
            self._calls.append(call)
        elif name and name != call.name:
            call.name += name
        call.id = call.id or id
        if arguments and call.size <= MAX_ARGUMENTS:
            call.append(arguments)

    def _continued(self, index: int | None, id: str, name: str, arguments: str) -> _Call | None:
        """Return the call that this piece belongs to. None: it begins a call."""
        last = self._calls[-1] if self._calls else None
        same = last if index is None else self._latest(index)
        if not name:
            if same is None and id:
                same = next((call for call in self._calls if call.id == id), None)
            ended = same is None or (same.complete and arguments.strip())
            if ended and last is not None and not last.complete:
                same = last  # a server that numbers the pieces in another way than the names
            return same
        if same is None or not same.name:
            return same
        if name == same.name:
            return None if same.complete and arguments.strip() else same
        other_id = bool(id and same.id and id != same.id)
        return same if same.blank and not other_id and self._is_piece(same.name, name) else None

    def _is_piece(self, begun: str, name: str) -> bool:
        """Return whether `name` goes on with a name that was begun."""
        if any(known.startswith(begun + name) for known in self._known):
            return True
        return begun not in self._known and name not in self._known

    def _latest(self, index: int) -> _Call | None:
        return next((call for call in reversed(self._calls) if call.index == index), None)

    def calls(self) -> list[AssembledCall]:
        """Return the calls, in the order in which they began. To be called at the end of the answer."""
        return [done for call in self._calls for done in _finished(call)]


def _finished(call: _Call) -> Iterator[AssembledCall]:
    name = call.name or UNNAMED_TOOL
    text = call.text
    if not call.name:
        yield AssembledCall(call.id, name, {}, "The call has no name of a tool. Call the tool by its name.")
        return
    values = [{}] if call.blank else _values(text) or _cumulative(call.fragments)
    values = [_decoded_twice(value) for value in values]
    if len(values) > 1:
        values = [value for value in values if value != {}]  # a placeholder, and then the arguments
        values = [value for i, value in enumerate(values) if value not in values[:i]] or [{}]
    if call.size > MAX_ARGUMENTS:
        values = []
    if values and all(isinstance(value, dict) for value in values):
        for i, value in enumerate(values):
            yield AssembledCall(call.id if i == 0 else "", name, value)
        return
    what = "not an object" if values else "no complete JSON"
    quoted = text if len(text) <= QUOTED else f"{text[:QUOTED]}…"
    yield AssembledCall(
        call.id,
        name,
        {},
        f"The tool did not run: its arguments are {what}: {quoted}. Call it again, with one JSON object.",
    )


def _values(text: str) -> list[Any]:
    """Return the JSON values that follow one another in a text. Empty if there is anything else in it."""
    decoder = json.JSONDecoder(
        strict=False, parse_constant=lambda _: None
    )  # NaN: a provider refuses it later
    values: list[Any] = []
    at = 0
    try:
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            value, at = decoder.raw_decode(text, at)
            values.append({} if value is None else value)
    except (ValueError, RecursionError):
        return []
    # Two scalars in a row are no arguments, but pieces of something broken.
    return values if len(values) == 1 or all(isinstance(value, dict) for value in values) else []


def _cumulative(fragments: list[str]) -> list[Any]:
    """Return the last piece, if each piece repeats the one before it and goes on."""
    pieces = [piece for piece in fragments if piece.strip()]
    grows = all(after.startswith(before) for before, after in pairwise(pieces))
    return _values(pieces[-1]) if len(pieces) > 1 and grows else []


def _decoded_twice(value: Any) -> Any:
    """Return an object that was encoded as a JSON string, decoded. Any other value as it is."""
    if not isinstance(value, str):
        return value
    inner = _values(value)
    return inner[0] if len(inner) == 1 and isinstance(inner[0], dict) else value


def _arguments_of(function: Any) -> str:
    arguments = getattr(function, "arguments", None)
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments)  # an object, as Ollama's own protocol has it


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
