"""`KeptPhoneCalls`: telephone calls that go on when their gateway was killed: in the process that takes its place.

A SIP dialog is bound to the address of the gateway, and the phone sends its sound to that address, too. So only who has
the address goes on with the call: the same gateway, started again, or another machine that the address moves to. It
has the gateway's name, by which it finds what is kept: the dialog, the agreed media, and the conversation's checkpoint,
with which an agent is offered the call. Written with each checkpoint, so at the end of each turn, and left there when
somebody goes on with the call: that process may be killed, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Annotated, Any, Literal

from loguru import logger
from pydantic import Field, ValidationError

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.cluster.nats_checkpoints import KEPT_S, NatsCheckpoints
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, PlaceCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.gateway.phones.sip_leg import SipLeg
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["KeptPhoneCall", "KeptPhoneCalls"]

MOST_RESTORED = 2000
AGENTS_S = 10.0
"""So long calls that go on wait for their agents, which have lost the same gateway and have to find another one."""
AGAIN_S = 2.0
"""So often calls are asked for that could not be had before, and those tried that could not be restored."""
RESTORE_S = 30.0
"""So long a call is tried that cannot be restored: the process before this one may still have its port."""
MOST_CLAIMS = 3
"""After so many processes without a turn of its in between a call may be what ends them."""
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
    claims: Annotated[int, Field(ge=0)] = 0
    """How many processes have gone on with the call since its last checkpoint. Not written if none has."""


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
        self._own: set[str] = set()  # keys of this process, until all that was left before it is known
        self._claimed: dict[str, KeptPhoneCall] = {}  # by key: not restored yet
        self._asked = False
        self._taking: asyncio.Task[None] | None = None
        self._waited_for: set[str] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._before = switchboard.resources.on_checkpoint
        switchboard.resources.on_checkpoint = self._on_checkpoint
        switchboard.event_bus.subscribe(self._on_event)

    async def take_over(self) -> int:
        """Go on with the calls that a process with this gateway's name has left. Returns how many do.

        What cannot be had or restored now is tried again in the background: for as long as calls are kept, and for
        `RESTORE_S`.
        """
        restored = await self._take(last=False)
        if self._claimed:
            logger.warning("{} telephone calls cannot go on yet: they are tried again", len(self._claimed))
        if not self._asked or self._claimed:
            self._taking = asyncio.create_task(self._take_again(), name="take over telephone calls")
        return restored

    async def _take_again(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        claimed_at: float | None = None
        while not self._asked or self._claimed:
            await asyncio.sleep(AGAIN_S)
            now = loop.time()
            if not self._asked and now - began > KEPT_S:
                return
            if claimed_at is None and self._claimed:
                claimed_at = now
            await self._take(last=self._asked and claimed_at is not None and now - claimed_at > RESTORE_S)

    async def _take(self, *, last: bool) -> int:
        """Claim what is left, and restore what was claimed. Returns how many calls go on."""
        if not self._asked:
            try:
                await self._claim_all()
            except RecordsUnavailable as error:
                logger.warning("whether telephone calls go on is not known yet: {}", error)
            except Exception:
                logger.exception("whether telephone calls go on is not known yet: it is asked again")
        restored = 0
        for key, kept in tuple(self._claimed.items()):
            try:
                self._restore(key, kept)
            except GatewayError as error:
                if not last:
                    logger.debug("a telephone call cannot go on yet: {}", error)
                    continue
                logger.error("a telephone call does not go on: {}", error)
            except Exception:
                logger.exception("a telephone call does not go on")
            else:
                restored += 1
            del self._claimed[key]
        if restored:
            self._wait_for_agents()
            logger.warning("{} telephone calls of the process before this one go on here", restored)
        return restored

    async def _claim_all(self) -> None:
        """Claim what is left. Raises `RecordsUnavailable` if that is not known of all."""
        unknown: RecordsUnavailable | None = None
        for key in (await self._store.kept(self._prefix))[:MOST_RESTORED]:
            if key in self._own or key in self._claimed:
                continue
            try:
                data = await self._store.claim(key, self._claim)
            except RecordsUnavailable as error:
                unknown = error
                continue
            if data is not None:
                self._claimed[key] = KeptPhoneCall.model_validate(data)
        if unknown is not None:
            raise unknown
        self._asked = True
        self._own.clear()

    def _wait_for_agents(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = asyncio.get_running_loop().call_later(AGENTS_S, self._no_patience)

    def close(self) -> None:
        """Wait for agents no longer than usual, and take over nothing more."""
        if self._taking is not None:
            self._taking.cancel()
        if self._patience is not None:
            self._patience.cancel()
            self._no_patience()

    def _no_patience(self) -> None:
        self._patience = None
        for agent_id in self._waited_for:
            self._switchboard.instances.expect(agent_id, None)
        self._waited_for.clear()

    def _claim(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return what is kept of a call that goes on here; None: it cannot be read, it has ended process after process,
        or another gateway of this name may be elsewhere.
        """
        try:
            kept = KeptPhoneCall.model_validate(data)
        except ValidationError as error:
            logger.error("a telephone call does not go on: it cannot be read: {}", error)
            return None
        if not self._phones.is_here(kept.phone):
            return None
        if kept.claims >= MOST_CLAIMS:
            logger.error("a telephone call does not go on: {} processes have ended with it", kept.claims)
            return None
        return {**data, "claims": kept.claims + 1}

    def _restore(self, key: str, kept: KeptPhoneCall) -> None:
        """Give a call to the switchboard. Raises `GatewayError` if that is not possible."""
        leg = self._phones.restore(kept.phone)
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
        self._keep_key(info.call_id, key)
        self._place(info, leg, CallOptions(checkpoint=kept.checkpoint))

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
        key = self._prefix + hashlib.sha256(dialog.encode(errors="replace")).hexdigest()
        self._keep_key(call_id, key)
        self._store.save(key, kept.model_dump(mode="json", exclude={"claims"}))

    def _keep_key(self, call_id: str, key: str) -> None:
        self._keys[call_id] = key
        if not self._asked:
            self._own.add(key)

    def _on_event(self, event: BusEvent) -> None:
        """Forget calls that end, and those in which the caller talks to a person."""
        if isinstance(event, CallChanged) and event.call.phase in _OVER:
            key = self._keys.pop(event.call.call_id, None)
            if key is not None:
                self._store.forget(key)
