"""What the bot asks of the gateway about its own call: transfers, hold, mute and recording.

The caller's leg ends at the gateway, so the gateway does these things. This class writes the requests,
remembers what was asked, and stops waiting for an answer in time: a gateway that says nothing must not
hold up a bot.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from piopiy_pipeline.arguments import check_kind, check_seconds, check_switches
from piopiy_pipeline.call import CallEnd, EndReason, TransferOutcomeName
from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.signaling.messages import AgentMessage, Control, Switchable, Transfer, TransferResult
from piopiy_pipeline.text import well_formed

__all__ = ["ANSWER_S", "CallControl", "TransferOutcome", "failure_text", "transfer_request"]

ANSWER_S = 10.0
"""The gateway's answer to a transfer is waited for this much longer than the destination may ring, in seconds."""


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What became of a transfer.

    Attributes:
        to: The destination, as it was given to `Call.transfer`.
        outcome: ``bridged`` (the caller talks to the destination, and the bot's part of the call ends with
            the reason `transferred`), ``no_answer``, ``busy``, ``declined``, ``unreachable``, ``refused``
            (not allowed, or another transfer is under way) or ``failed``.
        detail: Why, in a sentence for people. May be empty.
    """

    to: str
    outcome: TransferOutcomeName
    detail: str = ""

    @property
    def bridged(self) -> bool:
        """Whether the caller was handed over. If not, the caller is still with the bot."""
        return self.outcome == "bridged"


def failure_text(outcome: TransferOutcome) -> str:
    """Return why a transfer failed, in words that can be given to a language model."""
    return f"{outcome.detail} ({outcome.outcome})" if outcome.detail else outcome.outcome


def transfer_request(
    call_id: str, request_id: str, to: str, *, warm: bool, summary: str, ring_timeout_s: float
) -> Transfer:
    """Return the request for a transfer. See `Call.transfer` for the parameters.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: The gateway would not understand this request.
    """
    check_kind("transfer: to", to, str, "a number, a SIP URI, or a name the gateway knows")
    to = to.strip()
    if not to:
        raise ValueError("transfer to whom? Give a number, a SIP URI, or a name the gateway knows")
    check_switches(warm=warm)
    check_kind("transfer: summary", summary, str, "a text")
    check_seconds("transfer: ring_timeout_s", ring_timeout_s)
    try:
        return Transfer(
            call_id=call_id,
            request_id=request_id,
            to=to,
            warm=warm,
            summary=well_formed(summary),
            ring_timeout_s=ring_timeout_s,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ValueError(f"transfer: {fault_text(first)}") from None


class CallControl:
    """The requests of one call, and their answers.

    Args:
        call_id: The call's id.
        post: Sends a message to the gateway, without waiting.
        on_transfer: Called with the outcome of each transfer, once.
    """

    def __init__(
        self,
        call_id: str,
        *,
        post: Callable[[AgentMessage], None],
        on_transfer: Callable[[TransferOutcome], None],
    ) -> None:
        self._call_id = call_id
        self._post = post
        self._on_transfer = on_transfer
        self._transfers = 0
        self._instance = secrets.token_hex(4)  # a result for the instance before has another
        self._request: Transfer | None = None
        self._outcome: asyncio.Future[TransferOutcome] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._on_hold = False

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way."""
        return self._request is not None

    @property
    def on_hold(self) -> bool:
        """Whether caller and bot do not hear each other now. A blind transfer puts the caller on hold, too."""
        return self._on_hold or (self._request is not None and not self._request.warm)

    def check(self, to: str, *, warm: bool, summary: str, ring_timeout_s: float) -> Transfer:
        """Return the request for a transfer, which is not sent. See `Call.transfer` for the parameters.

        Raises:
            TypeError: An argument is of another kind.
            ValueError: The gateway would not understand this request.
        """
        return transfer_request(
            self._call_id,
            f"t{self._transfers + 1}.{self._instance}",
            to,
            warm=warm,
            summary=summary,
            ring_timeout_s=ring_timeout_s,
        )

    def transfer(
        self, to: str, *, warm: bool, summary: str, ring_timeout_s: float
    ) -> asyncio.Future[TransferOutcome]:
        """Ask for a transfer. See `Call.transfer` for the parameters.

        Returns:
            A future that always gets a result, `ANSWER_S` after `ring_timeout_s` at the latest.

        Raises:
            TypeError: An argument is of another kind.
            ValueError: The gateway would not understand this request.
        """
        request = self.check(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[TransferOutcome] = loop.create_future()
        if self._request is not None:
            why = f"another transfer is under way, to {self._request.to}"
            refused = TransferOutcome(request.to, "refused", why)
            outcome.set_result(refused)
            self._on_transfer(refused)
            return outcome
        self._transfers += 1
        self._request, self._outcome = request, outcome
        waits_s = ring_timeout_s + ANSWER_S
        no_answer = f"the gateway did not say what became of it within {waits_s:g} s"
        self._timer = loop.call_later(waits_s, self._finish, "failed", no_answer)
        self._post(request)
        return outcome

    async def wait_for_transfer(self) -> None:
        """Wait until no transfer is under way."""
        if self._outcome is not None:
            await asyncio.shield(self._outcome)

    def switch(self, what: Switchable, on: bool) -> None:
        """Ask the gateway to switch hold, mute, recording or cleaning on or off. To ask twice changes nothing."""
        if what == "hold":
            self._on_hold = on
        self._post(Control(call_id=self._call_id, what=what, on=on))

    def on_switched(self, control: Control) -> None:
        """Take note of what the gateway has switched on or off, whoever asked for it."""
        if control.what == "hold":
            self._on_hold = control.on

    def on_result(self, result: TransferResult) -> TransferOutcome | None:
        """Take the gateway's result of a transfer.

        Returns:
            None for the transfer that is under way here. The outcome, if the transfer was asked for by the
            instance of the agent that had this call before.
        """
        if self._request is None or result.request_id != self._request.request_id:
            return TransferOutcome(result.to, result.outcome, result.detail)
        self._finish(result.outcome, result.detail)
        return None

    def on_end(self, end: CallEnd) -> None:
        """End the transfer in progress, because the call is over."""
        if end.reason is EndReason.TRANSFERRED:
            self._finish("bridged", end.detail)
        else:
            self._finish("failed", f"the call ended before: {end.detail or end.reason.value}")

    def _finish(self, outcome: TransferOutcomeName, detail: str) -> None:
        request, self._request = self._request, None
        if request is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._outcome = self._outcome, None
        finished = TransferOutcome(request.to, outcome, detail)
        if waiting is not None and not waiting.done():
            waiting.set_result(finished)
        self._on_transfer(finished)
