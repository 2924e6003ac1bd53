"""What was done is changed by nothing but what was plainly said and plainly agreed to."""

import pytest

from tests.services.playbook.test_doubt import Caller

BOOKED = (4, "Friday", "19:00")
SUMMARY = "A table for four, Friday at seven. Is that right?"


@pytest.fixture
def caller() -> Caller:
    """One who has a table."""
    caller = Caller()
    caller.says("A table for four on Friday at seven.")
    caller.says("Yes.")
    assert caller.booked == [BOOKED]
    return caller


@pytest.fixture
def asked() -> Caller:
    """One who has been asked whether the summary is right."""
    caller = Caller()
    assert caller.says("A table for four on Friday at seven.") == SUMMARY
    return caller


# ------------------------------------------------------------------ a denial


def test_a_denied_change_does_not_come_back_beside_another_one(caller: Caller) -> None:
    assert "for six" in caller.says("Make it six.")
    assert caller.says("No.") == "What would you like to change?"
    assert caller.says("Saturday.") == "So that is a table for four, Saturday at seven. Shall I change it?"


def test_a_denied_change_and_nothing_else_leaves_what_was_done(caller: Caller) -> None:
    caller.says("Make it six.")
    caller.says("No.")
    assert caller.says("No.") == "A table for four, Friday at seven, is booked. Anything else?"
    assert caller.booked == [BOOKED]


def test_a_yes_to_the_question_what_to_change_changes_nothing(caller: Caller) -> None:
    caller.says("Make it six.")
    caller.says("No.")
    assert caller.says("Yes.") == "What would you like to change?"
    assert caller.booked == [BOOKED]


def test_a_change_to_the_same_changes_nothing(caller: Caller) -> None:
    assert caller.says("Make it four.") == "A table for four, Friday at seven, is booked. Anything else?"
    assert caller.booked == [BOOKED]


@pytest.mark.parametrize(
    "text", ["No, that is wrong.", "No, that's not right.", "No, that's not what I said."]
)
def test_whoever_denies_what_was_done_is_asked_and_not_sent_away(caller: Caller, text: str) -> None:
    assert caller.says(text) == "What would you like to change?"
    assert caller.says("Eight people.") == "So that is a table for eight, Friday at seven. Shall I change it?"


def test_the_words_of_the_question_are_no_correction(caller: Caller) -> None:
    caller.says("Make it six.")
    caller.says("Yes, change it, please.")
    assert caller.booked[1:] == [(6, "Friday", "19:00")]


# ------------------------------------------------------------------ doubt


def test_what_was_not_understood_changes_no_value_by_itself(caller: Caller) -> None:
    """The sentence is what the ears made of "two friends are joining us, so we'll be six"."""
    said = caller.says("One morphing. two friends are toiling us over your bitches.")
    assert said == "Did you say for two?"
    caller.says("No.")
    assert caller.says("No.") == "What would you like to change?"
    assert (
        caller.says("On Friday at seven.") == "A table for four, Friday at seven, is booked. Anything else?"
    )
    assert caller.booked == [BOOKED]


def test_a_value_that_nobody_asked_for_is_read_back_before_the_change(caller: Caller) -> None:
    assert caller.says("Six.") == "Did you say for six?"
    assert caller.says("Yes.") == "So that is a table for six, Friday at seven. Shall I change it?"


def test_a_yes_among_words_that_nobody_says_around_one_is_none(asked: Caller) -> None:
    """It is what the ears made of "no, that is wrong", or of a yes: nobody can tell."""
    assert asked.says("You have the right.").endswith(SUMMARY)
    asked.unsure = {"They", "were", "the"}
    assert asked.says("They were the fine.").endswith(SUMMARY)
    assert asked.booked == []


@pytest.mark.parametrize(
    "text", ["I think that's fine.", "Sounds right to me.", "You heard right.", "It's all good, yes."]
)
def test_what_people_say_around_a_yes_leaves_it_one(asked: Caller, text: str) -> None:
    asked.says(text)
    assert asked.booked == [BOOKED]


# ------------------------------------------------------------------ values that count from what is known


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Two friends are joining us.", "six"),
        ("One more thing, two friends are joining us, so we'll be six.", "six"),
        ("We'll be six now, two friends are joining.", "six"),
        ("My sister is coming too.", "five"),
        ("A colleague of mine wants to join us, and that makes five.", "five"),
        ("A couple of friends will be coming along.", "six"),
        ("My brother can't make it.", "three"),
        ("Two of our friends won't be there.", "two"),
    ],
)
def test_who_joins_or_stays_away_is_counted_in(caller: Caller, text: str, people: str) -> None:
    assert caller.says(text) == f"So that is a table for {people}, Friday at seven. Shall I change it?"


def test_how_many_join_is_not_how_many_there_are() -> None:
    caller = Caller()
    assert caller.says("A table on Friday at seven, two friends are joining me.") == "Did you say for two?"
    assert "people" in caller.says("No.")


@pytest.mark.parametrize("text", ["One more thing.", "I have one more question.", "Just one other thing."])
def test_one_more_thing_is_no_guest_and_no_hour(caller: Caller, text: str) -> None:
    assert "table for" not in caller.says(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Make it half past.", "half past seven"),
        ("Make it half a past.", "half past seven"),
        ("Quarter past would be better.", "quarter past seven"),
        ("Could we say quarter to instead?", "quarter to seven"),
        ("Half an hour later, please.", "half past seven"),
        ("An hour earlier, if you can.", "six"),
        ("Could we come 15 minutes later?", "quarter past seven"),
        ("Actually, an hour and a half later.", "half past eight"),
    ],
)
def test_a_time_without_its_hour_counts_from_the_known_one(asked: Caller, text: str, time: str) -> None:
    assert asked.says(text) == f"A table for four, Friday at {time}. Is that right?"


def test_a_time_without_its_hour_says_nothing_where_none_is_known() -> None:
    caller = Caller()
    caller.says("A table for four on Friday.")
    assert "time" in caller.says("Half past, please.")


@pytest.mark.parametrize("text", ["I said eight, not seven.", "Not seven, eight.", "Eight instead of seven."])
def test_the_number_that_is_refused_says_which_slot_is_meant(text: str) -> None:
    caller = Caller()
    assert caller.says("A table for four on Friday at seven.") == SUMMARY
    assert caller.says(text) == "A table for four, Friday at eight. Is that right?"
    caller = Caller()
    caller.says("A table for seven on Friday at six.")
    assert caller.says(text) == "A table for eight, Friday at six. Is that right?"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("A table for four on Friday between seven and eight.", "Did you say seven or eight?"),
        (
            "A table for four on Friday between seven and half past seven.",
            "Did you say seven or half past seven?",
        ),
        ("A table on Friday at seven for between six and eight people.", "Did you say six or eight?"),
    ],
)
def test_of_a_span_the_caller_is_asked_which_end(text: str, question: str) -> None:
    assert Caller().says(text) == question
