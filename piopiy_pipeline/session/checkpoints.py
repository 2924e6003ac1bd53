"""`Checkpoints`: hands the state of one call to the gateway, and keeps the journal of the call's tools.

A checkpoint is sent when the call is answered, at the end of each turn, before a tool runs, when it has returned, when
the bot asks for the end of the call, and at `Call.save()`. A tool that is not idempotent runs only when the gateway has
the checkpoint that says so: otherwise an agent that is lost just then would leave nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.compat.tool_permits import ToolPermit
from piopiy_pipeline.session.live_events import bounded
from piopiy_pipeline.session.promised_sentence import kept_in, rest_of
from piopiy_pipeline.session.resumable_state import AskedEnd, ResumableState, UnsavedState
from piopiy_pipeline.session.resumed_conversation import conversation_of, tool_calls_with_results
from piopiy_pipeline.session.saves import Saves
from piopiy_pipeline.session.tool_journal import InsteadOfRun, ToolJournal
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint

__all__ = ["BEFORE_TOOL_S", "SAVE_S", "Checkpoints", "ConversationSource"]

SAVE_S = 2.0
"""How long `Call.save()` waits for the gateway, in seconds: after as long without a word it counts as lost."""
BEFORE_TOOL_S = 2.0
"""How long a tool waits for the gateway, in seconds."""
MAX_WAITING = 100
"""So many checkpoints may wait for their confirmation."""
MAX_RESULT_BYTES = 20_000
"""What of a tool's result is in the journal. The context has all of it a moment later."""
_PARTS = 5
"""A state has four parts that may be at fault, one after another."""

_NO_GATEWAY = (
    "Not run: the connection was lost for a moment, and nothing was done. Try again, or tell the caller."
)


@dataclass(frozen=True, slots=True)
class ConversationSource:
    """Where a checkpoint of a running pipeline comes from.

    Attributes:
        messages: Returns the conversation, as messages of pipecat's `LLMContext`.
        rtvi: Returns the version of RTVI that the client's application speaks.
        pauses: Returns what was learnt of the caller's pauses.
    """

    messages: Callable[[], Sequence[Any]]
    rtvi: Callable[[], str | None]
    pauses: Callable[[], Sequence[float]]


class Checkpoints:
    """The checkpoints of one call. It is the `ToolRecord` of the call's models.

    Args:
        call_id: The call's id.
        post: Sends the gateway a message. After the end of the call it sends none.
        author_state: Returns `call.state`.
        resumed: What this instance goes on with.
        confirmed: Returns whether the gateway confirms checkpoints now. Otherwise nothing waits for it.
        on_fault: Called with a sentence when a part of the state cannot be saved as it is, once for each part.
    """

    def __init__(
        self,
        call_id: str,
        *,
        post: Callable[[AgentMessage], None],
        author_state: Callable[[], dict[str, Any]],
        resumed: ResumableState | None,
        confirmed: Callable[[], bool],
        on_fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.source: ConversationSource | None = None
        """The conversation, as soon as there is one in a pipeline."""
        self.journal = (
            ToolJournal(call_id)
            if resumed is None
            else ToolJournal(call_id, resumed.tools, resumed.tools_begun)
        )
        self.parts: dict[str, Callable[[], Any]] = {}
        """What other parts of the call keep: each under a name of its own, a function that returns small JSON as it is
        now. None: nothing. `kept_part` has what the instance before has left.
        """
        self._unspoken = resumed is None or (resumed.unspoken and not resumed.heard)
        self.left_to_say = "" if resumed is None or self._unspoken else _left_to_say(resumed)
        """What the caller has not heard of a prepared sentence that the instance before was saying."""
        goes_on = bool(self.left_to_say)
        self.conversation = (
            None if resumed is None else [] if self._unspoken else conversation_of(resumed, goes_on=goes_on)
        )
        """The conversation that this instance goes on with, empty if nobody has spoken yet; None in a new call."""
        behind = self.conversation or []
        if goes_on and resumed is not None and resumed.heard:
            behind = behind[:-1]
        self.owes_answer = bool(behind) and behind[-1].get("role") in ("user", "tool", "developer")
        """Whether the model has to answer what the conversation ends with, but for a sentence that is gone on with."""
        self._call_id = call_id
        self._post = post
        self._author_state = author_state
        self._resumed = resumed
        self._confirmed = confirmed
        self._hangup: AskedEnd = "" if resumed is None else resumed.hangup
        self._last: ResumableState | None = resumed
        self._on_fault = on_fault
        self._faulty: set[str] = set()  # the parts of the state whose faults are on the record
        self._number = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._saves = Saves(self._save_once)

    # ------------------------------------------------------------------ turns

    def answered(self) -> None:
        """Send the first checkpoint, because the call is answered: the next instance knows that it has begun."""
        if (
            self._resumed is None or not self._resumed.heard
        ):  # the gateway still has what was heard, and counts it once
            self._send(self._state_or_last("a part of the beginning is not checkpointed"))

    def bot_turn(self) -> None:
        """Send a checkpoint at the end of a turn of the bot."""
        self.journal.bot_turn()
        self._turn_over()

    def user_turn(self) -> None:
        """Send a checkpoint at the end of a turn of the caller."""
        self.journal.user_turn()
        self._turn_over()

    def _turn_over(self) -> None:
        self._unspoken = False
        if self.source is not None:
            self.journal.in_conversation(tool_calls_with_results(self.source.messages()))
        self._send(self._state_or_last("a part of this turn is not checkpointed"))

    # ------------------------------------------------------------------ parts of the call

    def kept_part(self, name: str) -> Any:
        """Return what this part of the call has left in the checkpoint that this instance goes on with, or None."""
        return None if self._resumed is None else self._resumed.parts.get(name)

    def part_changed(self) -> None:
        """Send a checkpoint, because a part of the call keeps something else now."""
        self._send(self._state_or_last("this change of the call is not checkpointed"))

    # ------------------------------------------------------------------ the end

    def asks_for_end(self, hangup: AskedEnd) -> None:
        """Send a checkpoint that says that the bot has asked for the end of the call, or no longer does."""
        if hangup != self._hangup:
            self._hangup = hangup
            self._send(self._state_or_last("the end that the bot has asked for is not checkpointed"))

    # ------------------------------------------------------------------ at any time

    async def save(self, timeout_s: float = SAVE_S) -> bool:
        """Send a checkpoint, and wait until the gateway has it. Saves at the same time share one.

        Args:
            timeout_s: How long to wait, in seconds.

        Returns:
            Whether the gateway has it. False too if it is too old to say so.

        Raises:
            ValueError: The state is not JSON, nests too deep, or is too long. The sentence names the value.
        """
        return await self._saves.save(timeout_s)

    async def save_for_move(self, timeout_s: float = SAVE_S) -> bool:
        """Save as `save` does, but where `call.state` cannot be saved, what it was when it last could: the record says
        so, and the author's fault keeps no call at an agent that is about to end.

        Args:
            timeout_s: How long to wait, in seconds.

        Returns:
            Whether the gateway has it.

        Raises:
            ValueError: The conversation cannot be saved.
        """
        try:
            return await self.save(timeout_s)
        except UnsavedState as fault:
            if fault.part == "messages":
                raise
        state = self._state_or_last("this call moves without a part of its state")
        return state is not None and await self._kept(state, timeout_s)

    async def _save_once(self, timeout_s: float) -> bool:
        return await self._kept(self._state(), timeout_s)

    def kept(self, number: int) -> None:
        """Handle the gateway's confirmation. It has what came before this checkpoint as well."""
        for earlier in [one for one in self._waiting if one <= number]:
            waiting = self._waiting.pop(earlier)
            if not waiting.done():
                waiting.set_result(None)

    # ------------------------------------------------------------------ tools

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, idempotent: bool
    ) -> ToolPermit:
        """Write the run into the journal, and let it begin when the gateway has it."""
        self._unspoken = False
        run = self.journal.begin(tool_call_id, name, arguments, idempotent=idempotent)
        if isinstance(run, InsteadOfRun):
            logger.warning("the tool {} is not run: what came of it before a loss is not settled", name)
            return ToolPermit(instead=run.result)
        state = self._state_or_last("this tool is not checkpointed")
        if idempotent or not self._confirmed():
            self._send(state)
        elif state is not None and not await self._kept(state, BEFORE_TOOL_S):
            self.journal.never_ran(tool_call_id)
            logger.error("the tool {} is not run: the gateway has not confirmed a checkpoint", name)
            return ToolPermit(instead={"error": _NO_GATEWAY})
        return ToolPermit(run.key)

    def end(self, tool_call_id: str, result: Any) -> None:
        """Write the result of a run into the journal, and send it."""
        if self.journal.end(tool_call_id, bounded(result, MAX_RESULT_BYTES)):
            self._send(self._state_or_last("this result of a tool is not checkpointed"))

    # ------------------------------------------------------------------ sending

    def _state(self, *, like_last: Collection[str] = (), abbreviated: bool = False) -> ResumableState:
        """Return the state as it is now.

        Args:
            like_last: The parts (``messages``, ``state``, ``parts``) to be taken from the last one that was good.
            abbreviated: Whether the journal of tools is to be short.

        Raises:
            UnsavedState: A part of it cannot be saved.
        """
        source = self.source
        if source is None:
            messages = [] if self._resumed is None else self._resumed.messages
            rtvi = None if self._resumed is None else self._resumed.rtvi
            pauses = [] if self._resumed is None else self._resumed.pauses
        else:
            messages, rtvi, pauses = list(source.messages()), source.rtvi(), list(source.pauses())
        last = self._last
        parts = {} if self._resumed is None else self._resumed.parts
        if "parts" in like_last:
            parts = {} if last is None else last.parts
        else:
            now = {name: part() for name, part in self.parts.items()}
            parts = {name: part for name, part in {**parts, **now}.items() if part is not None}
        if "messages" in like_last:
            messages = [] if last is None else last.messages
        state = self._author_state() if "state" not in like_last else {} if last is None else last.state
        self._last = ResumableState.of(
            messages,
            state,
            rtvi,
            pauses,
            tools=[run.abbreviated() if abbreviated else run for run in self.journal.runs],
            tools_begun=self.journal.begun,
            hangup=self._hangup,
            unspoken=self._unspoken,
            parts=parts,
        )
        return self._last

    def _state_or_last(self, trouble: str) -> ResumableState | None:
        """Return the state as it is now. What of it cannot be saved is as it was when it last could."""
        like_last: set[str] = set()
        abbreviated = False
        for _ in range(_PARTS):
            try:
                return self._state(like_last=like_last, abbreviated=abbreviated)
            except UnsavedState as fault:
                self._tell(fault, trouble)
                if fault.part == "tools":
                    abbreviated = True
                else:
                    like_last.add(fault.part)
        return None

    def _tell(self, fault: UnsavedState, trouble: str) -> None:
        if fault.part not in self._faulty:
            self._faulty.add(fault.part)
            logger.warning("{}: {}", trouble, fault)
            self._on_fault(str(fault))

    async def _kept(self, state: ResumableState, timeout_s: float) -> bool:
        if not self._confirmed() or len(self._waiting) >= MAX_WAITING:
            self._send(state)
            return False
        self._number += 1
        number = self._number
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(state, number)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(number, None)
        return True

    def _send(self, state: ResumableState | None, number: int | None = None) -> None:
        if state is not None:
            self._post(Checkpoint(call_id=self._call_id, state=state.to_checkpoint(), number=number))


def _left_to_say(resumed: ResumableState) -> str:
    return rest_of(kept_in(resumed.parts), resumed.messages, resumed.heard)
