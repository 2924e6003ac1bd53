"""What can be done with a call in progress: hold, mute, record, and hand the caller to somebody. No I/O.

Agents ask for it over signaling and operators over HTTP, in the same words (`signaling.messages.Control`
and `Transfer`), and with the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from piopiy_pipeline.audio.tones import ToneName
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.bridge import Bridge
from piopiy_pipeline.gateway.core.call_transfer import CallTransfer
from piopiy_pipeline.gateway.core.dialling import Dialler
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import Control, Transfer, TransferResult

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.core.gateway_call import GatewayCall

__all__ = ["GatewayCallControl", "Switchable"]

Switchable = Literal["hold", "mute", "record"]
"""What of a call can be switched on and off."""


class GatewayCallControl:
    """Carries out what agents and operators ask of one call. There is one transfer at a time.

    Args:
        call: The call.
        dialler: Dials whom the caller is transferred to.
    """

    def __init__(self, call: GatewayCall, dialler: Dialler) -> None:
        self._call = call
        self._dialler = dialler
        self._transfer: CallTransfer | None = None

    # ------------------------------------------------------------------ what is asked

    def switch(self, what: Switchable, on: bool) -> bool:
        """Switch something on or off; False if the call is not in progress. Said twice, it is the same."""
        if self._call.phase is not Phase.LIVE:
            return False
        if what == "mute":
            self._call.media_path.muted = on
        elif what == "record":
            self._call.record(on=on)
        elif self._transfer is None:  # a transfer may hold the call itself
            if on and not self._call.media_path.held:
                self.hold()
            elif not on and self._call.media_path.held:
                self.resume()
        return True

    def hold(self, tone: ToneName = "hold") -> None:
        """The caller hears `tone` from now on. The agent is told, whoever asked."""
        self._call.media_path.hold(tone)
        self.tell_of_hold()

    def resume(self) -> None:
        """The hold is over."""
        self._call.media_path.resume()
        self.tell_of_hold()

    def tell_of_hold(self) -> None:
        """Tell the agent how it stands: also one that has taken the call over."""
        call_id = self._call.info.call_id
        self._call.agent.send(Control(call_id=call_id, what="hold", on=self._call.media_path.held))

    def transfer(self, request: Transfer, reply: Callable[[TransferResult], None], now: float) -> None:
        """Hand the caller to somebody. `reply` is told once what became of it, and so is who watches."""
        why = self.no_transfer_because
        if why is not None:
            refused = TransferResult(
                call_id=request.call_id,
                request_id=request.request_id,
                to=request.to,
                outcome="refused",
                detail=why,
            )
            reply(refused)
            self._publish(request, refused, now)
            return

        def on_result(result: TransferResult, at: float) -> None:
            reply(result)
            self._publish(request, result, at)

        self._transfer = CallTransfer(
            request,
            control=self,
            dialler=self._dialler,
            from_number=self._call.info.from_number,
            on_result=on_result,
        )
        self._transfer.begin(now)
        self._call.changed()

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way, or has been made."""
        return self._transfer is not None

    @property
    def no_transfer_because(self) -> str | None:
        """Why the caller cannot be handed to anybody just now; None if that can be tried."""
        if self._call.phase is Phase.BRIDGED:
            return "the caller was transferred already"
        if self._call.phase is not Phase.LIVE:
            return "the call is not in progress"
        return "another transfer is under way" if self._transfer is not None else None

    # ------------------------------------------------------------------ the call's side

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        return self._transfer.deadline if self._transfer else None

    def tick(self, now: float) -> None:
        """Act on the deadline, if it has passed."""
        if self._transfer is not None:
            self._transfer.tick(now)

    def abandon(self, reason: EndReason, now: float) -> None:
        """The call is over."""
        transfer = self._transfer
        if transfer is None:
            return
        if transfer.pending:
            request = transfer.request
            over = TransferResult(
                call_id=request.call_id,
                request_id=request.request_id,
                to=request.to,
                outcome="failed",
                detail=f"the call was over before: {reason.value}",
            )
            self._publish(request, over, now)
        transfer.abandon(reason)

    # ------------------------------------------------------------------ the transfer's side

    @property
    def leg(self) -> Leg:
        """The caller's leg."""
        return self._call.leg

    @property
    def bridge(self) -> Bridge | None:
        """The bridge between the caller and whom it was transferred to, once there is one."""
        return self._call.media_path.bridge

    def transfer_failed(self, now: float) -> None:
        """The transfer came to nothing, and the bot has been told."""
        self._transfer = None
        self._call.changed()

    def transfer_joined(self, far: Leg, now: float) -> None:
        """Somebody picked up: from here on the caller talks to them, and not to the bot."""
        self._call.media_path.join(Bridge(self.leg, far))
        self._call.bridged(f"transferred to {self._whom}")

    def transfer_referred(self, to: str, now: float) -> None:
        """The caller's own phone calls `to`: this call is over."""
        self._call.end(now, EndReason.TRANSFERRED, f"transferred to {to}")

    def far_hangup(self, now: float, detail: str) -> None:
        """Whom the caller was joined with hung up."""
        self._call.end(now, EndReason.TRANSFERRED, detail or f"{self._whom} hung up")

    def _publish(self, request: Transfer, result: TransferResult, now: float) -> None:
        """Whoever watches, and the records, know of it whoever asked for it."""
        data = {
            "request_id": request.request_id,
            "to": request.to,
            "warm": request.warm,
            "outcome": result.outcome,
            "detail": result.detail,
        }
        self._call.publish("transfer", data, now)

    @property
    def _whom(self) -> str:
        return self._transfer.request.to if self._transfer else ""
