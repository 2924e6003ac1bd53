"""`KeptPhoneCalls`: telephone calls that go on when their gateway was killed: in the process that takes its place.

A SIP dialog is bound to the address of the gateway, and the phone sends its sound to that address, too. So only who has
the address goes on with the call: the same gateway, started again, or another machine that the address moves to. It
has the gateway's name, by which it finds what is kept: the dialog, the agreed media, and the conversation's checkpoint,
with which an agent is offered the call. Written with each checkpoint, so at the end of each turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any, Literal

from loguru import logger
from pydantic import ValidationError

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, PlaceCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.gateway.phones.sip_leg import SipLeg
from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["KeptPhoneCall", "KeptPhoneCalls"]

MOST_RESTORED = 2000
AGENTS_S = 10.0
"""So long calls that go on wait for their agents, which have lost the same gateway and have to find another one."""
_OVER = (Phase.ENDED, Phase.BRIDGED)


class KeptPhoneCall(Message):
    """One call."""

    phone: KeptPhone
    agent_id: str
    from_number: str | None
    to_number: str | None
    metadata: dict[str, Any] | None
    checkpoint: dict[str, Any]
    version: Literal[1] = 1


class KeptPhoneCalls:
    """The telephone calls of one gateway.

    Args:
        gateway: Its name, which whoever takes its place has, too.
        switchboard: Knows its calls.
        phones: Its telephones.
        store: Where they are kept.
        place: Gives a call that goes on to the switchboard.
    """

    def __init__(
        self,
        gateway: str,
        switchboard: Switchboard,
        phones: Phones,
        store: NatsCheckpoints,
        place: PlaceCall,
    ) -> None:
        self._prefix = f"{hashlib.sha256(gateway.encode()).hexdigest()[:24]}."
        self._switchboard = switchboard
        self._phones = phones
        self._store = store
        self._place = place
        self._keys: dict[str, str] = {}  # by call
        self._waited_for: set[str] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._before = switchboard.resources.on_checkpoint
        switchboard.resources.on_checkpoint = self._on_checkpoint
        switchboard.event_bus.subscribe(self._on_event)

    async def take_over(self) -> int:
        """Go on with the calls that a process with this gateway's name has left. Returns how many do."""
        restored = 0
        for key in (await self._store.kept(self._prefix))[:MOST_RESTORED]:
            data = await self._store.take(key, self._is_here)
            if data is not None and self._restore(KeptPhoneCall.model_validate(data)):
                restored += 1
        if restored:
            self._patience = asyncio.get_running_loop().call_later(AGENTS_S, self._no_patience)
            logger.warning("{} telephone calls of the process before this one go on here", restored)
        return restored

    def close(self) -> None:
        """Wait for agents no longer than usual."""
        if self._patience is not None:
            self._patience.cancel()
            self._no_patience()

    def _no_patience(self) -> None:
        self._patience = None
        for agent_id in self._waited_for:
            self._switchboard.instances.expect(agent_id, None)
        self._waited_for.clear()

    def _is_here(self, data: dict[str, Any]) -> bool:
        """Return whether a call can be read, and goes on here: another gateway of this name may be elsewhere."""
        try:
            return self._phones.is_here(KeptPhoneCall.model_validate(data).phone)
        except ValidationError as error:
            logger.error("a telephone call does not go on: it cannot be read: {}", error)
            return False

    def _restore(self, kept: KeptPhoneCall) -> bool:
        try:
            leg = self._phones.restore(kept.phone)
        except GatewayError as error:
            logger.error("a telephone call does not go on: {}", error)
            return False
        self._waited_for.add(kept.agent_id)
        self._switchboard.instances.expect(kept.agent_id, AGENTS_S)
        info = CallInfo(
            agent_id=kept.agent_id,
            call_id=str(uuid.uuid4()),
            from_number=kept.from_number,
            to_number=kept.to_number,
            metadata=kept.metadata,
            kind="phone",
        )
        self._place(info, leg, CallOptions(checkpoint=kept.checkpoint))
        return True

    def _on_checkpoint(self, call_id: str, state: dict[str, Any]) -> None:
        self._before(call_id, state)
        call = self._switchboard.call(call_id)
        leg = None if call is None else call.leg
        if call is None or not isinstance(leg, SipLeg):
            return
        phone = leg.kept()
        if phone is None:
            return
        kept = KeptPhoneCall(
            phone=phone,
            agent_id=call.info.agent_id,
            from_number=call.info.from_number,
            to_number=call.info.to_number,
            metadata=call.info.metadata,
            checkpoint=state,
        )
        dialog = f"{phone.dialog.call_id} {phone.dialog.local_tag}"
        key = self._keys[call_id] = self._prefix + hashlib.sha256(dialog.encode(errors="replace")).hexdigest()
        self._store.save(key, kept.model_dump(mode="json"))

    def _on_event(self, event: BusEvent) -> None:
        """Forget calls that end, and those in which the caller talks to a person."""
        if isinstance(event, CallChanged) and event.call.phase in _OVER:
            key = self._keys.pop(event.call.call_id, None)
            if key is not None:
                self._store.forget(key)
