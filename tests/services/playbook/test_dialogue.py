"""Conversations with the front desk, from messages to actions, without I/O."""

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipecat.processors.aggregators import async_tool_messages

from piopiy_pipeline.services.playbook.dialogue import Action, Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook, parse_playbook

ROOT = Path(__file__).parents[3]


class Talk:
    """A conversation whose tools answer at once."""

    def __init__(self, dialogue: Dialogue, result: object = None) -> None:
        self.dialogue = dialogue
        self.result = result if result is not None else {"booked": True}
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a front desk."}]
        self.tools: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, text: str) -> str:
        """The caller says `text`; everything that the bot says to it."""
        self.messages.append({"role": "user", "content": text})
        action = self.dialogue.next(self.messages)
        said = [action.text]
        if action.tool:
            said.append(self.run(action))
        self.messages.append({"role": "assistant", "content": " ".join(said)})
        return " ".join(said).strip()

    def run(self, action: Action) -> str:
        assert action.tool is not None
        self.tools.append((action.tool, dict(action.arguments)))
        function = {"name": action.tool, "arguments": json.dumps(action.arguments)}
        self.messages.append({"role": "assistant", "tool_calls": [{"id": "1", "function": function}]})
        self.messages.append({"role": "tool", "tool_call_id": "1", "content": "IN_PROGRESS"})
        assert self.dialogue.next(self.messages) == Action()
        self.messages[-1]["content"] = (
            self.result if isinstance(self.result, str) else json.dumps(self.result)
        )
        return self.dialogue.next(self.messages).text


@pytest.fixture(scope="module")
def dialogue() -> Dialogue:
    return Dialogue(load_playbook(ROOT / "examples" / "front_desk.yaml"))


@pytest.fixture
def talk(dialogue: Dialogue) -> Talk:
    return Talk(dialogue)


def _turns(scene: str) -> list[str]:
    scenes = json.loads((ROOT / "tests" / "audio" / "scenes.json").read_text())
    return [turn["text"] for turn in scenes[scene]]


def test_asks_for_what_is_missing_confirms_books_once_and_hangs_up(talk: Talk) -> None:
    assert "day" in talk("I would like to book a table for four people.")
    assert talk("On Friday at seven in the evening.") == "A table for four, Friday at seven. Is that right?"
    assert talk.tools == []
    assert talk("Yes please.") == "A table for four, Friday at seven, is booked. Anything else?"
    assert "Goodbye" in talk("No thank you, goodbye.")
    assert talk.tools == [("book_table", {"people": 4, "day": "Friday", "time": "19:00"}), ("hang_up", {})]


def test_a_tool_that_outlives_an_interruption_has_its_result_when_it_comes(dialogue: Dialogue) -> None:
    talk = Talk(dialogue)
    talk("A table for four on Friday at seven.")
    talk.messages.append({"role": "user", "content": "Yes please."})
    assert dialogue.next(talk.messages).tool == "book_table"
    call: dict[str, Any] = {"id": "1", "function": {"name": "book_table", "arguments": "{}"}}
    talk.messages.append({"role": "assistant", "tool_calls": [call]})
    talk.messages.append(cast(Any, async_tool_messages.build_started_message("1")))
    assert dialogue.next(talk.messages) == Action()
    talk("Hello, are you there?")
    done = async_tool_messages.build_final_result_message("1", json.dumps({"booked": True}))
    talk.messages.append(cast(Any, done))
    assert "is booked" in dialogue.next(talk.messages).text


@pytest.mark.parametrize(
    ("scene", "bookings"),
    [
        ("booking", [{"people": 4, "day": "Friday", "time": "19:00"}]),
        ("booking_at_once", [{"people": 2, "day": "tomorrow", "time": "19:30"}]),
        (
            "correction",
            [
                {"people": 5, "day": "Friday", "time": "19:00"},
                {"people": 5, "day": "Saturday", "time": "19:00"},
            ],
        ),
        ("hours", []),
        ("barge_in", [{"people": 3, "day": "Tuesday", "time": "20:00"}]),
    ],
)
def test_every_scene_ends_in_its_bookings_and_a_hang_up(
    talk: Talk, scene: str, bookings: list[dict[str, Any]]
) -> None:
    for turn in _turns(scene):
        talk(turn)
    assert talk.tools == [*(("book_table", booking) for booking in bookings), ("hang_up", {})]


def test_a_correction_before_the_yes_is_confirmed_anew(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    assert talk("no, make it five") == "A table for five, Friday at seven. Is that right?"
    assert talk("actually Saturday") == "A table for five, Saturday at seven. Is that right?"
    assert talk("no") == "What would you like to change?"
    assert talk("half past eight") == "A table for five, Saturday at half past eight. Is that right?"
    talk("that's right")
    assert talk.tools == [("book_table", {"people": 5, "day": "Saturday", "time": "20:30"})]


def test_a_change_of_mind_after_the_booking_asks_and_calls_the_tool_again(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk("yes")
    assert talk("sorry, can you change it to six people") == (
        "So that is a table for six, Friday at seven. Shall I change it?"
    )
    talk("yes")
    assert [arguments["people"] for _, arguments in talk.tools] == [4, 6]


def test_a_bare_number_answers_the_question_that_was_asked(talk: Talk) -> None:
    talk("book a table please")
    talk("six")
    talk("tomorrow")
    assert talk("eight") == "A table for six, tomorrow at eight. Is that right?"


def test_a_question_in_the_middle_is_answered_and_the_open_one_asked_again(talk: Talk) -> None:
    talk("book a table for two")
    answer = talk("what time do you close")
    assert "Tuesday to Sunday" in answer
    assert "day" in answer.rpartition(".")[2]


def test_a_number_out_of_range_is_refused_and_asked_for_again(talk: Talk) -> None:
    assert "up to twenty" in talk("a table for thirty people on friday")
    assert "Friday at seven" in talk("ten, at seven")


@pytest.mark.parametrize(
    "text", ["the stock market fell sharply after the announcement", "how much is a train ticket", "library"]
)
def test_what_is_not_understood_gets_the_fallback(talk: Talk, text: str) -> None:
    assert talk(text) in ("Sorry, I did not understand that.", "I am sorry, could you say that again?")
    assert talk.tools == []


def test_never_mind_forgets_the_booking(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    assert "never mind" in talk("never mind, forget it")
    assert "listening" not in talk("yes")
    assert talk.tools == []


def test_no_when_nothing_is_open_is_a_goodbye(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk("yes")
    talk("no, thanks")
    assert talk.tools[-1] == ("hang_up", {})


def test_a_tool_that_failed_is_said(dialogue: Dialogue) -> None:
    for result in (
        {"error": "the disk is full"},
        '"The function `book_table` failed and returned no result."',
    ):
        talk = Talk(dialogue, result)
        talk("a table for four on friday at seven")
        assert "could not write that down" in talk("yes")


def test_a_yes_that_was_interrupted_before_the_tool_ran_can_be_taken_back(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk.messages.append({"role": "user", "content": "yes"})
    assert talk.dialogue.next(talk.messages).tool == "book_table"
    # The caller spoke before the call was made: nothing of it is in the messages.
    assert talk("no wait, make it five") == "A table for five, Friday at seven. Is that right?"


def test_whoever_has_the_messages_can_go_on(dialogue: Dialogue, talk: Talk) -> None:
    talk("a table for four")
    talk("on friday")
    other = Dialogue(load_playbook(ROOT / "examples" / "front_desk.yaml"))
    successor = Talk(other)
    successor.messages = json.loads(json.dumps(talk.messages))
    assert successor("at seven") == "A table for four, Friday at seven. Is that right?"


def test_a_word_from_the_side_repeats_the_open_question(talk: Talk) -> None:
    talk("a table for four")
    talk.messages.append({"role": "developer", "content": "The caller is silent."})
    assert "day" in talk.dialogue.next(talk.messages).text


def test_a_tool_that_fails_after_all_has_the_words_of_its_failure(talk: Talk) -> None:
    talk.result = {"ringing": True}
    assert talk("can I speak to a human please").endswith(
        "It is ringing. Is there anything else while we wait?"
    )
    assert "open from Tuesday" in talk("when are you open")
    late = {"tool": "transfer_call", "error": "nobody answered"}
    talk.messages.append({"role": "developer", "content": json.dumps(late)})
    assert "nobody can come to the telephone" in talk.dialogue.next(talk.messages).text
    talk.messages[-1]["content"] = json.dumps({"tool": "of another bot", "error": "it broke"})
    assert talk.dialogue.next(talk.messages).text == "I am sorry, that did not work."


# ------------------------------------------------------------------ several things in one sentence

BOOKED = ("book_table", {"people": 4, "day": "Friday", "time": "19:00"})


@pytest.mark.parametrize(
    "text",
    [
        "Yes, that is right, thank you, goodbye.",
        "yes that's right thanks bye",
        "Correct. Have a nice day!",
        "yes please and that is all goodbye",
        "That is all right, goodbye",
    ],
)
def test_a_confirmation_and_a_goodbye_in_one_breath_book_and_then_hang_up(talk: Talk, text: str) -> None:
    talk("a table for four on friday at seven")
    said = talk(text)
    assert talk.tools == [BOOKED]
    assert "is booked." in said
    assert "Anything else" not in said
    assert "oodbye" in said
    action = talk.dialogue.next(talk.messages[:-1])
    assert action.tool == "hang_up"


def test_the_goodbye_waits_for_a_booking_that_failed(dialogue: Dialogue) -> None:
    talk = Talk(dialogue, {"error": "the disk is full"})
    talk("a table for four on friday at seven")
    assert "could not write that down" in talk("Yes, thank you, goodbye.")
    assert [name for name, _ in talk.tools] == ["book_table"]


def test_that_is_all_right_is_no_goodbye(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk("yes that is all right")
    assert talk.dialogue.next(talk.messages[:-1]).tool is None


def test_a_question_and_a_goodbye_are_both_served(talk: Talk) -> None:
    said = talk("When are you open? Thank you, goodbye.")
    assert said.index("Tuesday to Sunday") < said.index("oodbye")
    assert talk.tools == [("hang_up", {})]


def test_a_booking_and_a_question_are_both_served_and_the_open_question_comes_last(talk: Talk) -> None:
    said = talk("I'd like to book a table for four people on Friday at seven, and when do you close")
    assert said.index("Tuesday to Sunday") < said.index("Is that right?")
    talk("yes")
    assert talk.tools == [BOOKED]


def test_an_answer_and_a_question_are_both_served(talk: Talk) -> None:
    talk("book a table for four")
    said = talk("on Friday, and what are your opening hours")
    assert "Tuesday to Sunday" in said
    assert said.endswith("?")
    talk("at seven")
    talk("yes")
    assert talk.tools == [BOOKED]


def test_a_goodbye_does_not_end_the_call_while_a_question_is_open(talk: Talk) -> None:
    assert "Is that right?" in talk("a table for four on friday at seven, thank you, goodbye")
    assert talk.tools == []


def test_a_question_and_the_wish_for_a_human_are_both_served(talk: Talk) -> None:
    talk("when are you open and can I speak to a human please")
    assert talk.tools == [("transfer_call", {})]


def test_misheard_words_beside_a_goodbye_are_no_second_intent(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk("yes")
    assert "oodbye" in talk("no ten p you goodbye")
    assert [name for name, _ in talk.tools] == ["book_table", "hang_up"]


def test_a_goodbye_while_the_tool_runs_is_served_behind_it(talk: Talk) -> None:
    talk("a table for four on friday at seven")
    talk.messages.append({"role": "user", "content": "yes"})
    function = {"name": "book_table", "arguments": "{}"}
    talk.messages.append({"role": "assistant", "tool_calls": [{"id": "1", "function": function}]})
    talk.messages.append({"role": "user", "content": "thanks, goodbye"})
    assert talk.dialogue.next(talk.messages).text == "One moment, please."
    talk.messages.append({"role": "tool", "tool_call_id": "1", "content": '{"booked": true}'})
    action = talk.dialogue.next(talk.messages)
    assert "is booked." in action.text
    assert action.tool == "hang_up"


CONFIRMED = st.sampled_from(["yes", "Yes, that is right", "correct", "that's right", "yes please", "okay"])
GOODBYES = st.sampled_from(["goodbye", "thank you, goodbye", "thanks bye", "that is all", "have a nice day"])
ASIDES = st.sampled_from(["", "when are you open", "what time do you close", "thank you very much", "hello"])
JOINED = st.sampled_from([" ", ", ", ". ", " and ", "! "])


@settings(max_examples=int(os.environ.get("PROPERTY_CASES", "200")), deadline=None)
@given(CONFIRMED, JOINED, ASIDES, JOINED, GOODBYES)
def test_no_booking_is_lost_whatever_is_said_beside_the_confirmation(
    dialogue: Dialogue, yes: str, first: str, aside: str, second: str, goodbye: str
) -> None:
    talk = Talk(dialogue)
    talk("a table for four on friday at seven")
    said = talk(f"{yes}{first}{aside}{second}{goodbye}")
    assert talk.tools == [BOOKED]
    assert talk.dialogue.next(talk.messages[:-1]).tool == "hang_up"
    if aside.startswith("wh"):
        assert "Tuesday to Sunday" in said


@pytest.mark.parametrize("text", ["hello there", "thank you very much", "oh hi, thank you"])
def test_what_is_only_polite_is_no_second_intent(talk: Talk, text: str) -> None:
    talk("a table for four on friday at seven")
    assert "Is that right?" in talk(text)
    assert talk.tools == []


def test_content_in_parts_is_read(dialogue: Dialogue) -> None:
    parts = [{"type": "text", "text": "when are"}, {"type": "text", "text": "you open"}]
    assert "Tuesday" in dialogue.next([{"role": "user", "content": parts}]).text


PIZZA = """\
slots:
  size: {type: one_of, values: {large: [big], small: [little]}, ask: "What size?"}
  name: {type: text, ask: "What is your name?"}
intents:
  order:
    examples: ["I want a {size} pizza", "my name is {name}"]
    slots: [size, name]
    tool: order
    reply: "Number {result.number} for {name}."
"""


def test_one_of_a_list_and_free_text_and_a_result_in_the_reply() -> None:
    talk = Talk(Dialogue(parse_playbook(PIZZA)), {"number": 17})
    assert talk("I want a big pizza") == "What is your name?"
    assert talk("my name is maria") == "Number 17 for maria."
    assert talk.tools == [("order", {"size": "large", "name": "maria"})]


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "Number for maria."), ([3, 4], "Number 3, 4 for maria."), ([], "Number for maria.")],
)
def test_a_field_of_a_result_is_said_as_a_person_would_and_not_as_python_writes_it(
    number: object, said: str
) -> None:
    talk = Talk(Dialogue(parse_playbook(PIZZA)), {"number": number})
    talk("I want a big pizza")
    assert " ".join(talk("my name is maria").split()) == said
