"""`Collection` without I/O: what it does next, and that all of it is in its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.collect.collected import NoValueReason
from piopiy_pipeline.collect.collection import Collection, Doing, NextStep
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import ValueReader
from piopiy_pipeline.collect.yes_no import YesNoReader

PROMPT = "The code?"
READERS: dict[str, Callable[[], ValueReader[Any]]] = {
    "digits": lambda: DigitsReader("en", least=4, most=4),
    "phone_number": lambda: PhoneNumberReader("en", region="US"),
    "email": lambda: EmailReader("en"),
    "address": lambda: AddressReader("en", region="US"),
    "confirm": lambda: YesNoReader("en"),
}


def collection(kind: str = "digits", **options: Any) -> Collection[Any]:
    made: dict[str, Any] = {"read_back": True, **options}
    return Collection(READERS[kind](), prompt=PROMPT, phrases=collect_phrases_in("en"), **made)


def test_the_question_is_the_prompt_and_what_is_whole_is_read_back() -> None:
    code = collection()
    assert code.begin() == NextStep(Doing.SAY, PROMPT)
    assert code.hear("four one five seven").text == "I have 4 1 5 7. Is that right?"
    assert code.checking
    code.was_heard()
    assert code.expects == "open"  # a correction is not only a yes or a no
    assert code.hear("yes").doing is Doing.FINISH


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("digits", "is it four one five seven?"),
        ("phone_number", "is it 415 271 8293?"),
        ("email", "is anna at gmail dot com okay?"),
    ],
)
def test_a_value_that_is_asked_about_is_taken_only_where_it_is_read_back(kind: str, said: str) -> None:
    form = collection(kind)
    assert form.hear(said).doing is Doing.SAY
    assert form.checking
    alone = collection(kind, read_back=False)
    assert alone.hear(said).doing is Doing.ASK_MODEL
    bare = said.removeprefix("is it ").removeprefix("is ").replace(" okay", "")
    assert alone.hear(bare).doing is Doing.FINISH  # a "?" without such words is only a rising voice


def test_an_address_may_be_said_with_a_rising_voice() -> None:
    form = collection("address")
    assert form.hear("Do you deliver to 12 Main Street, Portland, Oregon 97201?").doing is Doing.ASK_MODEL
    assert "12 Main Street" in form.hear("12 Main Street, Portland, Oregon 97201?").text


def test_who_has_not_heard_the_value_has_not_agreed_to_it() -> None:
    code = collection()
    asks = code.hear("four one five seven")
    code.was_heard("I have 4 1")
    assert code.hear("yes") == asks
    code.was_heard("I have 4 1 5 7. Is")
    assert code.hear("yes").doing is Doing.FINISH


def test_a_yes_with_the_value_is_a_yes() -> None:
    code = collection()
    code.hear("four one five seven")
    assert code.hear("yes, four one five seven").doing is Doing.FINISH
    address = collection("address")
    address.hear("23 Main Street, Portland, Oregon 97201")
    address.was_heard()
    assert address.hear("yes, we have lived there since 2010").doing is Doing.FINISH
    assert address.reader.value.postal_code == "97201"


def test_a_denied_value_is_asked_for_again() -> None:
    code = collection()
    code.hear("four one five seven")
    assert code.hear("no").text == "Sorry about that. The code?"
    assert code.attempts == 1
    assert code.hear("four one five eight").text.startswith("I have 4 1 5 8")


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        ("email", "anna smith", "bob at gmail dot com"),
        ("digits", "four one", "nine nine nine nine"),
        ("phone_number", "four one five", "four one five two seven one eight two nine three"),
    ],
)
@pytest.mark.parametrize("no", ["no", "No, that's wrong."])
@pytest.mark.parametrize("model_reads", [False, True])
def test_a_part_that_the_caller_denies_is_gone(
    kind: str, part: str, value: str, no: str, model_reads: bool
) -> None:
    form, alone = collection(kind, model_reads=model_reads), collection(kind)
    assert "so far" in form.hear(part).text
    denied = form.hear(no)
    assert denied.text == ("Sorry about that. The code?" if no == "no" else "Please say all of it once more.")
    assert (form.attempts, form.how, form.reader.written()) == (1, "", "")
    assert form.hear(value) == alone.hear(value)


@pytest.mark.parametrize(
    ("kind", "part"), [("email", "anna smith"), ("digits", "four one"), ("address", "12 Main Street")]
)
def test_behind_a_part_that_stands_the_rest_is_asked_for_again(kind: str, part: str) -> None:
    form = collection(kind)
    rest = form.hear(part).text
    assert form.hear("the weather is nice").text == f"I am sorry, I did not get that. {rest}"
    assert form.silence().text == rest
    assert form.resume().text == rest


def test_a_correction_that_is_not_clear_asks_for_all_of_it() -> None:
    code = collection()
    code.hear("four one five seven")
    assert code.hear("no that is not right").text == "Please say all of it once more."
    assert code.hear("four one five eight").text.startswith("I have 4 1 5 8")


def test_a_caller_begins_anew() -> None:
    code = collection()
    code.hear("four one")
    assert code.hear("let me start over").text == PROMPT
    assert code.hear("nine nine nine nine").text.startswith("I have 9 9 9 9")


def test_what_the_code_does_not_find_the_model_reads_and_it_is_read_back() -> None:
    code = collection(read_back=False, model_reads=True)
    assert code.hear("the year of the french revolution") == NextStep(
        Doing.READ, "the year of the french revolution"
    )
    assert code.read("the year of the french revolution", "1789").text == "I have 1 7 8 9. Is that right?"
    code.was_heard()
    assert code.hear("yes").doing is Doing.FINISH
    assert code.reader.value == "1789"


def test_what_the_model_does_not_find_either_is_no_answer() -> None:
    code = collection(model_reads=True)
    assert code.hear("blue").doing is Doing.READ
    assert code.read("blue", "").text == "I am sorry, I did not get that. The code?"


def test_a_question_is_not_read_but_answered() -> None:
    code = collection(model_reads=True)
    assert code.hear("What do you need it for?").doing is Doing.ASK_MODEL
    assert code.resume().text == PROMPT


def test_questions_are_bounded() -> None:
    code = collection(attempts=3)
    for _ in range(5):
        assert code.hear("Why is that?").doing is Doing.ASK_MODEL
    assert code.hear("Why is that?").doing is Doing.SAY
    code.hear("Why is that?")
    assert code.hear("Why is that?").why is NoValueReason.ATTEMPTS


def test_corrections_are_bounded() -> None:
    code = collection()
    code.hear("four one five seven")
    for n in range(60):
        if (act := code.hear(f"the last digit is {n % 9}")).doing is Doing.FAIL:
            break
    assert act.why is NoValueReason.ATTEMPTS
    assert n < 40


def test_keys_that_are_pressed_while_it_is_read_back() -> None:
    code = collection()
    asks = code.press("4157")
    assert code.press("2") == asks, "nobody has heard what is refused"
    code.was_heard()
    assert code.press("2").text == "Sorry about that. The code?"
    code.press("4158")
    assert code.press("4159").text.startswith("I have 4 1 5 9")  # typed anew
    assert code.press("1").text.startswith("I have 4 1 5 9")  # they have not heard it
    code.was_heard()
    assert code.press("1").doing is Doing.FINISH
    assert code.how == "keys"


@pytest.mark.parametrize("keys", ["12", "9", "41579", "1111111"])
def test_wrong_keys_at_a_value_that_was_read_back_leave_it_as_it_is(keys: str) -> None:
    code = collection(attempts=2)
    asks = code.press("4157")
    assert code.press(keys) == asks
    assert code.attempts == 0, "nobody has asked yet, as far as the caller knows"
    code.was_heard()
    assert code.press(keys) == asks
    assert code.reader.value == "4157"
    assert code.press(keys).why is NoValueReason.ATTEMPTS


def test_a_star_takes_the_value_back_and_what_follows_is_the_beginning_of_another() -> None:
    code = collection()
    code.press("4157")
    code.was_heard()
    assert code.press("*41").text == "I have 4 1 so far. Please go on."
    assert code.press("58").text == "I have 4 1 5 8. Is that right?"


@pytest.mark.parametrize(("keys", "agrees"), [("1", True), ("11", True), ("111", True), ("22", False)])
def test_an_answer_that_is_pressed_twice_is_one_answer(keys: str, agrees: bool) -> None:
    code = collection()
    code.press("4157")
    code.was_heard()
    act = code.press(keys)
    assert (act.doing is Doing.FINISH) is agrees
    assert agrees or act.text == "Sorry about that. The code?"


def test_a_question_that_was_heard_stays_so_until_the_caller_asks_what_it_was() -> None:
    code = collection()
    code.press("4157")
    code.was_heard()
    code.silence()
    assert code.is_known
    code.hear("what was that?")
    assert not code.is_known
    asked = collection("confirm", read_back=False)
    asked.begin()
    asked.was_heard("The")
    assert not asked.is_known
    asked.was_heard()
    asked.silence()
    assert asked.is_known


ANSWERS = st.one_of(
    st.tuples(
        st.just("hear"),
        st.sampled_from(
            ["four one five seven", "four one", "five seven", "yes", "no", "no, seven not five", "what was that?",
             "the last digit is nine", "why?", "blue", "anna at gmail dot com", "no, hotmail not gmail", "a n n a",
             "start over",
             "four one five two seven one eight two nine three", "23 Main Street", "Portland, Oregon 97201", "maybe"]
        ),
    ),
    st.tuples(st.just("press"), st.sampled_from(["1", "2", "4157", "41", "9*4157", "", "4152718293"])),
    st.tuples(st.just("silence"), st.just("")),
)  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(answers=st.lists(ANSWERS, max_size=12), lost=st.sets(st.integers(0, 11)))
def test_another_instance_goes_on_as_this_one_would(
    kind: str, answers: list[tuple[str, str]], lost: set[int]
) -> None:
    """At any of these points the state goes to another instance as JSON, and nothing is different from then on."""
    kept, moved = collection(kind), collection(kind)
    kept.begin()
    moved.begin()
    for n, (act, text) in enumerate(answers):
        if n in lost:
            state = json.loads(json.dumps(moved.state()))
            moved = collection(kind)
            moved.restore(state)
            assert moved.begin().doing is Doing.SAY
            moved.was_heard()
            kept.begin()  # what the caller has heard last is the same
            kept.was_heard()
        arguments = () if act == "silence" else (text,)
        done, also = getattr(kept, act)(*arguments), getattr(moved, act)(*arguments)
        assert done == also
        kept.was_heard()
        moved.was_heard()
        assert kept.state() == moved.state()
        if done.doing in (Doing.FINISH, Doing.FAIL):
            if done.doing is Doing.FINISH:
                value = kept.reader.value
                assert moved.reader.value == value
                assert kept.reader.from_json(json.loads(json.dumps(kept.reader.to_json(value)))) == value
            return


@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(max_size=60), max_size=15), kind=st.sampled_from(sorted(READERS)))
def test_nothing_that_is_said_raises_and_it_ends(texts: list[str], kind: str) -> None:
    made = collection(kind)
    for text in texts * 5:
        if made.hear(text).doing in (Doing.FINISH, Doing.FAIL):
            return
    assert len(texts) * 5 <= 45


def test_what_was_that_gets_the_question_without_the_apology_before_it() -> None:
    asked = collection("confirm", read_back=False)
    asked.begin()
    assert asked.hear("maybe later").text == f"I am sorry, I did not get that. {PROMPT}"
    assert asked.hear("what was that?").text == PROMPT


@pytest.mark.parametrize(
    ("typed", "said"), [(True, "There was no answer."), (False, "I did not hear anything.")]
)
def test_who_does_not_answer_in_a_chat_was_not_to_be_heard(typed: bool, said: str) -> None:
    code = collection(typed=typed)
    code.begin()
    assert code.silence().text == f"{said} {PROMPT}"
