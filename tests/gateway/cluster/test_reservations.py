"""Which places at its instances a gateway tells others of."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.cluster.reservations import Reservations
from piopiy_pipeline.gateway.core.instances import Instances
from piopiy_pipeline.signaling.instance_messages import Load, Status, TakenCalls
from piopiy_pipeline.signaling.messages import GatewayMessage, Register


class NoLink:
    """The connection of an instance to which nothing is said."""

    def send(self, message: GatewayMessage) -> None:
        raise AssertionError

    def replace(self) -> None:
        raise AssertionError

    def shutdown(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("takes", "places", "any_call"), [("all", 990, True), ("takeovers", 0, True), ("none", 0, False)]
)
def test_an_instance_that_has_too_much_to_do_has_no_place_for_new_calls(
    takes: TakenCalls, places: int, any_call: bool
) -> None:
    instances = Instances()
    registration = Register(agent_id="desk", instance_id="desk-1", capacity=1000, version="1", roams=True)
    instance, _ = instances.add(registration, NoLink(), 0.0)
    load = Load(busy=0.9, lag_p95_ms=0.0, core=0.9, takes=takes)
    instance.update(Status(active=10, capacity=1000, load=load))
    reservations = Reservations(instances)
    assert reservations.places("desk").places == places
    assert reservations.takes_any("desk") is any_call
