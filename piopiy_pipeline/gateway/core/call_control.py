"""Controls a call in progress: hold, mute, recording, prompts, and the transfer to somebody else. No I/O.

Agents ask for it over signaling and operators over HTTP, in the same words (`signaling.messages.Control` and
`Transfer`), and with the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from piopiy_pipeline.audio.tones import ToneName
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_side import AgentSide
from piopiy_pipeline.gateway.core.bridge import Bridge
from piopiy_pipeline.gateway.core.call_transfer import CallTransfer
from piopiy_pipeline.gateway.core.early_requests import EarlyRequest
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.media_path import HoldSound
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.prompts import PromptPlayer
from piopiy_pipeline.signaling.messages import (
    Control,
    DataMessage,
    Dtmf,
    Switchable,
    Transfer,
    TransferResult,
)

__all__ = ["GatewayCallControl"]


class GatewayCallControl:
    """Carries out what agents and operators ask of one call. There is one transfer at a time, and none while
    prompts are played.

    Every `now` is in seconds, of one clock.

    Args:
        call: The call's state.
        agent: The agent's side of the call: it is told of a hold, and let go of after a transfer.
    """

    def __init__(self, call: GatewayCallState, agent: AgentSide) -> None:
        self._call = call
        self._agent = agent
        self._transfer: CallTransfer | None = None
        self._prompts: PromptPlayer | None = None
        self._played: tuple[PromptPlayer, float] | None = None  # the last prompts, and when they were over
        self._hold_asked = False  # as the agent or an operator wants it
        self._held_beside = False  # by a transfer or by prompts
        call.served_beside = lambda: self.request_under_way is not None

    # ------------------------------------------------------------------ what is asked

    def ask(self, instance: Instance, request: Transfer | Control, now: float) -> None:
        """Do what an instance asks for: now, or when the call is live with it. A transfer is answered in any case."""
        early = self._agent.early_requests(instance)
        if early is None and self._agent.confirmed_to(instance):
            self._carry_out(request, now)
            return
        if early is not None and early.keep(request):
            return
        if isinstance(request, Transfer):
            why = (
                "this instance does not have the call" if early is None else "too much was asked for already"
            )
            instance.link.send(_refused(request, why))

    def catch_up(self, now: float) -> None:
        """Do what the instance has asked for before the call was live with it."""
        offer = self._agent.assignment.offer
        for request in () if offer is None else offer.early.take():
            self._carry_out(request, now)

    def _carry_out(self, request: EarlyRequest, now: float) -> None:
        match request:
            case Transfer():
                self.transfer(request, self._agent.send, now)
            case Control(what=what, on=on):
                self.switch(what, on)
            case _ if self._call.phase is not Phase.LIVE:
                pass
            case Dtmf(digits=digits):
                self._call.leg.dtmf(digits)
            case DataMessage(data=data):
                self._call.leg.data(data)

    def switch(self, what: Switchable, on: bool) -> bool:
        """Switch something on or off. Doing it twice changes nothing. While another instance is looked for, that holds
        for the next one.

        Returns:
            False if the call is not in progress.
        """
        if not self._call.in_progress:
            return False
        media_path = self._call.media_path
        if what == "mute":
            media_path.muted = on
        elif what == "record":
            self._call.record(on=on)
        elif what == "clean_sound":
            self._call.clean("both" if on else "off")
        else:
            self._hold_asked = on
            if not self._held_beside:  # else it counts when what holds the caller is over
                self._hold_as_asked()
        return True

    def _hold_as_asked(self) -> None:
        """Put the caller on hold, or end that. The agent is told, whoever asked for it."""
        media_path = self._call.media_path
        if self._hold_asked and not media_path.held:
            media_path.hold()
            self._agent.send_hold()
        elif not self._hold_asked and media_path.held:
            media_path.resume()
            self._agent.send_hold()

    def _hold_beside(self, sound: ToneName | HoldSound) -> None:
        """Put the caller on hold, who hears `sound`: a transfer rings, or prompts are played. The agent is told."""
        self._held_beside = True
        self._call.media_path.hold(sound)
        self._agent.send_hold()

    def _give_back(self) -> None:
        """Give the caller back to the bot, or to the hold that was asked for."""
        self._held_beside = False
        if self._hold_asked:
            self._call.media_path.hold()  # its own tone again
        else:
            self._hold_as_asked()

    def transfer(
        self,
        request: Transfer,
        reply: Callable[[TransferResult], None],
        now: float,
        *,
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Hand the caller to somebody.

        Args:
            request: Whom to transfer to, and how.
            reply: Called once with what became of it. The subscribers of the event bus are told too.
            now: The time.
            from_number: The number that whoever is called sees. None: the caller's own.
            headers: More SIP headers for whoever is called; their names begin with ``X-``.
        """
        why = self.no_transfer_because
        if why is not None:
            refused = _refused(request, why)
            reply(refused)
            self._publish(request, refused, now)
            return

        def on_result(result: TransferResult, at: float) -> None:
            reply(result)
            self._publish(request, result, at)
            self._on_result(result, at)

        self._transfer = CallTransfer(
            request,
            call=self._call,
            hold=self._hold_beside,
            resume=self._give_back,
            on_result=on_result,
            on_far_hangup=self._on_far_hangup,
            from_number=from_number,
            headers=headers,
        )
        self._transfer.begin(now)
        self._call.changed()

    def play(self, prompts: PromptPlayer) -> None:
        """Play prompts to the caller while the bot is on hold, until `played`. Their keys go to them.

        Only while `no_transfer_because` is None, or in the place of others that have given up.
        """
        if self._prompts is not None:
            self._played = self._prompts, self._call.ticked_at
        self._prompts = prompts
        self._hold_beside(prompts)

    def played(self) -> None:
        """Give the caller back to the bot, because the prompts are over."""
        if self._prompts is not None:
            self._played = self._prompts, self._call.ticked_at
        self._prompts = None
        self._give_back()

    def without_late_keys(self, keys: str) -> str:
        """Return keys of the caller without those before the first that belong to prompts that are over."""
        if self._played is None:
            return keys
        player, over_at = self._played
        for place, key in enumerate(keys):
            if not player.is_late(key, self._call.ticked_at - over_at):
                self._played = None
                return keys[place:]
        return ""

    @property
    def prompts(self) -> PromptPlayer | None:
        """The prompts that the caller hears."""
        return self._prompts

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way, or has been made."""
        return self._transfer is not None

    @property
    def transfer_request(self) -> Transfer | None:
        """The transfer that is under way, or was made."""
        return self._transfer.request if self._transfer is not None else None

    @property
    def request_under_way(self) -> str | None:
        """The id of the request because of which the caller is transferred, or hears prompts; None without one."""
        if self._prompts is not None:
            return self._prompts.request_id
        return self._transfer.request.request_id if self._transfer is not None else None

    @property
    def no_transfer_because(self) -> str | None:
        """Why the caller can neither be transferred nor hear prompts just now; None if that can be tried. While another
        instance is looked for, it can.
        """
        if self._call.phase is Phase.BRIDGED:
            return "the caller was transferred already"
        if not self._call.in_progress:
            return "the call is not in progress"
        if self._prompts is not None:
            return "the caller hears prompts"
        return "another transfer is under way" if self._transfer is not None else None

    # ------------------------------------------------------------------ the call's side

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called next, in seconds; None: not at all."""
        return self._transfer.deadline if self._transfer else None

    def tick(self, now: float) -> None:
        """Act on the deadline, if it has passed."""
        if self._transfer is not None:
            self._transfer.tick(now)

    def abandon(self, reason: EndReason, now: float) -> None:
        """Give up prompts, and a transfer in progress, and end the leg that it dialled, because the call is over."""
        if self._prompts is not None:
            self._prompts.stop()
            self._prompts = None
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

    def _on_result(self, result: TransferResult, now: float) -> None:
        transfer = self._transfer
        if result.outcome != "bridged" or transfer is None:
            self._transfer = None
            self._call.changed()
        elif transfer.far is None:  # the caller's own phone calls there
            self._call.end(now, EndReason.TRANSFERRED, f"transferred to {result.to}")
        else:
            self._call.media_path.join(Bridge(self._call.leg, transfer.far))
            detail = f"transferred to {result.to}"
            self._agent.dismiss(EndReason.TRANSFERRED, detail, cancel=detail)
            self._agent.let_go()
            self._call.enter(Phase.BRIDGED)
            self._call.changed()

    def _on_far_hangup(self, now: float, detail: str) -> None:
        whom = self._transfer.request.to if self._transfer else ""
        self._call.end(now, EndReason.TRANSFERRED, detail or f"{whom} hung up")

    def _publish(self, request: Transfer, result: TransferResult, now: float) -> None:
        """Tell the subscribers of a transfer, whoever asked for it."""
        data = {
            "request_id": request.request_id,
            "to": request.to,
            "warm": request.warm,
            "outcome": result.outcome,
            "detail": result.detail,
        }
        self._call.publish_own("transfer", data, now)


def _refused(request: Transfer, why: str) -> TransferResult:
    return TransferResult(
        call_id=request.call_id, request_id=request.request_id, to=request.to, outcome="refused", detail=why
    )
