"""An answer is found by the content of its request; what was never asked is a divergence with a name."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import AnswerBook, difference_from

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "assistant", "content": "Hello, how can I help you today?"}
TABLE = {"role": "user", "content": "a table please"}
MANY = {"role": "assistant", "content": "For how many?"}
FOUR = {"role": "user", "content": "for four"}


def asked(*messages: dict[str, Any], model: str = "m-1") -> dict[str, Any]:
    return {"messages": list(messages), "settings": {"model": model}}


def book(*requests: dict[str, Any], stage: Any = "llm") -> AnswerBook:
    """The n-th request was answered with its number, from 1 on."""
    lines = []
    for number, content in enumerate(requests, 1):
        lines += [
            ExchangeLine(
                at=number,
                stage=stage,
                service="S",
                id=number,
                kind="request",
                data={"content": content, "with": number},
            ),
            ExchangeLine(
                at=number + 0.5, stage=stage, service="S", id=number, kind="text", data={"text": str(number)}
            ),
            ExchangeLine(at=number + 0.7, stage=stage, service="S", id=number, kind="end"),
        ]
    return AnswerBook(lines, now=lambda: 12.0)


def answered(found: Any) -> int | None:
    return None if found is None else found.number


def test_the_same_question_gets_its_answer_at_its_own_pace() -> None:
    answers = book(asked(SYSTEM, TABLE), asked(SYSTEM, TABLE, MANY, FOUR))
    found = answers.llm(asked(SYSTEM, TABLE, MANY, FOUR))
    assert found is not None
    assert [(part.kind, part.after_s) for part in found.parts] == [("text", 0.5)]
    assert found.whole
    assert answers.divergences == []


def test_a_question_asked_twice_gets_both_answers_in_turn() -> None:
    answers = book(asked(TABLE), asked(TABLE))
    assert [answered(answers.llm(asked(TABLE))) for _ in range(3)] == [1, 2, 1]


def test_an_answer_cut_off_a_word_later_is_the_same_conversation() -> None:
    cut = {"role": "assistant", "content": "Hello, how can"}
    later = {"role": "assistant", "content": "Hello, how can I"}
    answers = book(asked(SYSTEM, cut, TABLE))
    assert answered(answers.llm(asked(SYSTEM, later, TABLE))) == 1
    assert answers.divergences == []


def test_another_prompt_is_named_and_the_call_goes_on() -> None:
    answers = book(asked(SYSTEM, HELLO, TABLE), asked(SYSTEM, HELLO, TABLE, MANY, FOUR))
    other = {"role": "system", "content": "Be long."}
    assert answered(answers.llm(asked(other, HELLO, TABLE))) == 1
    assert answered(answers.llm(asked(other, HELLO, TABLE, MANY, FOUR))) == 2
    assert [each.what for each in answers.divergences] == [
        "messages[0] (system).content was 'Be brief.', and is 'Be long.'"
    ] * 2
    assert str(answers.divergences[0]).startswith("the model was asked what it had not been asked")
    assert answers.divergences[0].at == 12.0


def test_another_model_is_named() -> None:
    answers = book(asked(TABLE))
    answers.llm(asked(TABLE, model="m-2"))
    assert answers.divergences[0].what == "settings.model was 'm-1', and is 'm-2'"


def test_another_question_has_no_answer() -> None:
    answers = book(asked(SYSTEM, TABLE))
    assert answers.llm(asked(SYSTEM, FOUR)) is None
    assert answers.divergences[0].what == "to answer 'for four'"


def test_a_text_that_was_never_spoken_is_named() -> None:
    answers = book({"text": "Hello.", "settings": {"voice": "a"}}, stage="tts")
    assert answered(answers.tts({"text": "Hello.", "settings": {"voice": "a"}})) == 1
    assert answered(answers.tts({"text": "Hello.", "settings": {"voice": "b"}})) == 1
    assert answers.tts({"text": "Goodbye.", "settings": {"voice": "a"}}) is None
    assert [each.what for each in answers.divergences] == [
        "settings.voice was 'a', and is 'b'",
        "to say 'Goodbye.'",
    ]


def test_a_redacted_recording_is_asked_with_redacted_requests() -> None:
    lines = book(asked({"role": "user", "content": "I am [name]"}))
    answers = AnswerBook(
        [
            ExchangeLine(
                at=1,
                stage="llm",
                service="S",
                id=1,
                kind="request",
                data={"content": asked({"role": "user", "content": "I am [name]"})},
            )
        ],
        now=lambda: 0.0,
        normalize=lambda content: asked({"role": "user", "content": "I am [name]"}),
    )
    assert answered(answers.llm(asked({"role": "user", "content": "I am Ann"}))) == 1
    assert lines.divergences == answers.divergences == []


def test_of_a_long_prompt_that_changed_the_place_of_the_change_is_shown() -> None:
    before, now = (
        f"{'Be brief. ' * 40}We are open from {day}. {'Be kind. ' * 40}" for day in ("Tuesday", "Monday")
    )
    told = difference_from(before, now)
    assert "Tuesday" in told
    assert "Monday" in told
    assert len(told) < 350
    assert "(771 characters)" in difference_from("a" * 771, "b")
    assert "was 'Be brief.', and is 'Be long.'" in difference_from("Be brief.", "Be long.")


def test_a_tool_more_or_less_is_told_by_its_name() -> None:
    find, book = ({"name": name, "description": name} for name in ("find_table", "book_table"))
    gone = difference_from({"tools": [find, book]}, {"tools": [book]})
    assert gone.startswith("tools.find_table was ")
    assert gone.endswith(", and is not there")
    more = difference_from({"tools": [book]}, {"tools": [find, book]})
    assert more.startswith("tools.find_table was not there, and is ")
    assert difference_from({"tools": [book]}, {"tools": [{**book, "description": "Book."}]}).startswith(
        "tools.book_table.description was 'book_table'"
    )
