"""`ResumableState`: what another instance of the agent needs to go on with a call.

At the end of each turn the agent sends it to the gateway as a checkpoint. The gateway keeps the last one
and never looks into it. When the instance is lost, the gateway puts the checkpoint into the offer to
another instance, which may run another version of this package. So the checkpoint says its version:

* version 1 did not say it (package 0.1.0): `messages`, `state` and perhaps `rtvi`;
* version 2 has the same keys and `version`, and perhaps `pauses`.

An older checkpoint is upgraded, one version at a time, by `_UPGRADES`. A newer one is not understood: this
instance takes the call all the same, without the conversation, because a bot that greets the caller again
is better than a call that is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from loguru import logger
from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["MAX_CHECKPOINT_BYTES", "VERSION", "ResumableState", "checkpoint_of", "resumable_from"]

VERSION = 2
"""The version of the checkpoints that this package writes."""
MAX_CHECKPOINT_BYTES = 900_000
"""The gateway takes messages of one megabyte, and the offer with the checkpoint is one."""


class ResumableState(BaseModel):
    """The state of one call at the end of a turn. It holds nothing but JSON.

    Attributes:
        version: The version of this model.
        messages: The conversation, as messages of pipecat's `LLMContext`.
        state: The author's own `call.state`.
        rtvi: The version of RTVI that the client's application speaks, such as ``1.4.0``; None if it does not.
        pauses: What was learnt of the caller's pauses: `CallerPauses.longest_s`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[2] = 2
    messages: list[dict[str, Any]]
    state: dict[str, Any]
    rtvi: str | None = None
    pauses: list[float] = []

    @classmethod
    def of(
        cls,
        messages: Sequence[Any],
        state: Mapping[str, Any],
        rtvi: str | None = None,
        pauses: Sequence[float] = (),
    ) -> Self:
        """Copy the state of a call.

        Args:
            messages: The conversation, as messages of pipecat's `LLMContext`.
            state: The author's own `call.state`.
            rtvi: The version of RTVI that the client's application speaks; None if it does not.
            pauses: What was learnt of the caller's pauses.

        Raises:
            ValueError: A message or the author's state is not JSON, or the whole is longer than
                `MAX_CHECKPOINT_BYTES`.
        """
        try:
            values = {"messages": list(messages), "state": state, "rtvi": rtvi, "pauses": list(pauses)}
            text = json.dumps(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"call.state or the context is not JSON: {error}") from None
        if len(text) > MAX_CHECKPOINT_BYTES:
            raise ValueError(f"the conversation is too long: {len(text)} bytes")
        return cls.model_validate(json.loads(text))

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
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where}: {first['msg']}") from None

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the state as the JSON object of a `Checkpoint` message. `rtvi` and `pauses` are left out if there
        are none.
        """
        nothing = {name for name in ("rtvi", "pauses") if not getattr(self, name)}
        return self.model_dump(exclude=nothing)


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no model: its reader took what was there, and ignored the rest."""
    return {
        "version": 2,
        "messages": old.get("messages") or [],
        "state": old.get("state") or {},
        "rtvi": old.get("rtvi"),
    }


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1}
"""For each version, a function that makes a checkpoint of the next version."""


def checkpoint_of(
    messages: Sequence[Any], state: Mapping[str, Any], rtvi: str | None, pauses: Sequence[float] = ()
) -> dict[str, Any] | None:
    """Return the checkpoint to send, or None if there can be none. Then the log says why."""
    try:
        return ResumableState.of(messages, state, rtvi, pauses).to_checkpoint()
    except ValueError as error:
        logger.warning("this turn is not checkpointed: {}", error)
        return None


def resumable_from(checkpoint: Mapping[str, Any] | None) -> ResumableState | None:
    """Return the state in an offer's checkpoint, or None if there is none that this instance understands.

    A checkpoint that is not understood is logged, and the call goes on without the conversation.
    """
    if not checkpoint:
        return None
    try:
        return ResumableState.from_checkpoint(checkpoint)
    except ValueError as error:
        logger.error("the call is resumed without its conversation: the checkpoint cannot be read: {}", error)
        return None
