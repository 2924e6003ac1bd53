"""`ToolJournal`: which tools of a call have begun and returned, as another instance of the agent needs to know it.

A tool changes the world, and its result is in the conversation only some time later: when an instance is lost in
between, the conversation alone would have the next one book the table again. So each run is on the journal before it
begins, and the journal is in every checkpoint. Of a run that an instance was lost with,

* one that had returned is known with its result, which is given again where the model asks for the same;
* one of an idempotent tool is run again, with the same idempotency key;
* any other may have done its work or not: it is *unknown*. The model is told so, and calls of that tool are refused
  until the bot has spoken and the caller has answered.

No I/O. The checkpoints are `Checkpoints`'.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from piopiy_pipeline.json_values import nests_too_deep

__all__ = ["MAX_RUNS", "InsteadOfRun", "ToolJournal", "ToolRun", "unknown_result"]

MAX_ARGUMENTS_BYTES = 20_000
"""What of a run's arguments is in the journal. With more of them a run is not run again by itself."""
_LITTLE = 200
MAX_RUNS = 50
"""The journal holds so many runs. Of more, those that returned first are left out: they are long in the context."""


class ToolRun(BaseModel):
    """One run of a tool.

    Attributes:
        key: Its idempotency key: the same if it is run again after a loss, and another one for any other run.
        tool_call_id: The model's id of its call.
        name: The tool's name.
        arguments: What the model has called it with.
        idempotent: Whether its author has said that it may be run again with the same key.
        state: ``running``, ``returned``, or ``unknown``: it ran when its instance was lost.
        result: What it has returned, as JSON.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    tool_call_id: str
    name: str
    arguments: dict[str, Any]
    idempotent: bool = False
    state: Literal["running", "returned", "unknown"] = "running"
    result: Any = None

    @property
    def is_repeated(self) -> bool:
        """Whether it is to be run again after a loss."""
        return self.idempotent and self.state == "running"

    def abbreviated(self) -> ToolRun:
        """Return it with the beginnings of its arguments and its result, where they are long."""
        arguments, result = json.dumps(self.arguments), json.dumps(self.result)
        changed: dict[str, Any] = {}
        if len(arguments) > _LITTLE:
            changed |= {"arguments": {"value": f"{arguments[:_LITTLE]}…"}, "idempotent": False}
        if len(result) > _LITTLE:
            changed["result"] = f"{result[:_LITTLE]}…"
        return self.model_copy(update=changed)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a checkpoint, without what has its default."""
        return self.model_dump(exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class InsteadOfRun:
    """What the model gets in place of a run: a result that is known, or a refusal."""

    result: Any


class ToolJournal:
    """The runs of tools in one call.

    Args:
        call_id: The call's id, of which the keys are made.
        runs: Those in the checkpoint that this instance goes on with.
        begun: How many runs there were until then.
    """

    def __init__(self, call_id: str, runs: Iterable[ToolRun] = (), begun: int = 0) -> None:
        self.begun = begun
        """How many runs have begun in this call, those of other instances included."""
        self._call_id = call_id
        self._runs: dict[str, ToolRun] = {}
        self._lost: dict[str, ToolRun] = {}  # unknown or returned, until the caller has been asked
        self._bot_spoke = False
        for run in runs:
            if run.is_repeated:
                self._runs[run.tool_call_id] = run
            else:
                lost = run.model_copy(update={"state": "unknown"}) if run.state == "running" else run
                self._lost[run.tool_call_id] = lost

    @property
    def runs(self) -> list[ToolRun]:
        """Those that another instance must know of."""
        return [*self._lost.values(), *self._runs.values()]

    def begin(
        self, tool_call_id: str, name: str, arguments: Any, *, idempotent: bool
    ) -> ToolRun | InsteadOfRun:
        """Note that the model uses a tool.

        Args:
            tool_call_id: The model's id of the call.
            name: The tool's name.
            arguments: Its arguments.
            idempotent: Whether the tool may be run again with the same key.

        Returns:
            The run that may begin now, or what the model gets in its place.
        """
        given, whole = _for_journal(arguments)
        again = self._runs.get(tool_call_id)
        if again is not None and again.is_repeated and (again.name, again.arguments) == (name, given):
            return again
        if (instead := self._known(name, given)) is not None:
            self._bot_spoke = False
            return instead
        self.begun += 1
        run = ToolRun(
            key=f"{self._call_id}.{self.begun}",
            tool_call_id=tool_call_id,
            name=name,
            arguments=given,
            idempotent=idempotent and whole,
        )
        self._runs.pop(tool_call_id, None)
        self._runs[tool_call_id] = run
        return run

    def end(self, tool_call_id: str, result: Any) -> bool:
        """Note the result of a run, JSON. Return whether there was such a run."""
        run = self._runs.get(tool_call_id)
        if run is None or run.state == "returned":
            return False
        self._runs[tool_call_id] = run.model_copy(update={"state": "returned", "result": result})
        returned = [one for one, run in self._runs.items() if run.state == "returned"]
        for one in returned[: max(0, len(self._runs) - MAX_RUNS)]:
            del self._runs[one]
        return True

    def never_ran(self, tool_call_id: str) -> None:
        """Forget a run that was not let begin after all."""
        self._runs.pop(tool_call_id, None)

    def in_conversation(self, has_result: set[str]) -> None:
        """Forget the runs that have returned and whose results are in the conversation.

        Args:
            has_result: The ids of the tool calls with a result.
        """
        for one in [one for one, run in self._runs.items() if run.state == "returned" and one in has_result]:
            del self._runs[one]

    # ------------------------------------------------------------------ after a loss

    @property
    def repeated(self) -> list[ToolRun]:
        """The runs that are to be run again, because their instance was lost and they are idempotent."""
        return [run for run in self._runs.values() if run.is_repeated]

    def bot_turn(self) -> None:
        """Note that the bot has spoken: the caller may know now what is unknown."""
        self._bot_spoke = bool(self._lost)

    def user_turn(self) -> None:
        """Note that the caller has spoken. If that answers the bot, what the model does next is the caller's wish."""
        if self._bot_spoke:
            self._lost.clear()
            self._bot_spoke = False

    def _known(self, name: str, arguments: Mapping[str, Any]) -> InsteadOfRun | None:
        for run in self._lost.values():
            if run.name == name and run.state == "unknown":
                # whatever the arguments are: a model writes the same wish in more than one way
                return InsteadOfRun({"error": _REFUSED.format(name=name)})
            if (run.name, run.arguments) == (name, arguments):
                return InsteadOfRun(run.result)
        return None


def _for_journal(arguments: Any) -> tuple[dict[str, Any], bool]:
    """Return the arguments as a checkpoint can hold them, and whether these are all of them."""
    try:
        text = json.dumps(arguments, default=str)
        if len(text) <= MAX_ARGUMENTS_BYTES and not nests_too_deep(text):
            given = json.loads(text, parse_constant=lambda _: None)
            return given if isinstance(given, dict) else {"value": given}, True  # as models may send them
    except Exception:  # noqa: BLE001  whatever a model's client has made of what the model wrote
        text = f"<{type(arguments).__name__}>"
    return {"value": f"{text[:200]}…", "sha256": hashlib.sha256(text.encode()).hexdigest()}, False


_REFUSED = (
    "Not run: {name} was used just before the line was interrupted, and it is not known whether that has worked. "
    "Tell the caller so, and ask whether to do it again. Use it only after the caller has answered."
)


def unknown_result(name: str) -> dict[str, Any]:
    """Return what the model is told of a tool that may have run: its result in the conversation."""
    return {
        "status": "unknown",
        "note": f"The line was interrupted while {name} ran. It may have done its work, or not. Do not use it again by "
        "yourself: tell the caller, and ask or check first.",
    }
