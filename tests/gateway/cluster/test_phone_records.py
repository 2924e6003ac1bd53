"""Which phone is found from another gateway: in virtual time, with registrations and faults made by chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.cluster.cluster_phones import ClusterPhones
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker, MemoryPhones
from piopiy_pipeline.gateway.cluster.other_gateways import OtherGateways
from piopiy_pipeline.gateway.cluster.phone_records import MOST_PHONES, newest, rewritten
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

GATEWAYS = ("a", "b", "c")
SETTLED_S = 1.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(lambda: scenario, limit_s=100_000)


def now() -> float:
    return asyncio.get_running_loop().time()


def phone(gateway: str, contact: str, registered_at: float, expires_at: float) -> RegisteredPhone:
    return RegisteredPhone(
        gateway=gateway,
        contact=contact,
        transport="udp",
        host="192.0.2.9",
        port=5060,
        path=f"sip:{gateway};lr",
        registered_at=registered_at,
        expires_at=expires_at,
    )


class ModelRegistrars:
    """What each gateway holds of one user, and what therefore has to be found from anywhere."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.broker = MemoryBroker(lambda: rng.uniform(0.001, 0.1), rng)
        self.held: dict[str, dict[str, RegisteredPhone]] = {name: {} for name in GATEWAYS}
        self.stores = {name: MemoryPhones(self.broker, now) for name in GATEWAYS}
        self.phones = {
            name: ClusterPhones(name, OtherGateways(), store, wall=now) for name, store in self.stores.items()
        }

    def register(self, gateway: str, contact: str, expires_s: float) -> None:
        for other in GATEWAYS:  # it has moved: who had it before only does not know yet
            if other != gateway:
                self.held[other].pop(contact, None)
        self.held[gateway].pop(contact, None)
        if expires_s:
            self.held[gateway][contact] = phone(gateway, contact, now(), now() + expires_s)
        self.tell(gateway)

    def tell(self, gateway: str) -> None:
        self.phones[gateway].keep_phones("alice", list(self.held[gateway].values()))

    def expected(self) -> RegisteredPhone | None:
        live = [one for held in self.held.values() for one in held.values() if one.expires_at > now()]
        return max(live, key=lambda one: one.registered_at, default=None)

    async def check(self) -> None:
        for phones in self.phones.values():
            began = now()
            found = await phones.find_phone("alice")
            assert now() - began <= 0.5, "it takes half a second at most"
            assert found == self.expected()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("register"),
            st.sampled_from(GATEWAYS),
            st.sampled_from(["sip:alice@desk", "sip:alice@mobile"]),
            st.sampled_from([60.0, 600.0, 3600.0]),
        ),
        st.tuples(st.just("wait"), st.sampled_from([5.0, 100.0, 1000.0])),
        st.tuples(st.just("outage"), st.sampled_from([1.0, 30.0])),
    ),
    max_size=12,
)


@given(actions=ACTIONS, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_phone_that_registered_last_is_found_from_every_gateway_until_it_expires(
    actions: list[tuple[Any, ...]], seed: int
) -> None:
    async def scenario() -> None:
        model = ModelRegistrars(seed)
        for kind, *rest in actions:
            if kind == "register":
                model.register(*rest)
            elif kind == "wait":
                await asyncio.sleep(rest[0])
            else:  # what is written meanwhile is written when the directory is there again
                model.broker.down = True
                await asyncio.sleep(rest[0])
                assert await model.phones["a"].find_phone("alice") is None
                model.broker.down = False
                for store in model.stores.values():
                    store.write()
            await asyncio.sleep(SETTLED_S)
            await model.check()

    run(scenario())


def test_a_phone_that_unregisters_is_found_no_more_and_the_one_before_it_is() -> None:
    async def scenario() -> None:
        model = ModelRegistrars(1)
        model.register("a", "sip:alice@desk", 600)
        await asyncio.sleep(1)
        model.register("b", "sip:alice@mobile", 600)
        await asyncio.sleep(1)
        await model.check()
        model.register("b", "sip:alice@mobile", 0)
        await asyncio.sleep(1)
        found = await model.phones["c"].find_phone("alice")
        assert found is not None
        assert found.gateway == "a"

    run(scenario())


def test_a_gateway_that_still_holds_a_phone_that_has_moved_does_not_take_it_back() -> None:
    before = rewritten(None, "alice", "b", [phone("b", "sip:alice@mobile", 20, 620)], 20)
    stale = [phone("a", "sip:alice@mobile", 10, 610), phone("a", "sip:alice@desk", 5, 605)]
    after = rewritten(before, "alice", "a", stale, 30)
    found = newest(after, 30)
    assert found is not None
    assert (found.gateway, found.contact) == ("b", "sip:alice@mobile")
    assert [one.contact for one in after.phones] == ["sip:alice@desk", "sip:alice@mobile"]


def test_a_user_has_a_bounded_number_of_phones() -> None:
    many = [phone("a", f"sip:alice@{n}", n, 1000) for n in range(100)]
    record = rewritten(None, "alice", "a", many, 100)
    assert [one.contact for one in record.phones] == [f"sip:alice@{n}" for n in range(100 - MOST_PHONES, 100)]
