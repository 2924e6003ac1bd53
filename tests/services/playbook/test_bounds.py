"""What a slot does not take: the author's bounds of numbers, times and days."""

from __future__ import annotations

import pytest

from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import parse_playbook
from piopiy_pipeline.services.playbook.model import PlaybookError
from tests.services.playbook.test_doubt import Caller

CLOSED = "On Mondays we are closed."
TIMES = "We have tables from noon to half past nine in the evening."


@pytest.mark.parametrize(
    "day", ["Monday", "next Monday", "Monday the third", "a week from Monday", "Easter Monday"]
)
def test_a_day_on_which_the_house_is_closed_is_refused_and_another_one_asked_for(day: str) -> None:
    caller = Caller()
    said = caller.says(f"A table for four on {day} at seven.")
    assert said.startswith(CLOSED)
    assert "day" in said.removeprefix(CLOSED)
    assert caller.says("Tuesday, then.") == "A table for four, Tuesday at seven. Is that right?"


@pytest.mark.parametrize("time", ["midnight", "nine in the morning", "half past eleven", "ten"])
def test_a_time_at_which_the_house_is_closed_is_refused_and_another_one_asked_for(time: str) -> None:
    caller = Caller()
    said = caller.says(f"A table for four on Friday at {time}.")
    assert said.startswith(TIMES)
    assert "time" in said.removeprefix(TIMES)


@pytest.mark.parametrize("time", ["noon", "half past nine"])
def test_the_first_and_the_last_time_are_taken(time: str) -> None:
    assert Caller().says(f"A table for four on Friday at {time}.").endswith(f"at {time}. Is that right?")


def test_a_change_to_a_day_that_is_not_taken_changes_nothing() -> None:
    caller = Caller()
    caller.says("A table for four on Friday at seven.")
    caller.says("Yes.")
    assert caller.says("Actually, can we make it Monday?") == CLOSED
    caller.says("Yes.")
    assert caller.booked == [(4, "Friday", "19:00")]


def test_a_question_about_that_day_is_answered() -> None:
    assert "On Mondays we are closed" in Caller().says("Are you open on Monday?")


def test_a_playbook_without_bounds_takes_every_day_and_time() -> None:
    playbook = parse_playbook(
        'slots: {day: {type: day, ask: "When?"}, time: {type: time, ask: "What time?"}}\n'
        'intents: {come: {examples: [I want to come], slots: [day, time], confirm: "{day} at {time}?", tool: come}}'
    )
    said = Dialogue(playbook).next([{"role": "user", "content": "I want to come on Monday at midnight"}]).text
    assert said == "Monday at midnight?"


@pytest.mark.parametrize(
    ("slot", "mistake"),
    [
        (
            '{type: time, ask: "?", latest: half past nine}',
            "expected a time such as 19:30, not 'half past nine'",
        ),
        ('{type: day, ask: "?", latest: "21:30"}', "slots.when.latest: a day has none"),
        ('{type: time, ask: "?", closed: [Monday]}', "slots.when.closed: a time has none"),
        ('{type: day, ask: "?", closed: [Mondays]}', "expected 'Monday', 'Tuesday'"),
        (
            '{type: time, ask: "?", earliest: "22:00", latest: "21:30"}',
            "expected at most latest, which is 21:30",
        ),
    ],
)
def test_a_mistake_in_bounds_is_named(slot: str, mistake: str) -> None:
    text = f"slots:\n  when: {slot}\nintents: {{come: {{examples: [come], slots: [when], tool: come}}}}"
    with pytest.raises(PlaybookError, match=r"^playbook:2: ") as raised:
        parse_playbook(text)
    assert mistake in str(raised.value)
