"""The gateway of a simulated call: transfers with the outcomes that a test chose, hold and mute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.call import EndReason, TransferOutcomeName
from piopiy_pipeline.signaling.messages import Control, Transfer, TransferResult
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.report.event_log import EventLog

__all__ = ["SimulatedGateway", "TransferAnswer", "Transfers"]

TransferAnswer = TransferOutcomeName | tuple[TransferOutcomeName, float]
"""The outcome of a transfer, or the outcome and the seconds until then."""
Transfers = Mapping[str, TransferAnswer] | Callable[[Transfer], TransferAnswer]
"""Outcomes by the destination, or a function that is called with each request."""

_TAKES_S: Mapping[TransferOutcomeName, float] = {
    "bridged": 4.0,
    "busy": 0.5,
    "declined": 2.0,
    "unreachable": 0.1,
    "refused": 0.0,
    "failed": 0.5,
}
_DETAILS: Mapping[TransferOutcomeName, str] = {
    "bridged": "",
    "busy": "the line is in use",
    "unreachable": "there is no such number",
    "declined": "they do not want to talk",
    "refused": "not allowed",
    "failed": "the network failed",
}


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: TransferOutcomeName
    after_s: float
    detail: str


class SimulatedGateway:
    """Does for the bot what a gateway would do: transfers as the test says, hold and mute.

    Args:
        transfers: The outcomes; None: nobody can be reached.
        link: The caller's link, which is put on hold or muted.
        log: Where everything is noted.
        reply: Called with the result of a transfer.
        end: Called with a reason and a detail to end the call.

    Raises:
        ValueError: There is no such outcome.
    """

    error: Exception | None
    """What the test's own function has raised; the call has ended with that."""

    def __init__(
        self,
        transfers: Transfers | None,
        link: CallerLink,
        log: EventLog,
        *,
        reply: Callable[[TransferResult], None],
        end: Callable[[EndReason, str], None],
    ) -> None:
        self.error = None
        self._transfers: Transfers = {} if transfers is None else transfers
        if not callable(self._transfers):
            for to, answer in self._transfers.items():
                _checked(to, answer)
        self._link = link
        self._log = log
        self._reply = reply
        self._end_call = end
        self._timer: asyncio.TimerHandle | None = None

    def control(self, control: Control) -> None:
        """Put the caller on hold, mute them, or note that they are recorded."""
        self._log.add("control", what=control.what, on=control.on)
        if control.what == "hold":
            self._link.held = control.on
        elif control.what == "mute":
            self._link.deaf = control.on

    def transfer(self, request: Transfer) -> None:
        """Begin a transfer. Its outcome follows after some time."""
        self._log.add("transfer", to=request.to, warm=request.warm, summary=request.summary)
        self._link.held = self._link.held or not request.warm
        try:
            ending = self._ending(request)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the test's to see, and not the bot's
            self.error = error
            self._end_call(EndReason.ERROR, "the test failed")
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(ending.after_s, self._end, request, ending)

    def close(self) -> None:
        """Cancel what is in progress, because the call is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _ending(self, request: Transfer) -> _Ending:
        answer = self._transfers(request) if callable(self._transfers) else self._transfers.get(request.to)
        if answer is None:
            return _Ending("unreachable", 0.1, f"this simulated call has nobody at {request.to}: transfers=")
        outcome, after_s = _checked(request.to, answer)
        rings_s = request.ring_timeout_s
        if outcome == "no_answer" or (after_s is not None and after_s > rings_s):
            return _Ending("no_answer", rings_s, f"nobody answered within {rings_s:g} s")
        return _Ending(outcome, _TAKES_S[outcome] if after_s is None else after_s, _DETAILS.get(outcome, ""))

    def _end(self, request: Transfer, ending: _Ending) -> None:
        self._log.add("transfer_result", to=request.to, outcome=ending.outcome, detail=ending.detail)
        if ending.outcome != "bridged" and not request.warm:
            self._link.held = False
        self._reply(
            TransferResult(
                call_id=request.call_id,
                request_id=request.request_id,
                outcome=ending.outcome,
                detail=ending.detail,
            )
        )
        if ending.outcome == "bridged":
            self._end_call(EndReason.TRANSFERRED, f"transferred to {request.to}")


def _checked(to: str, answer: TransferAnswer) -> tuple[TransferOutcomeName, float | None]:
    outcome, after_s = (answer, None) if isinstance(answer, str) else answer
    if outcome != "no_answer" and outcome not in _TAKES_S:
        known = ", ".join((*_TAKES_S, "no_answer"))
        raise ValueError(f"transfers: {to}: there is no outcome {shown(outcome)}, only {known}")
    return outcome, after_s
