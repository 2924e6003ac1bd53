"""Nothing is booked that was not plainly said and plainly agreed to."""

import json
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.services.playbook.consent import polarity
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.words import read_words

DESK = load_playbook(Path(__file__).parents[3] / "examples" / "front_desk.yaml")
SUMMARY = "A table for two, tomorrow at seven. Is that right?"


class Caller:
    """Says one thing after the other, and notes what is booked."""

    def __init__(self) -> None:
        self.dialogue = Dialogue(DESK)
        self.unsure: set[str] = set()
        """What the recogniser was not sure of, in any turn."""
        self.messages: list[dict[str, Any]] = []
        self.booked: list[tuple[int, str, str]] = []

    def says(self, text: str) -> str:
        self.messages.append({"role": "user", "content": text})
        action = self.dialogue.next(self.messages, lambda text: self.unsure.intersection(text.split()))
        if action.tool != "book_table":
            self.messages.append({"role": "assistant", "content": action.text})
            return action.text
        arguments = action.arguments
        self.booked.append((arguments["people"], arguments["day"], arguments["time"]))
        call = {"id": "1", "function": {"name": action.tool, "arguments": json.dumps(dict(arguments))}}
        self.messages.append({"role": "assistant", "tool_calls": [call]})
        self.messages.append({"role": "tool", "tool_call_id": "1", "content": '{"booked": true}'})
        return self.dialogue.next(self.messages).text


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_a_caller_in_words_of_their_own_books_the_right_table(caller: Caller) -> None:
    said = caller.says("We'd be six of us, could you squeeze us in on Saturday around eight?")
    assert said == "A table for six, Saturday at eight. Is that right?"
    caller.says("Perfect, that works.")
    assert caller.booked == [(6, "Saturday", "20:00")]


def test_a_number_that_was_guessed_from_its_sound_is_read_back_by_itself(caller: Caller) -> None:
    caller.says("I would like to book a table.")
    assert caller.says("To.") == "Did you say for two?"
    assert "day" in caller.says("Yes.")


def test_a_no_to_a_read_back_asks_again(caller: Caller) -> None:
    caller.says("I would like to book a table.")
    caller.says("Ate.")
    assert "people" in caller.says("No.")
    assert "day" in caller.says("Six.")


def test_of_two_values_the_caller_is_asked_which(caller: Caller) -> None:
    assert caller.says("A table for two on Friday or Saturday at seven.") == "Did you say Friday or Saturday?"
    assert "Friday or Saturday" in caller.says("Yes.")  # no answer to that
    assert "Saturday at seven. Is that right?" in caller.says("The second one.")


def test_another_value_settles_the_question_as_well(caller: Caller) -> None:
    caller.says("A table for five or six on Sunday at noon.")
    assert caller.says("There will be seven of us.") == "A table for seven, Sunday at noon. Is that right?"


def test_a_correction_is_no_doubt(caller: Caller) -> None:
    said = caller.says("A table for five, sorry, six people on Friday, no, Saturday at eight.")
    assert said == "A table for six, Saturday at eight. Is that right?"


def test_a_name_between_two_days_is_doubtful(caller: Caller) -> None:
    assert caller.says("A table for two on Tursday at seven.") == "Did you say Thursday?"
    caller.says("No, Tuesday.")
    caller.says("Yes.")
    assert caller.booked == [(2, "Tuesday", "19:00")]


@pytest.mark.parametrize(
    "text",
    [
        "I'm not sure.",
        "Is that right?",
        "What?",
        "Sorry?",
        "Maybe.",
        "Okay, hold on.",
        "Yes, no, wait.",
        "If that's okay with my wife.",
        "Hmm.",
        "You.",
        "That isn't right.",
        "That's not correct.",
        "Half past would be better.",
        "Yes, but I want to change the time.",
        "The day is wrong.",
        "I said Friday.",
        "Yes, but for three.",
        "No.",
        "Know.",
    ],
)
def test_what_is_no_clear_yes_books_nothing(caller: Caller, text: str) -> None:
    assert caller.says("A table for two tomorrow at seven, please.") == SUMMARY
    caller.says(text)
    assert caller.booked == []


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "Yep, sounds good.",
        "That would be great.",
        "Perfect!",
        "Yes, no problem.",
        "It is.",
        "Correct.",
        "Yes, for two.",
        "Yes, could you book that, please?",
        "Go ahead.",
    ],
)
def test_a_clear_yes_books(caller: Caller, text: str) -> None:
    caller.says("A table for two tomorrow at seven, please.")
    caller.says(text)
    assert caller.booked == [(2, "tomorrow", "19:00")]


def test_a_yes_that_corrects_is_read_back_again(caller: Caller) -> None:
    caller.says("A table for two tomorrow at seven, please.")
    assert caller.says("Yes, but make it half past eight.") == (
        "A table for two, tomorrow at half past eight. Is that right?"
    )
    assert caller.booked == []


@pytest.mark.parametrize("text", ["The time.", "The time is wrong.", "Can I change the time?"])
def test_a_slot_that_is_named_is_asked_for_again(caller: Caller, text: str) -> None:
    caller.says("A table for two tomorrow at seven, please.")
    caller.says("No.")
    assert "time" in caller.says(text)
    assert caller.says("Eight.") == "A table for two, tomorrow at eight. Is that right?"


def test_what_may_be_misheard_does_not_give_up_a_booking(caller: Caller) -> None:
    caller.says("A table for two on Friday or Saturday at seven.")
    assert "Friday or Saturday" in caller.says("Is that right?")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Of course not.", False),
        ("I don't think so.", False),
        ("I think so.", True),
        ("Not quite.", False),
        ("Why not?", True),
        ("Nope, Friday.", False),
        ("Yeah, I mean, no.", None),
        ("Right, what time do you close?", None),
        ("A table for four.", None),
        ("", None),
    ],
)
def test_yes_and_no_and_neither(text: str, says: bool | None) -> None:
    assert polarity(read_words(text).text, question=text.endswith("?"))[0] is says


def test_for_six_that_was_heard_as_46_is_read_back(caller: Caller) -> None:
    assert caller.says("A table 46 on Saturday at 8 in the evening.") == "Did you say for six?"
    assert caller.says("Yes.") == "A table for six, Saturday at eight. Is that right?"


@pytest.mark.parametrize(
    ("asked", "text", "said"),
    [
        ("I would like to book a table.", "It's for ford.", "Did you say for four?"),
        ("I would like to book a table.", "Hates.", "Did you say for eight?"),
        ("A table for two on Friday.", "Around it.", "Did you say eight?"),
    ],
)
def test_a_number_that_was_heard_as_another_word_is_read_back(
    caller: Caller, asked: str, text: str, said: str
) -> None:
    caller.says(asked)
    assert caller.says(text) == said


def test_a_value_that_the_recogniser_was_not_sure_of_is_read_back_by_itself(caller: Caller) -> None:
    caller.unsure = {"five"}
    assert caller.says("A table for five tomorrow at seven, please.") == "Did you say for five?"
    assert caller.says("No, for nine.") == "A table for nine, tomorrow at seven. Is that right?"


def test_a_doubt_beside_the_values_asks_nothing(caller: Caller) -> None:
    caller.unsure = {"please.", "A", "for"}
    assert caller.says("A table for two tomorrow at seven, please.") == SUMMARY


def test_a_yes_that_the_recogniser_was_not_sure_of_books_nothing(caller: Caller) -> None:
    caller.says("A table for two tomorrow at seven, please.")
    caller.unsure = {"Yes."}
    assert SUMMARY in caller.says("Yes.")
    caller.says("Yes, please.")
    assert caller.booked == [(2, "tomorrow", "19:00")]


def test_whoever_takes_over_sees_from_the_question_what_was_doubted(caller: Caller) -> None:
    caller.unsure = {"five"}
    caller.says("A table for five tomorrow at seven, please.")
    caller.unsure = set()  # another instance, which has not heard it
    assert caller.says("Yes.") == "A table for five, tomorrow at seven. Is that right?"
    assert caller.booked == []


def test_who_cuts_into_the_summary_has_not_agreed_to_it(caller: Caller) -> None:
    caller.says("A table for two tomorrow at seven, please.")
    caller.messages[-1]["content"] = "A table for two, tomorrow"
    assert caller.says("Yes.") == SUMMARY
    caller.messages[-1]["content"] = "A table for two, tomorrow at seven. Is"
    caller.says("Yes.")
    assert caller.booked == [(2, "tomorrow", "19:00")]


def test_the_service_asks_its_ears() -> None:
    from piopiy_pipeline.services.playbook.service import PlaybookLLMService

    service = PlaybookLLMService(DESK)
    service.doubt({"five"}.intersection)
    assert service.hot_words == Dialogue(DESK).hot_words


@pytest.mark.parametrize("text", ["Can you see what the light is?", "Please leave a message after the tone."])
def test_what_is_only_a_little_like_a_goodbye_or_a_wish_for_a_human_does_nothing(
    caller: Caller, text: str
) -> None:
    caller.messages.append({"role": "user", "content": text})
    assert caller.dialogue.next(caller.messages).tool is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A table for me after tomorrow for twelve people at one.", "Did you say the day after tomorrow?"),
        ("With two friends, so three altogether.", "Which day would you like to come?"),
        (
            "Sunday lunch, five people, quarter past one, can you do that?",
            "A table for five, Sunday at quarter past one.",
        ),
        (
            "Two people on Christmas Eve, the twenty fourth of December, at eight.",
            "A table for two, December twenty fourth",
        ),
        ("Tomorrow.", "How many people will you be?"),
    ],
)
def test_values_are_read_in_a_strangers_words(caller: Caller, text: str, said: str) -> None:
    assert caller.says(text).startswith(said)


def test_a_time_whose_minutes_were_misheard_is_no_number_of_people(caller: Caller) -> None:
    caller.says("A table for two on Friday at seven.")
    assert caller.says("Can we push that back to Florida past eight?") == "Did you say eight?"
    assert caller.says("Then past eight.") == "Did you say eight ten?"


def test_a_no_in_a_longer_sentence_asks_what_to_change(caller: Caller) -> None:
    caller.says("A table for two on Friday at seven.")
    assert caller.says("But no, that's not what I said.") == "What would you like to change?"


def test_see_you_on_friday_is_a_goodbye(caller: Caller) -> None:
    caller.says("A table for two on Friday at seven.")
    caller.says("Yes.")
    caller.messages.append({"role": "user", "content": "See you on Friday, bye."})
    assert caller.dialogue.next(caller.messages).tool == "hang_up"


@pytest.mark.parametrize("text", ["No. That's everything. I'm at high feeding.", "No, Sam,, you good-by."])
def test_a_no_to_anything_else_is_one_whatever_else_is_heard(caller: Caller, text: str) -> None:
    caller.says("A table for two on Friday at seven.")
    caller.says("Yes.")
    caller.messages.append({"role": "user", "content": text})
    assert caller.dialogue.next(caller.messages).tool == "hang_up"


def test_a_bare_number_is_the_hour_when_the_people_are_known(caller: Caller) -> None:
    caller.says("A table for four.")
    assert caller.says("On Sunday, F-6 is possible.") == "Did you say six?"
    assert caller.says("Yes.") == "A table for four, Sunday at six. Is that right?"


def test_the_day_after_something_misheard_is_asked_for(caller: Caller) -> None:
    caller.says("A table for four.")
    assert caller.says("The day after Camaro would be great.") == "Did you say the day after tomorrow?"


def test_an_hour_that_corrects_a_time_is_no_number_of_people(caller: Caller) -> None:
    caller.says("A table for five on Saturday.")
    assert caller.says("Six thirty. No wait, seven.") == "A table for five, Saturday at seven. Is that right?"
    assert caller.says("At six. No, eight.") == "A table for five, Saturday at eight. Is that right?"


def test_a_number_after_or_is_another_number(caller: Caller) -> None:
    assert caller.says("A table on Sunday for three people or four.") == "Did you say three or four?"


@pytest.mark.parametrize(
    ("text", "unsure"), [("Absolutely. Go ahead.", "Absolutely."), ("Less exactly, thank you.", "Less")]
)
def test_a_yes_of_which_something_is_sure_is_one(caller: Caller, text: str, unsure: str) -> None:
    caller.says("A table for two on Friday at seven.")
    caller.unsure = {unsure}
    caller.says(text)
    assert caller.booked == [(2, "Friday", "19:00")]


def test_a_change_that_is_a_little_like_a_question_is_a_change(caller: Caller) -> None:
    caller.says("A table for two on Friday at seven.")
    caller.says("Yes.")
    said = caller.says("And we push that back to quarter past eight.")
    assert said == "So that is a table for two, Friday at quarter past eight. Shall I change it?"


def test_a_doubtful_yes_settles_a_question_about_one_value(caller: Caller) -> None:
    """All values are read back once more before anything is done."""
    caller.unsure = {"five"}
    caller.says("A table for five tomorrow at seven.")
    caller.unsure = {"Yes,", "please."}
    assert caller.says("Yes, please.") == "A table for five, tomorrow at seven. Is that right?"
    caller.unsure = {"Yes."}
    assert "Is that right?" in caller.says("Yes.")
    caller.unsure = {"Yes,"}
    caller.says("Yes, please.")
    assert caller.booked
