"""A key that a phone sends by RTP and by INFO is one key."""

from __future__ import annotations

import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.phones.key_deduplicator import SAME_KEY_S, KeyDeduplicator, KeyWay

CASES = int(os.environ.get("PROPERTY_CASES", "200"))


def test_a_key_by_both_ways_counts_once() -> None:
    one = KeyDeduplicator()
    assert one.take("5", "rtp", 0.0) == "5"
    assert one.take("5", "info", 0.2) == ""
    assert one.take("5", "info", 0.3) == "5"
    assert one.take("5", "rtp", 0.4) == ""


def test_the_same_key_by_one_way_is_pressed_again() -> None:
    one = KeyDeduplicator()
    assert one.take("55", "rtp", 0.0) + one.take("5", "rtp", 0.1) == "555"


def test_the_same_key_much_later_is_pressed_again() -> None:
    one = KeyDeduplicator()
    assert one.take("5", "rtp", 0.0) == "5"
    assert one.take("5", "info", SAME_KEY_S + 0.1) == "5"


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.sampled_from("1123#"), max_size=20), st.integers(0, 2**32))
def test_any_keys_by_both_ways_each_up_to_a_second_late_count_once(keys: list[str], seed: int) -> None:
    rng = Random(seed)
    came: list[tuple[float, KeyWay, str]] = []
    ways: tuple[KeyWay, ...] = ("rtp", "info")
    for way in ways:
        free = 0.0
        for n, key in enumerate(keys):
            free = max(free, n * 0.2 + rng.uniform(0, 1.0))  # each way keeps the order
            came.append((free, way, key))
    one = KeyDeduplicator()
    told = "".join(one.take(key, way, at) for at, way, key in sorted(came, key=lambda one: one[0]))
    assert told == "".join(keys)
