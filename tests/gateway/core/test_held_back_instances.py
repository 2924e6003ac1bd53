"""Instances that an operator has drained: they take no new calls, and nothing else about them changes."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.core.instances import MOST_HELD_BACK, Instance, Instances
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import GatewayMessage, Register, Status


class NoLink:
    """A connection to which nothing is said."""

    def send(self, message: GatewayMessage) -> None:
        raise AssertionError(message)

    def replace(self) -> None: ...

    def shutdown(self) -> None: ...


def add(
    instances: Instances, instance_id: str, worker: WorkerKind | None = None, *, roaming: bool = False
) -> Instance:
    registration = Register(agent_id="desk", instance_id=instance_id, capacity=3, worker=worker, roams=True)
    return instances.add(registration, NoLink(), 0.0, roaming=roaming)[0]


def test_an_instance_that_is_drained_takes_neither_new_calls_nor_those_of_others() -> None:
    instances = Instances()
    one, other = add(instances, "one"), add(instances, "other")
    one.calls.add("in-progress")
    assert instances.hold_back("desk", on=True, instance_id="one") == [one]
    assert (one.takes_calls, one.takes_takeovers, one.calls) == (False, False, {"in-progress"})
    assert instances.pick("desk", without=(), now=0.0) is other
    one.update(Status(active=1, capacity=3))
    assert not one.takes_calls, "what it says of itself does not change that"
    instances.hold_back("desk", on=False, instance_id="one")
    assert one.takes_calls


def test_it_is_drained_still_when_it_connects_again_and_so_are_new_call_workers_of_its_supervisor() -> None:
    instances = Instances()
    add(instances, "host-w1", "call")
    assert len(instances.hold_back("desk", on=True) or ()) == 1
    assert add(instances, "host-w1", "call").held_back
    assert add(instances, "host-w2", "call").held_back
    assert not add(instances, "elsewhere-w1", "call").held_back
    instances.hold_back("desk", on=False)
    assert not add(instances, "host-w3", "call").held_back


@pytest.mark.parametrize("who", [None, "host", "host-w1"])
@pytest.mark.parametrize("alone", [False, True])
def test_that_it_is_over_counts_for_one_too_that_is_not_connected_just_now(
    who: str | None, alone: bool
) -> None:
    instances = Instances()
    gone = add(instances, "host-w1", "call")
    other = None if alone else add(instances, "other")
    instances.hold_back("desk", on=True)
    instances.remove(gone)
    meant = [other] if other and who is None else []
    assert instances.hold_back("desk", on=False, instance_id=who) == meant
    assert add(instances, "host-w1", "call").takes_calls
    assert other is None or other.takes_calls is (who is None)
    assert instances.hold_back("desk", on=False, instance_id="unknown") is None


def test_call_workers_of_one_supervisor_are_drained_together() -> None:
    instances = Instances()
    workers = [add(instances, f"host-w{number}", "shared") for number in (1, 2)]
    other = add(instances, "other-w1", "shared")
    for on in (True, False):
        assert instances.hold_back("desk", on=on, instance_id="host-w1") == workers
        assert [one.takes_calls for one in (*workers, other)] == [not on, not on, True]


def test_one_that_is_at_home_elsewhere_is_not_meant() -> None:
    instances = Instances()
    add(instances, "visitor", roaming=True)
    assert instances.hold_back("desk", on=True) is None
    assert instances.hold_back("nobody", on=True) is None
    assert instances.hold_back("nobody", on=False) is None


def test_so_many_are_remembered_and_no_more() -> None:
    instances = Instances()
    for number in range(MOST_HELD_BACK + 5):
        one = add(instances, f"one-{number}")
        instances.hold_back("desk", on=True, instance_id=one.instance_id)
        instances.remove(one)
    assert not add(instances, "one-0").held_back
    assert add(instances, f"one-{MOST_HELD_BACK}").held_back
