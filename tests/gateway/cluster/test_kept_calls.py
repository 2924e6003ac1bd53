"""What is kept of calls and phones when JetStream answers late or not at all: in virtual time, with one in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import ServiceUnavailableError

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.cluster.kept_phone_calls import KeptPhoneCall, KeptPhoneCalls
from piopiy_pipeline.gateway.cluster.nats_checkpoints import TAKEN_S, NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_phones import NatsPhones, _key
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.resumptions import Resumptions
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.agents import logged
from tests.support.fails_once import FailsOnce
from tests.support.memory_jetstream import MemoryJetStream
from tests.support.sip_bench import Bench
from tests.support.switchboard import NotedLeg, Room

WHO = {"agent_id": "desk", "identity": "Ann"}
STATE = {"version": 2, "messages": [], "state": {}}


def store(server: MemoryJetStream, kind: str = "checkpoints") -> NatsCheckpoints:
    return NatsCheckpoints(server, "test", kind)  # type: ignore[arg-type]


def resumptions(kept: NatsCheckpoints) -> Resumptions:
    made = Resumptions(None)
    made.share(kept)
    return made


async def kept_conversation(here: Resumptions) -> str:
    """A call of a page has had a turn. Returns its resume token."""
    token = here.grant("call", **WHO)
    here.on_checkpoint("call", STATE)
    await asyncio.sleep(0.1)
    return token


# ---------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    "trouble", [NatsTimeout(), OSError("reset"), ServiceUnavailableError(code=503, err_code=10008)]
)
def test_a_store_that_cannot_be_asked_now_is_not_taken_to_be_empty(trouble: Exception) -> None:
    async def story() -> None:
        server = MemoryJetStream()
        kept = store(server)
        here = resumptions(kept)
        token = await kept_conversation(here)
        server.trouble = trouble
        with pytest.raises(RecordsUnavailable):
            await here.take(token, **WHO)
        server.trouble = None
        found = await here.take(token, **WHO)
        assert found is not None
        assert found.state == STATE
        await kept.close()

    run_virtual(story)


@pytest.mark.parametrize(
    "trouble",
    [NoRespondersError(), ServiceUnavailableError(), ServiceUnavailableError(code=503, err_code=10039)],
)
def test_without_a_jetstream_there_is_no_conversation(trouble: Exception) -> None:
    async def story() -> None:
        server = MemoryJetStream()
        kept = store(server)
        here = resumptions(kept)
        server.trouble = trouble
        assert await here.take(here.grant("call", **WHO), **WHO) is None
        await kept.close()

    run_virtual(story)


def test_a_conversation_whose_taking_was_confirmed_late_is_had_when_it_is_asked_for_again() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        first, second = store(server), store(server)
        here, there = resumptions(first), resumptions(second)
        token = await kept_conversation(here)
        server.late = True
        with pytest.raises(RecordsUnavailable):
            await here.take(token, **WHO)
        with pytest.raises(RecordsUnavailable, match="another gateway may have taken it"):
            await there.take(token, **WHO)
        assert await there.take(token, **{**WHO, "identity": "Bob"}) is None
        assert await here.take(token, **{**WHO, "identity": "Bob"}) is None
        server.trouble = NatsTimeout()
        with pytest.raises(RecordsUnavailable):
            await here.take(token, **WHO)
        server.trouble = None
        found = await here.take(token, **WHO)
        assert found is not None
        assert found.state == STATE
        assert await here.take(token, **WHO) is None
        await asyncio.gather(first.close(), second.close())
        assert server.rows == {}

    run_virtual(story)


@pytest.mark.parametrize("taken", [True, False], ids=["confirmed late", "never taken"])
def test_a_page_that_asks_another_gateway_after_a_late_answer_has_its_conversation(taken: bool) -> None:
    async def story() -> None:
        server = MemoryJetStream()
        first, second = store(server), store(server)
        here, there = resumptions(first), resumptions(second)
        token = await kept_conversation(here)
        server.late, server.trouble = taken, None if taken else NatsTimeout()
        with pytest.raises(RecordsUnavailable):
            await here.take(token, **WHO)
        server.trouble = None
        if taken:
            await asyncio.sleep(TAKEN_S - 0.1)
            with pytest.raises(RecordsUnavailable):
                await there.take(token, **WHO)
            await asyncio.sleep(0.2)
        found = await there.take(token, **WHO)
        assert found is not None
        assert found.state == STATE
        await asyncio.sleep(0.1)
        assert await here.take(token, **WHO) is None, "it was given once"
        found.put_back()
        await asyncio.sleep(0.1)
        again = await here.take(token, **WHO)
        assert again is not None
        assert again.state == STATE
        await asyncio.gather(first.close(), second.close())
        assert server.rows == {}

    run_virtual(story)


def test_of_two_who_take_a_conversation_at_once_one_has_it() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        first, second = store(server), store(server)
        here, there = resumptions(first), resumptions(second)
        token = await kept_conversation(here)
        get, both = server.get, asyncio.Barrier(2)

        async def get_at_once(key: str) -> Any:
            entry = await get(key)
            await both.wait()
            return entry

        server.get = get_at_once  # type: ignore[method-assign]
        results = await asyncio.gather(
            here.take(token, **WHO), there.take(token, **WHO), return_exceptions=True
        )
        server.get = get  # type: ignore[method-assign]
        assert sorted(isinstance(one, RecordsUnavailable) for one in results) == [False, True]
        await asyncio.sleep(0.1)
        assert await there.take(token, **WHO) is None
        await asyncio.gather(first.close(), second.close())

    run_virtual(story)


def test_a_call_that_ends_with_its_gateway_is_forgotten_before_the_store_closes() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        kept = store(server)
        here = resumptions(kept)
        await kept_conversation(here)
        kept.forget("call")
        await kept.close()
        assert server.rows == {}

    run_virtual(story)


# ---------------------------------------------------------------------- telephone calls


class Phones:
    """The telephones of a process: their ports are bound until `free_at` of the loop's clock."""

    def __init__(self, free_at: float = 0) -> None:
        self._free_at = free_at

    def is_here(self, kept: KeptPhone) -> bool:
        return True

    def restore(self, kept: KeptPhone) -> NotedLeg:
        if asyncio.get_running_loop().time() < self._free_at:
            raise GatewayError("Address already in use")
        return NotedLeg()


class Process:
    """A gateway process that takes the place of another one."""

    def __init__(self, server: MemoryJetStream, *, free_at: float = 0) -> None:
        self.room = Room()
        self.placed: list[GatewayCall] = []
        self.store = store(server, "phone-calls")
        phones: Any = Phones(free_at)
        self.calls = KeptPhoneCalls("gateway", self.room.board, phones, self.store, self._place)

    def _place(self, info: CallInfo, leg: Leg, options: CallOptions | None = None) -> GatewayCall:
        self.placed.append(self.room.board.place(info, leg, self.room.now, options))
        return self.placed[-1]

    async def killed(self) -> None:
        self.calls.close()
        self.store._writing.cancel()

    async def ended(self) -> None:
        self.room.board.shutdown(self.room.now)
        self.calls.close()
        await self.store.close()


def left_behind(server: MemoryJetStream) -> None:
    """A process with a telephone call in progress was killed."""
    call, _ = Bench().answered_call()
    dialog = call.kept()
    assert dialog is not None
    kept = KeptPhoneCall(
        phone=KeptPhone(dialog=dialog, theirs="v=0", rtp_port=4000),
        agent_id="desk",
        from_number=None,
        to_number=None,
        metadata=None,
        checkpoint=STATE,
    )
    prefix = KeptPhoneCalls("gateway", Room().board, Phones(), store(server), lambda *_: None)._prefix  # type: ignore[arg-type]
    server.rows[f"{prefix}call"] = json.dumps(kept.model_dump(mode="json", exclude={"claims"})).encode()
    server._revisions[f"{prefix}call"] = 1
    server._last = 1


def test_telephone_calls_go_on_when_the_servers_are_reached_later() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        left_behind(server)
        server.is_connected = False
        process = Process(server)
        with logged() as lines:
            assert await process.calls.take_over() == 0
        assert any("is not known yet" in line for _, line in lines)
        await asyncio.sleep(60)
        server.is_connected, server.trouble = True, NatsTimeout()
        await asyncio.sleep(60)
        server.trouble = None
        await asyncio.sleep(3)
        assert [call.info.agent_id for call in process.placed] == ["desk"]
        assert process.room.board.instances.expected_s("desk") > 0
        await process.ended()

    run_virtual(story)


def test_a_call_of_this_process_is_not_taken_for_one_of_the_process_before() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        server.is_connected = False
        process = Process(server)
        await process.calls.take_over()
        key = f"{process.calls._prefix}own"
        process.calls._keep_key("call-1", key)
        left_behind(server)
        server.rows[key] = next(iter(server.rows.values()))
        server._revisions[key] = 2
        server.is_connected = True
        await asyncio.sleep(3)
        assert len(process.placed) == 1
        await process.ended()

    run_virtual(story)


@pytest.mark.parametrize(("free_after_s", "goes_on"), [(5, True), (100, False)])
def test_a_call_whose_port_is_still_bound_is_tried_again_for_a_while(
    free_after_s: float, goes_on: bool
) -> None:
    async def story() -> None:
        server = MemoryJetStream()
        left_behind(server)
        process = Process(server, free_at=asyncio.get_running_loop().time() + free_after_s)
        with logged() as lines:
            assert await process.calls.take_over() == 0
            await asyncio.sleep(200)
        assert len(process.placed) == goes_on
        assert any("does not go on: Address" in line for _, line in lines) is not goes_on
        await process.ended()
        assert bool(server.rows) is not goes_on, "the next process may try it once more"

    run_virtual(story)


def test_a_call_that_cannot_be_restored_keeps_no_other_from_going_on() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        left_behind(server)
        [(key, row)] = server.rows.items()
        server.rows[f"{key}2"] = row
        server._revisions[f"{key}2"] = 1
        process = Process(server)
        process.calls._restore = FailsOnce(process.calls._restore)  # type: ignore[method-assign]
        process.store.kept = FailsOnce(process.store.kept)  # type: ignore[method-assign]
        with logged() as lines:
            assert await process.calls.take_over() == 0
            await asyncio.sleep(10)
        assert len(process.placed) == 1
        assert len([line for _, line in lines if line.startswith("ERROR")]) == 2
        await process.ended()

    run_virtual(story)


def test_a_call_outlives_a_second_crash_and_is_no_poison() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        left_behind(server)
        went_on = []
        for _ in range(5):
            process = Process(server)
            went_on.append(await process.calls.take_over())
            await process.killed()
        assert went_on == [1, 1, 1, 0, 0]

    run_virtual(story)


def test_a_call_that_goes_on_and_ends_is_forgotten() -> None:
    async def story() -> None:
        server = MemoryJetStream()
        left_behind(server)
        process = Process(server)
        assert await process.calls.take_over() == 1
        await process.ended()
        assert server.rows == {}

    run_virtual(story)


# ---------------------------------------------------------------------- phones


def phone(gateway: str) -> RegisteredPhone:
    return RegisteredPhone(
        gateway=gateway,
        contact=f"sip:ann@{gateway}",
        transport="udp",
        host="192.0.2.9",
        port=5060,
        path=f"sip:{gateway};lr",
        registered_at=1.0,
        expires_at=4e9,
    )


@pytest.mark.parametrize("unreadable", [False, True])
def test_a_record_of_a_newer_gateway_does_not_keep_a_users_phone_from_being_found(unreadable: bool) -> None:
    async def story() -> None:
        server = MemoryJetStream()
        theirs = phone("new").model_dump() | {"push": "token"}
        newer: dict[str, Any] = {"user": "ann", "phones": [theirs], "more": 1}
        if unreadable:
            newer["phones"] = {"new": theirs}
        await server.put(_key("ann"), json.dumps(newer).encode())
        phones = NatsPhones(server, "test")  # type: ignore[arg-type]
        found = await phones.find("ann")
        assert found is None if unreadable else found is not None and found.phones == [phone("new")]
        phones.keep("ann", "here", [phone("here")])
        await asyncio.sleep(1)
        found = await phones.find("ann")
        assert found is not None
        assert found.phones[-1] == phone("here")
        await phones.close()

    run_virtual(story)
