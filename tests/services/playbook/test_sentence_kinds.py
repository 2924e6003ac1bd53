"""What callers refuse, ask about, cancel, and add: no half of it is taken for something else."""

from pathlib import Path

import pytest

from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.sentence_kinds import is_question, without_refused
from tests.services.playbook.test_dialogue import Talk

DIALOGUE = Dialogue(load_playbook(Path(__file__).parents[3] / "examples" / "front_desk.yaml"))
SUMMARY = "A table for two on Friday at seven."
NOT_UNDERSTOOD = ("Sorry, I did not understand that.", "I am sorry, could you say that again?")
HOURS = "We are open from Tuesday to Sunday"


@pytest.fixture
def talk() -> Talk:
    return Talk(DIALOGUE)


@pytest.fixture
def booked(talk: Talk) -> Talk:
    talk(SUMMARY)
    assert "is booked" in talk("Yes please.")
    return talk


@pytest.mark.parametrize(
    "text",
    [
        "A table for two on Friday at seven or eight.",
        "A table for two on Friday, seven or eight.",
        "A table for two on Friday at half past seven or eight.",
    ],
)
def test_a_second_time_is_no_number_of_people(talk: Talk, text: str) -> None:
    assert talk(text).endswith("seven or eight?")
    assert talk("Eight.") == "A table for two, Friday at eight. Is that right?"


def test_a_choice_of_times_is_no_number_of_people(talk: Talk) -> None:
    assert talk("Could we come at seven or eight?") == "Did you say seven or eight?"


@pytest.mark.parametrize(
    "text",
    ["Could it be eight instead?", "Would eight be possible?", "How about eight?", "Can we come eight?"],
)
def test_an_hour_asked_for_in_place_of_another_is_the_time(talk: Talk, text: str) -> None:
    talk(SUMMARY)
    assert talk(text) == "A table for two, Friday at eight. Is that right?"


@pytest.mark.parametrize(
    "text", ["Could it be eight people instead?", "Make it eight.", "Could it be for eight?"]
)
def test_a_number_of_people_stays_one(talk: Talk, text: str) -> None:
    talk(SUMMARY)
    assert talk(text) == "A table for eight, Friday at seven. Is that right?"


@pytest.mark.parametrize(
    "text",
    [
        "Please cancel it.",
        "Can you cancel that?",
        "I'd like to cancel my booking.",
        "Cancel the table please.",
        "I need to cancel my reservation for Friday.",
    ],
)
def test_a_booking_is_not_cancelled_by_saying_so(booked: Talk, text: str) -> None:
    assert booked(text) == "I cannot cancel a booking myself. Shall I call a colleague who can?"
    assert "It is ringing" in booked("Yes please.")
    assert [name for name, _ in booked.tools] == ["book_table", "transfer_call"]


def test_a_no_to_a_colleague_leaves_everything_as_it_is(booked: Talk) -> None:
    booked("Please cancel it.")
    assert booked("No.").startswith("All right, never mind.")
    assert len(booked.tools) == 1


@pytest.mark.parametrize("text", ["Cancel that.", "Please cancel it.", "I don't want a table."])
def test_what_is_not_done_yet_is_given_up(talk: Talk, text: str) -> None:
    talk(SUMMARY)
    assert talk(text).startswith("All right, never mind.")
    assert talk.tools == []


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Actually one more person is coming.", "three"),
        ("Two more people are joining us.", "four"),
        ("Another person is coming.", "three"),
        ("We will be one person less.", "one"),
    ],
)
def test_one_more_is_added_to_those_who_are_known(booked: Talk, text: str, people: str) -> None:
    assert booked(text) == f"So that is a table for {people}, Friday at seven. Shall I change it?"


def test_two_more_of_nobody_are_two(talk: Talk) -> None:
    assert "day" in talk("I'd like a table for two more people.")
    assert talk("On Friday at seven.") == "A table for two, Friday at seven. Is that right?"


def test_one_more_is_added_to_those_of_the_same_sentence(talk: Talk) -> None:
    assert talk("A table for two, plus one more person, on Friday at seven.").startswith(
        "A table for three, Friday"
    )


def test_a_human_who_is_refused_is_not_called(talk: Talk) -> None:
    assert "day" in talk("I don't want to speak to a human, I want a table for two.")
    assert talk.tools == []


@pytest.mark.parametrize(
    "text", ["I don't want a table.", "I don't want to talk to a person.", "We do not need a reservation."]
)
def test_what_is_refused_is_not_begun(talk: Talk, text: str) -> None:
    assert talk(text) == "What can I do for you?"
    assert talk.tools == []


def test_what_is_wanted_instead_is_served(talk: Talk) -> None:
    assert "ringing" in talk("I do not need a table, I want to talk to somebody.")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("I don't want a table but I have a question", "I have a question"),
        ("I don\u2019t want seven, I want eight.", "I want eight"),
        ("I don't need anything else, thanks", "I don't need anything else, thanks"),
        ("I don't want to talk to a machine", "I don't want to talk to a machine"),
        ("I don't know, do you have a table?", "I don't know, do you have a table?"),
    ],
)
def test_a_refused_clause_is_left_out(text: str, rest: str) -> None:
    assert without_refused(text) == rest


def test_a_question_about_hours_changes_no_booking(booked: Talk) -> None:
    assert booked("Do you serve food on Mondays?").startswith(HOURS)
    assert booked("And on Sundays?").startswith(HOURS)
    assert "Sunday at seven" in booked("Can we come on Sunday instead?")


def test_a_question_about_hours_at_the_summary_is_answered_and_the_summary_asked_again(talk: Talk) -> None:
    talk(SUMMARY)
    said = talk("Are you open on Sundays?")
    assert said.startswith(HOURS)
    assert said.endswith("A table for two, Friday at seven. Is that right?")
    assert "Sunday at seven" in talk("What about Sunday?")


@pytest.mark.parametrize("text", ["ok bye", "okay goodbye", "alright, bye bye", "no, goodbye"])
def test_okay_beside_a_goodbye_answers_no_question(talk: Talk, text: str) -> None:
    talk("I would like to book a table.")
    assert "Goodbye" in talk(text)
    assert talk.tools == [("hang_up", {})]


@pytest.mark.parametrize("text", ["ok bye", "okay goodbye", "alright, bye bye"])
def test_okay_beside_a_goodbye_agrees_to_a_summary_and_hears_so(talk: Talk, text: str) -> None:
    talk(SUMMARY)
    assert "is booked" in talk(text)
    assert talk.tools[0][0] == "book_table"


@pytest.mark.parametrize(
    "text",
    [
        "What's your address?",
        "Where are you?",
        "Is there vegan food?",
        "Do you have parking?",
        "What's on the menu?",
        "Do you do takeaway?",
        "Which desserts do you have?",
        "Do you take credit cards?",
        "Is there wifi?",
        "Who is the chef?",
    ],
)
def test_a_question_about_something_else_is_not_answered_with_something(talk: Talk, text: str) -> None:
    assert talk(text) in NOT_UNDERSTOOD


def test_a_wish_is_no_question_about_something() -> None:
    assert is_question("and what time do you close")
    assert not is_question("can we come on sunday")
