"""When the way to another gateway is worth it: by load, and what a summons costs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.core.detour import PAYS_FROM, ROOM, detour_limit
from piopiy_pipeline.signaling.instance_messages import Load
from tests.support.switchboard import Room

shares = st.floats(0, 1, allow_nan=False)


def test_from_nearly_all_to_nearly_nothing_is_worth_it_and_from_half_is_not() -> None:
    limit = detour_limit(0.95)
    assert limit is not None
    assert limit > 0.05
    assert detour_limit(0.5) is None
    assert detour_limit(0.75) is None


@given(shares)
def test_nobody_goes_where_it_is_as_busy(here: float) -> None:
    limit = detour_limit(here)
    assert limit is None or 0 < limit < here


@given(shares, shares)
def test_the_busier_it_is_here_the_more_may_it_be_there(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert (detour_limit(less) or 0.0) <= (detour_limit(more) or 0.0)


@given(shares, shares)
def test_what_is_worth_it_saves_more_than_a_summons_costs(here: float, there: float) -> None:
    limit = detour_limit(here)
    if limit is not None and there <= limit:
        waits_here, waits_there = (min(one, 0.99) / (1 - min(one, 0.99)) for one in (here, there))
        assert waits_here - waits_there >= PAYS_FROM * 0.999


@given(shares, st.integers(0, 60), st.integers(0, 60), st.integers(1, 50), st.booleans())
def test_how_busy_an_instance_is_is_a_share(
    busy: float, reported: int, calls: int, capacity: int, says: bool
) -> None:
    room = Room()
    instance = room.agent(capacity=capacity).instance
    instance.reported = reported
    instance.calls = {f"call-{number}" for number in range(calls)}
    instance.load = Load(busy=busy, lag_p95_ms=0, core=busy) if says else None
    assert 0 <= instance.busy <= 1


def test_an_instance_with_room_is_worth_it_from_80_percent_on() -> None:
    assert (detour_limit(0.8) or 0.0) >= ROOM - 1e-9
    assert (detour_limit(0.79) or 0.0) < ROOM
