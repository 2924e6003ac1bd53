"""The list of all calls in virtual time: messages are lost, gateways killed, networks split."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.cluster import own_calls
from piopiy_pipeline.gateway.cluster.call_watches import RENEW_S
from piopiy_pipeline.gateway.cluster.calls_elsewhere import CallsElsewhere
from piopiy_pipeline.gateway.cluster.cluster_calls import LOOK_S, ConsoleHost
from piopiy_pipeline.gateway.cluster.console_messages import CallChanges, CallEntry
from piopiy_pipeline.gateway.cluster.other_gateways import ANNOUNCE_S, EXPIRE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import ModelCluster, ModelGateway


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(lambda: scenario, limit_s=3600)


def listed(gateway: ModelGateway) -> dict[str, tuple[str, Phase, bool]]:
    """What one gateway knows of the calls at others."""
    return {
        entry.call_id: (where, entry.phase, entry.held)
        for where, entry in gateway.cluster.calls.elsewhere.latest(10_000)
    }


def there(house: ModelCluster, but: ModelGateway) -> dict[str, tuple[str, Phase, bool]]:
    """What there is."""
    return {
        call.call_id: (one.name, call.phase, call.media_path.held)
        for one in house.gateways.values()
        if one is not but and one.alive and house.broker.sides.get(one.name, 0) == 0
        for call in one.board.calls
    }


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 30))
def test_whatever_is_lost_the_list_is_right_a_few_seconds_later(seed: int) -> None:
    async def scenario() -> None:
        rng = random.Random(seed)
        house = ModelCluster(rng, talk_s=3.0)
        await house.open(4, 3, 4)
        observer, *rest = house.gateways.values()
        house.broker.loses = lambda: rng.random() < 0.3
        for number in range(40):
            observer.cluster.calls.look()
            alive = [one for one in rest if one.alive]
            match rng.randrange(12):
                case 0 if len(alive) > 1:
                    rng.choice(alive).kill()
                case 1:
                    house.broker.sides = {rng.choice(rest).name: 1} if rng.random() < 0.5 else {}
                case 2 | 3:
                    for call in list(rng.choice(alive).board.calls):
                        if call.phase is Phase.LIVE:
                            call.control.switch("hold", rng.random() < 0.5)
                case _:
                    rng.choice(alive).place(f"call-{number}")
            await asyncio.sleep(rng.uniform(0, 1.5))
        house.broker.loses = lambda: False
        house.broker.sides = {}
        await asyncio.sleep(EXPIRE_S + ANNOUNCE_S)
        observer.cluster.calls.look()
        for _ in range(200):
            await asyncio.sleep(0.5)
            observer.cluster.calls.look()
            if listed(observer) == there(house, observer):
                break
        assert listed(observer) == there(house, observer)
        elsewhere = observer.cluster.calls.elsewhere
        assert elsewhere.count() == elsewhere.count("desk") == len(elsewhere) == len(listed(observer))
        placed = [entry.placed_at for _, entry in elsewhere.latest(10_000, "desk")]
        assert placed == sorted(placed, reverse=True)
        names = {one.name for one in rest if one.alive}
        assert observer.cluster.calls.elsewhere.knows(names)
        await house.close()

    run(scenario())


def test_a_killed_gateway_and_its_calls_are_gone_when_its_presence_has_expired() -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(1), talk_s=1e6)
        await house.open(3, 2, 4)
        observer, second, third = house.gateways.values()
        observer.cluster.calls.look()
        second.place("at-second")
        third.place("at-third")
        await asyncio.sleep(3)
        assert {call: one[0] for call, one in listed(observer).items()} == {
            "at-second": "gateway-1",
            "at-third": "gateway-2",
        }
        second.kill()
        await asyncio.sleep(EXPIRE_S + 1)
        assert set(listed(observer)) == {"at-third"}
        [(_, lost)] = observer.cluster.others.lost(observer.now)
        assert lost.gateway == "gateway-1"
        [(records, ago_s)] = observer.cluster.gone_records.at(observer.now).items()
        assert records == "records of gateway-1"
        assert EXPIRE_S <= ago_s <= EXPIRE_S + 3
        await house.close()

    run(scenario())


def overheard(gateway: ModelGateway) -> list[CallChanges]:
    """Return what a gateway tells from now on, but for how it is."""
    told: list[CallChanges] = []
    publish = gateway.directory.publish_changes

    def overhear(changes: CallChanges) -> None:
        if changes.whole or changes.changed or changes.gone:
            told.append(changes)
        publish(changes)

    gateway.directory.publish_changes = overhear  # type: ignore[method-assign]
    return told


def test_nothing_is_told_of_calls_while_nobody_looks() -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(1), talk_s=1e6)
        await house.open(2, 1, 100)
        observer, other = house.gateways.values()
        told = overheard(other)
        other.place("call-1")
        await asyncio.sleep(10)
        assert told == []
        observer.cluster.calls.look()
        await asyncio.sleep(1)
        assert [one.whole for one in told][:1] == [True]
        assert set(listed(observer)) == {"call-1"}
        number = len(told)
        await asyncio.sleep(5)
        assert len(told) == number, "nothing has changed"
        await asyncio.sleep(LOOK_S + 2 * ANNOUNCE_S)
        other.place("call-2")
        await asyncio.sleep(5)
        assert len(told) == number
        assert listed(observer) == {}, "nobody looks"
        await house.close()

    run(scenario())


def test_many_changes_go_in_messages_of_a_bounded_size() -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(1), talk_s=1e6)
        await house.open(2, 1, 1000)
        observer, other = house.gateways.values()
        told = overheard(other)
        for number in range(900):
            other.place(f"call-{number}")
        await asyncio.sleep(3)
        observer.cluster.calls.look()
        await asyncio.sleep(3)
        assert len(listed(observer)) == 900
        assert max(len(one.changed) for one in told) == own_calls.MOST_CHANGES
        assert max(len(one.model_dump_json()) for one in told) < 80_000
        await house.close()

    run(scenario())


def entry(call_id: str) -> CallEntry:
    return CallEntry(call_id=call_id, agent_id="desk", kind="stream", phase=Phase.LIVE, placed_at=1.0)


def test_a_gateway_that_was_started_again_does_not_go_on_with_its_old_list() -> None:
    known = CallsElsewhere()
    first = CallChanges(gateway="b", epoch="1", number=1, whole=True, changed=[entry("old")])
    assert not known.take(first, 0.0)
    second = CallChanges(gateway="b", epoch="2", number=2, changed=[entry("new")])
    assert known.take(second, 1.0), "its beginning was missed"
    assert not known.knows({"b"})
    assert not known.take(
        CallChanges(gateway="b", epoch="2", number=3, whole=True, changed=[entry("new")]), 2.0
    )
    assert known.where("old") is None
    assert known.where("new") == "b"
    assert len(known) == 1


def test_a_call_that_cannot_be_looked_for_is_told_in_the_log_and_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    looked_for: list[str] = []

    async def broken(call_id: str) -> str | None:
        looked_for.append(call_id)
        raise RuntimeError("the directory is broken")

    async def scenario() -> None:
        house = ModelCluster(random.Random(0))
        await house.open(2, 0, 0)
        calls = next(iter(house.gateways.values())).cluster.calls
        monkeypatch.setattr(calls, "where", broken)
        calls.host = cast("ConsoleHost", SimpleNamespace(watched=lambda: {"call-1"}))
        await asyncio.sleep(1.5 * RENEW_S)
        calls.host = None
        await house.close()

    run(scenario())
    assert looked_for == ["call-1"] * 2
    told = [line for line in log_lines if "a call elsewhere is not watched: it is tried again" in line]
    assert len(told) == 2
    assert all("RuntimeError: the directory is broken" in line for line in told)


def test_a_watch_ends_by_itself_and_tells_no_more_than_so_much() -> None:
    from piopiy_pipeline.gateway.cluster.call_watches import EVENTS_PER_S, MOST_WATCHED, WATCH_S, CallWatches

    watches = CallWatches()
    watches.watch("call", "a", 0.0)
    watches.watch("call", "a", 1.0)
    assert watches.watchers("call", 1.0 + WATCH_S - 0.1) == ["a"]
    assert watches.watchers("call", 1.0 + WATCH_S) == []
    assert len(watches) == 0
    begun = [watches.watch(f"call-{number}", "a", 0.0) for number in range(MOST_WATCHED + 10)]
    assert begun == [True] * MOST_WATCHED + [False] * 10
    assert len(watches) == MOST_WATCHED
    watches.watch("later", "a", 100.0)
    assert watches.watchers("later", 100.0) == ["a"], "those before it have expired"
    told = [watches.may_tell("later", 100.0, partial=True) for _ in range(200)]
    assert sum(told) == 2 * EVENTS_PER_S
    assert watches.may_tell("later", 100.0, partial=False), "what is said whole is always told"


def test_a_call_that_only_a_newer_gateway_understands_does_not_cost_the_list() -> None:
    entry = CallEntry(call_id="one", agent_id="desk", kind="phone", phase=Phase.LIVE, placed_at=1.0)
    changes = CallChanges(gateway="b", epoch="e", number=1, changed=[entry]).model_dump(mode="json")
    known = changes["changed"][0]
    newer = [known | {"call_id": "two", "kind": "hologram"}, known | {"call_id": "three", "phase": "parked"}]
    read = CallChanges.model_validate(changes | {"changed": [*newer, known]})
    assert read.changed == [entry]
