"""`ResumableState`: what another instance of the agent needs to go on with a call.

At the end of each turn, before a tool runs and when it has returned, the agent sends it to the gateway as a
checkpoint. The gateway keeps the last one and never looks into it. When the instance is lost, the gateway puts the
checkpoint into the offer to another instance, which may run another version of this package. So the checkpoint says
its version:

* version 1 did not say it (package 0.1.0): `messages`, `state` and perhaps `rtvi`;
* version 2 has the same keys and `version`, and perhaps `pauses`;
* version 3 has perhaps `tools`, `tools_begun`, `hangup`, `heard` and `unspoken` as well, and perhaps `parts`: what
  else of the call keeps something, each under a name of its own, which a reader that does not know it passes over.

An older checkpoint is upgraded, one version at a time, by `_UPGRADES`. A newer one is not understood: this
instance takes the call all the same, without the conversation, because a bot that greets the caller again
is better than a call that is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, cast

from loguru import logger
from pydantic import BaseModel, ConfigDict, ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.json_values import MAX_NESTING, json_text
from piopiy_pipeline.session.tool_journal import ToolRun

__all__ = ["MAX_CHECKPOINT_BYTES", "VERSION", "AskedEnd", "ResumableState", "UnsavedState", "resumable_from"]

AskedEnd = Literal["", "asked", "final"]
"""Whether the bot has asked for the end of its call: not, unless the caller goes on to speak, or whatever they say."""

VERSION = 3
"""The version of the checkpoints that this package writes."""
MAX_CHECKPOINT_BYTES = 900_000
"""The gateway takes messages of one megabyte, and the offer with the checkpoint is one."""

_NESTING_OF_RUN = 2
_NAMES = {
    "messages": "the conversation",
    "state": "call.state",
    "tools": "the journal of tools",
    "parts": "what parts of the call keep",
}
Part = Literal["state", "messages", "tools", "parts"]
"""What of a state may be at fault."""


class UnsavedState(ValueError):
    """A part of a call's state cannot be saved as it is.

    Attributes:
        part: Which part is at fault.
    """

    def __init__(self, part: Part, fault: str) -> None:
        super().__init__(fault)
        self.part = part


class ResumableState(BaseModel):
    """The state of one call at the end of a turn. It holds nothing but JSON.

    Attributes:
        version: The version of this model.
        messages: The conversation, as messages of pipecat's `LLMContext`.
        state: The author's own `call.state`.
        rtvi: The version of RTVI that the client's application speaks, such as ``1.4.0``; None if it does not.
        pauses: What was learnt of the caller's pauses: `CallerPauses.longest_s`.
        tools: The runs of tools of which the messages may not know.
        tools_begun: How many runs of tools there were in the call.
        hangup: Whether the bot has asked for the end of the call: ``asked``, if the caller may still call it off by
            going on to speak, or ``final``.
        heard: What the caller has heard of the bot's turn that was not over.
        unspoken: Whether neither side has had a turn yet: the call was answered, and the messages are those that it
            began with.
        parts: What other parts of the call go on with, by the name of the part: see `Checkpoints.parts`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[3] = 3
    messages: list[dict[str, Any]]
    state: dict[str, Any]
    rtvi: str | None = None
    pauses: list[float] = []
    tools: list[ToolRun] = []
    tools_begun: int = 0
    hangup: AskedEnd = ""
    heard: str = ""
    unspoken: bool = False
    parts: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        messages: Sequence[Any],
        state: Mapping[str, Any],
        rtvi: str | None = None,
        pauses: Sequence[float] = (),
        *,
        tools: Sequence[ToolRun] = (),
        tools_begun: int = 0,
        hangup: AskedEnd = "",
        heard: str = "",
        unspoken: bool = False,
        parts: Mapping[str, Any] | None = None,
    ) -> Self:
        """Copy the state of a call.

        Args:
            messages: The conversation, as messages of pipecat's `LLMContext`.
            state: The author's own `call.state`.
            rtvi: The version of RTVI that the client's application speaks; None if it does not.
            pauses: What was learnt of the caller's pauses.
            tools: The runs of tools of which the messages may not know.
            tools_begun: How many runs of tools there were in the call.
            hangup: Whether the bot has asked for the end of the call.
            heard: What the caller has heard of the bot's turn that is not over.
            unspoken: Whether neither side has had a turn yet.
            parts: What other parts of the call go on with.

        Raises:
            UnsavedState: A message or the author's state is not JSON or nests too deep, or the whole is longer than
                `MAX_CHECKPOINT_BYTES`.
        """
        if not isinstance(state, dict):
            raise UnsavedState("state", f"call.state is of type {type(state).__name__}, and must be a dict")
        texts = {
            "messages": _part("messages", list(messages)),
            "state": _part("state", state),
            "tools": _part("tools", [run.to_json() for run in tools]),
            "parts": _part("parts", dict(parts or {})),
        }
        length = sum(map(len, texts.values()))
        if length > MAX_CHECKPOINT_BYTES:
            largest = max(texts, key=lambda part: len(texts[part]))
            name = _NAMES[largest]
            raise UnsavedState(
                cast(Any, largest),
                f"{name} is too long: {len(texts[largest])} bytes of {length}; {MAX_CHECKPOINT_BYTES} are the limit",
            )
        values = {part: json.loads(text) for part, text in texts.items()}
        values |= {
            "rtvi": rtvi,
            "pauses": list(pauses),
            "tools_begun": tools_begun,
            "hangup": hangup,
            "heard": heard,
            "unspoken": unspoken,
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:  # a message of the conversation is no object
            raise UnsavedState(
                "messages", f"the conversation is not JSON of messages: {_first_fault(error)}"
            ) from None

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Read a checkpoint of this version or of an older one.

        Raises:
            ValueError: The checkpoint is of a newer version, or it does not have the shape of its version.
        """
        version = checkpoint.get("version", 1)
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"its version is {version!r}")
        if version > VERSION:
            raise ValueError(
                f"it is of version {version}, and this instance reads up to {VERSION}: upgrade this instance"
            )
        upgraded = dict(checkpoint)
        for old in range(version, VERSION):
            upgraded = _UPGRADES[old](upgraded)
        try:
            return cls.model_validate(upgraded)
        except ValidationError as error:
            raise ValueError(_first_fault(error)) from None

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the state as the JSON object of a `Checkpoint` message. What there is none of is left out, but for
        `messages` and `state`.
        """
        optional = ("rtvi", "pauses", "tools", "tools_begun", "hangup", "heard", "unspoken", "parts")
        kept = self.model_dump(exclude={name for name in optional if not getattr(self, name)})
        if self.tools:
            kept["tools"] = [run.to_json() for run in self.tools]
        return kept


def _part(part: Part, value: Any) -> str:
    try:
        # of a run, arguments and result have the limit
        return json_text(value, _NAMES[part], max_nesting=MAX_NESTING + (part == "tools") * _NESTING_OF_RUN)
    except ValueError as error:
        raise UnsavedState(part, str(error)) from None


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return fault_text(first)


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no model: its reader took what was there, and ignored the rest."""
    return {
        "version": 2,
        "messages": old.get("messages") or [],
        "state": old.get("state") or {},
        "rtvi": old.get("rtvi"),
    }


def _from_version_2(old: dict[str, Any]) -> dict[str, Any]:
    return old | {"version": 3}


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1, 2: _from_version_2}
"""For each version, a function that makes a checkpoint of the next version."""


def resumable_from(checkpoint: Mapping[str, Any] | None, heard: str | None = None) -> ResumableState | None:
    """Return the state in an offer's checkpoint, or None if there is none that this instance understands.

    A checkpoint that is not understood is logged, and the call goes on without the conversation. `heard` is what the
    caller has heard of the bot's turn after it.
    """
    if not checkpoint:
        return None
    try:
        resumed = ResumableState.from_checkpoint(checkpoint)
        return resumed.model_copy(update={"heard": heard}) if heard else resumed
    except ValueError as error:
        logger.error("the call is resumed without its conversation: the checkpoint cannot be read: {}", error)
        return None
