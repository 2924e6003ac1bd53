"""Deadlines: what is done when they pass, once, and in which order."""

from __future__ import annotations

from typing import Literal

from piopiy_pipeline.gateway.core.deadlines import Deadlines

Name = Literal["early", "late"]


def test_each_alarm_acts_once_when_its_time_has_come_the_earliest_first() -> None:
    alarms: Deadlines[Name] = Deadlines()
    acted: list[tuple[str, float]] = []
    alarms.set("late", 20.0, lambda now: acted.append(("late", now)))
    alarms.set("early", 10.0, lambda now: acted.append(("early", now)))
    assert alarms.next_at == 10.0
    alarms.tick(9.9)
    assert acted == []
    alarms.tick(30.0)
    alarms.tick(40.0)
    assert acted == [("early", 30.0), ("late", 30.0)]
    assert alarms.next_at is None


def test_an_alarm_of_the_same_name_takes_the_place_of_the_other() -> None:
    alarms: Deadlines[Name] = Deadlines()
    acted: list[str] = []
    alarms.set("early", 10.0, lambda _: acted.append("first"))
    alarms.set("early", 20.0, lambda _: acted.append("second"))
    alarms.tick(15.0)
    assert acted == []
    alarms.tick(20.0)
    assert acted == ["second"]


def test_what_one_alarm_switches_off_or_sets_anew_does_not_act_in_the_same_tick() -> None:
    alarms: Deadlines[Name] = Deadlines()
    acted: list[str] = []
    alarms.set("early", 10.0, lambda _: alarms.off())
    alarms.set("late", 11.0, lambda _: acted.append("late"))
    alarms.tick(12.0)
    assert (acted, alarms.next_at) == ([], None)
    alarms.set("early", 10.0, lambda _: alarms.set("late", 30.0, lambda _: acted.append("later")))
    alarms.set("late", 11.0, lambda _: acted.append("late"))
    alarms.tick(12.0)
    assert (acted, alarms.next_at) == ([], 30.0)
    alarms.off("late", "early")
    assert alarms.next_at is None
