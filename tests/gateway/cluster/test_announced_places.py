"""What gateways tell each other of their agents: whatever is lost or late, everybody knows all again."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.cluster.announced_places import PART_BYTES, AnnouncedPlaces, in_parts
from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces, GatewayPresence
from piopiy_pipeline.gateway.cluster.other_gateways import EXPIRE_S, MOST, OtherGateways
from piopiy_pipeline.signaling.json_messages import dump


class Teller:
    """A gateway that has agents."""

    def __init__(self, name: str = "here") -> None:
        self.name = name
        self.places: dict[str, AgentPlaces] = {}
        self.announced = AnnouncedPlaces()

    def set(self, agent_id: str, instances: int, places: int = 0) -> None:
        self.places.pop(agent_id, None)
        if instances:
            self.places[agent_id] = AgentPlaces(instances=instances, active=0, places=places)

    def says(self) -> GatewayPresence:
        since, changed = self.announced.changes(self.places)
        return self._presence(since, changed)

    def says_all(self) -> GatewayPresence:
        return self._presence(None, self.places)

    def says_all_in_parts(self, most_bytes: int = PART_BYTES) -> list[GatewayPresence]:
        return [
            self._presence(since, agents).model_copy(update={"number": number})
            for since, number, agents in in_parts(self.announced.number, self.places, most_bytes)
        ]

    def _presence(self, since: int | None, agents: dict[str, AgentPlaces]) -> GatewayPresence:
        return GatewayPresence(
            gateway=self.name, url="ws://here", number=self.announced.number, since=since, agents=dict(agents)
        )


def known(others: OtherGateways, now: float) -> dict[str, int]:
    return {agent_id: one.instances for there in others.there(now) for agent_id, one in there.agents.items()}


def test_what_has_not_changed_is_not_said_again() -> None:
    teller, others = Teller(), OtherGateways()
    teller.set("desk", 2, 5)
    assert others.heard(teller.says(), 0.0), "it has to be asked for what it had before"
    others.heard(teller.says_all(), 0.0)
    for now in range(1, 4):
        said = teller.says()
        assert not others.heard(said, float(now))
    assert said.agents == {}
    assert (others.instances("desk", 3.0), others.has_place("desk", 3.0)) == (2, True)


def test_calls_are_no_change_but_the_last_place_is() -> None:
    teller = Teller()
    teller.set("desk", 1, 5)
    for _ in range(4):
        teller.says()
    teller.set("desk", 1, 4)
    assert teller.says().agents == {}
    teller.set("desk", 1, 0)
    assert list(teller.says().agents) == ["desk"]


def test_a_gateway_that_was_started_again_is_not_taken_for_the_one_before() -> None:
    others, before, after = OtherGateways(), Teller(), Teller()
    before.set("desk", 1)
    others.heard(before.says_all(), 0.0)
    after.says()
    assert others.heard(after.says(), 1.0)
    others.heard(after.says_all(), 1.0)
    assert known(others, 1.0) == {}


def test_the_list_of_a_gateway_outlives_its_silence() -> None:
    teller, others = Teller(), OtherGateways()
    teller.set("desk", 1, 1)
    teller.says()
    others.heard(teller.says_all(), 0.0)
    later = 2 * EXPIRE_S
    assert (others.instances("desk", later), others.there(later)) == (0, [])
    assert not others.heard(teller.says(), later)
    assert others.instances("desk", later) == 1


def test_so_many_gateways_are_known_and_those_that_left_make_room() -> None:
    others = OtherGateways()
    for number in range(MOST + 10):
        others.heard(Teller(f"gateway-{number}").says_all(), 0.0)
    assert len(others.there(0.0)) == MOST
    late = Teller("late")
    late.set("desk", 1)
    others.heard(late.says_all(), EXPIRE_S)
    assert known(others, EXPIRE_S) == {"desk": 1}


@given(st.integers(0, 2**32), st.floats(0, 0.9))
def test_after_any_losses_all_is_known_with_the_next_message_and_its_answer(seed: int, lost: float) -> None:
    rng = random.Random(seed)
    teller, others = Teller(), OtherGateways()
    for now in range(40):
        for _ in range(rng.randint(0, 2)):
            teller.set(f"desk-{rng.randint(0, 4)}", rng.randint(0, 2), rng.randint(0, 1))
        said = teller.says()
        if rng.random() < lost and now < 39:
            continue
        if others.heard(said, float(now)):
            others.heard(teller.says_all(), float(now))
        assert known(others, float(now)) == {one: places.instances for one, places in teller.places.items()}
        for agent_id in map("desk-{}".format, range(5)):
            mine = teller.places.get(agent_id)
            assert others.has_place(agent_id, float(now)) == (mine is not None and mine.places > 0)


def test_a_long_list_comes_in_parts_that_servers_take() -> None:
    teller, others = Teller(), OtherGateways()
    for number in range(20_000):
        teller.set(f"{number}-" + "\N{SNOWMAN}" * (number % 100), 1_000_000, 1_000_000)
    teller.says()
    parts = teller.says_all_in_parts()
    assert max(len(dump(one).encode()) for one in parts) < PART_BYTES + 1000
    assert [others.heard(one, 0.0) for one in parts] == [False] * len(parts)
    assert len(known(others, 0.0)) == 20_000
    assert not others.heard(teller.says(), 1.0)
    assert len(others.there(1.0)[0].agents) == 20_000


@given(st.integers(0, 2**32))
def test_a_part_that_is_lost_or_overtaken_is_asked_for_again(seed: int) -> None:
    rng = random.Random(seed)
    teller, others = Teller(), OtherGateways()
    for number in range(12):
        teller.set(f"desk-{number}", 1)
    teller.says()
    parts = teller.says_all_in_parts(250)
    assert len(parts) > 4
    told = [one for one in parts if rng.random() < 0.8]
    for _ in range(rng.randint(0, 2)):
        told.insert(rng.randint(0, len(told)), teller.says())
    asked = [others.heard(one, 0.0) for one in told]
    complete = set(known(others, 0.0)) == set(teller.places)
    assert complete or any(asked) or others.heard(teller.says(), 1.0)
    for one in teller.says_all_in_parts(250):
        others.heard(one, 1.0)
    assert set(known(others, 1.0)) == set(teller.places)
    assert not others.heard(teller.says(), 2.0)
