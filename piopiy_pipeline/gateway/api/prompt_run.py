"""`PromptRun`: the prompts of one order in a call, what is told of their keys, and what is done then.

That is what the order says or, of a step with `await_answer`, what the receiver of its keys answers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from piopiy_pipeline.call import EndReason, TransferOutcomeName
from piopiy_pipeline.gateway.api.dependencies import ApiError
from piopiy_pipeline.gateway.api.models import PromptOrder, PromptTicket, TransferState
from piopiy_pipeline.gateway.api.rest_v3_error import BadOrder, NotHere
from piopiy_pipeline.gateway.api.transfers import Attempts, TransferLog
from piopiy_pipeline.gateway.core.event_bus import Redacted
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.prompts import KeysOutcome, Prompt, PromptPlayer

__all__ = ["MOST_ANSWERS", "AnsweredOrder", "PromptRun"]

MOST_ANSWERS = 32
"""So many answers of receivers are followed for one order: two of them must not keep a caller for ever."""


@dataclass(frozen=True, slots=True)
class AnsweredOrder:
    """What a receiver has answered: an order, with its prompts loaded, and whether the call is recorded."""

    order: PromptOrder
    prompts: Sequence[Prompt]
    record: bool = False


class PromptRun:
    """Plays the prompts of one order, and of what receivers answer.

    Args:
        call: The call.
        log: Keeps what becomes of a transfer behind the prompts.
        read: Reads an answer; None if it says nothing of what comes next. Raises `BadOrder`, `NotHere` or `ApiError`
            for what cannot be done.
    """

    def __init__(
        self, call: GatewayCall, log: TransferLog, read: Callable[[bytes], Awaitable[AnsweredOrder | None]]
    ) -> None:
        self._call = call
        self._log = log
        self._read = read
        self._ticket = PromptTicket(request_id=secrets.token_hex(8))
        self._answers = 0
        self._clock = asyncio.get_running_loop().time

    def begin(self, order: PromptOrder, prompts: Sequence[Prompt], keys: str = "") -> PromptTicket:
        """Play prompts, in the place of those before, and do then what the order says.

        Args:
            order: The order.
            prompts: Its steps, loaded.
            keys: Those that were pressed for it already.
        """
        self._order = order
        self._keep(None, "")
        if not prompts:
            self._on_end(True)
            return self._ticket
        self._player = PromptPlayer(
            prompts,
            rate=self._call.leg.rate,
            request_id=self._ticket.request_id,
            on_keys=self._on_keys,
            on_end=self._on_end,
        )
        self._call.control.play(self._player)
        if prompts[0].keys is None or not prompts[0].keys.fresh:
            self._player.press(keys)
        return self._ticket

    def _on_keys(self, number: int, outcome: KeysOutcome, keys: str, attempts: int) -> bool:
        step, redacted = self._order.steps[number], None
        data: dict[str, Any] = {"request_id": self._ticket.request_id, "name": step.name, "kind": "digits"}
        data |= {"outcome": outcome, "attempts": attempts}
        found: dict[str, Any] = {"how": "keys", "value": keys} if outcome == "collected" else {}
        waits = step.await_answer and outcome != "hangup" and self._answers < MOST_ANSWERS
        if step.receiver is not None:
            redacted = Redacted(step.receiver, found, partial(self._on_answer, number) if waits else None)
            found = found and {"how": "keys", "value": None, "length": len(keys)}
        self._call.state.publish_own("collection", data | found, self._clock(), redacted)
        return waits

    async def _on_answer(self, number: int, answer: bytes) -> None:
        player = self._player
        if not player.awaits_answer_of(number):
            return  # it comes too late
        following: AnsweredOrder | None = None
        try:
            following = await self._read(answer)
        except (BadOrder, NotHere, ApiError) as error:
            text = f"the answer of a receiver of keys: {error}"
            self._call.state.log.warning("{}", text)
            self._call.state.publish_own("error", {"stage": "prompts", "message": text[:500]}, self._clock())
        if self._player is not player or not player.awaits_answer_of(number):
            return
        if following is None:
            player.go_on()
            return
        self._answers += 1
        if following.record:
            self._call.state.record(on=True)
        if following.order.transfer is None:
            self._keep("failed", "the receiver of the keys has ordered something else")
        self.begin(following.order, following.prompts, player.give_up())

    def _on_end(self, all_played: bool) -> None:
        call, order = self._call, self._order
        if not all_played:
            self._keep("failed", "the call was over before")
            return
        call.control.played()
        if order.transfer is not None:
            Attempts(call, order.transfer, self._log, self._ticket.request_id, self._on_failed).begin()
        elif order.hangup:
            call.end(self._clock(), EndReason.AGENT_HANGUP, "hung up behind prompts, as ordered over the API")
        elif not call.options.with_agent:
            call.end(self._clock(), EndReason.AGENT_HANGUP, "nothing follows, and the call has no agent")

    def _on_failed(self) -> None:
        if not self._call.options.with_agent and self._call.control.request_under_way is None:
            self._call.end(
                self._clock(), EndReason.AGENT_HANGUP, "nobody took the caller, and the call has no agent"
            )

    def _keep(self, outcome: TransferOutcomeName | None, detail: str) -> None:
        if (wanted := self._order.transfer) is not None:
            state: dict[str, Any] = {
                "request_id": self._ticket.request_id,
                "call_id": self._call.call_id,
                "to": wanted.to,
                "warm": wanted.warm,
            }
            self._log.keep(TransferState(**state, outcome=outcome, detail=detail))
