"""What of a model's answer the caller is to hear."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.session.model.thoughts import ThoughtFilter

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
MARKS = [
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ("<thinking budget='9'>", "</thinking>"),
    ("< think >", "< / think >"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]


def said(pieces: Sequence[str], thoughts: ThoughtFilter | None = None) -> str:
    thoughts = thoughts or ThoughtFilter()
    thoughts.begin()
    return "".join([*map(thoughts.feed, pieces), thoughts.finish()])


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], str]:
    """An answer in pieces, cut anywhere, and what is to be heard of it."""
    words = st.text("ab .,<>[]/|1ü\n", max_size=12).filter(lambda text: said([text]) == text)
    whole, heard = "", ""
    for _ in range(draw(st.integers(1, 4))):
        before = draw(words)
        if not before.endswith(("<", "|", "[")):  # which would be part of the mark behind it
            whole, heard = whole + before, heard + before
        begins, ends = draw(st.sampled_from(MARKS))
        thought = draw(
            st.text("ab .,\n", max_size=12)
            | st.sampled_from(["", begins if "channel" not in begins else "", "5 < 6"])
        )
        whole += begins + thought + ends
    last = draw(words)
    whole, heard = whole + last, heard + last
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return pieces, heard


@settings(max_examples=CASES, deadline=None)
@given(answers())
def test_thoughts_are_left_out_wherever_the_answer_is_cut(answer: tuple[list[str], str]) -> None:
    pieces, heard = answer
    assert said(pieces) == heard


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.text("<think>[]| THINK|◁▷abc", max_size=8), max_size=8))  # no end without a beginning
def test_it_does_not_matter_where_an_answer_is_cut(pieces: list[str]) -> None:
    assert said(pieces) == said(["".join(pieces)])


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=8))
def test_text_without_marks_is_passed_on_as_it_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    if not any(mark in text for mark in "<[◁"):
        assert said(pieces) == text
        at_once = ThoughtFilter().feed(text)
        may_be_a_call = "{" in text  # one that is written as text is held back until that is known
        assert at_once == text or "analysis".startswith(text) or may_be_a_call


@pytest.mark.parametrize(("begins", "ends"), MARKS)
def test_a_thought_that_does_not_end_is_all_that_is_left_out(begins: str, ends: str) -> None:
    assert said([f"Well. {begins}The caller wants", " a table."]) == "Well. "


@pytest.mark.parametrize(
    "text",
    [
        "5 < 6, and 7 > 3.",
        "a < b",
        "I <3 you",
        "<break time='1s'/>Hello<emphasis>you</emphasis>",
        "[laughs] well [1]",
        "Use the tag <thin",
        "It ends with <",
        "thinking about it",
    ],
)
def test_what_only_looks_like_a_mark_is_said(text: str) -> None:
    assert said(list(text)) == text


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<|return|>", "<think/>"]
)
def test_special_tokens_are_not_said(token: str) -> None:
    assert said(["Good day.", token]) == "Good day."
    assert said([*"Good day.", *token, "!"]) == "Good day.!"


def test_a_thought_inside_another_and_marks_that_are_mixed_up() -> None:
    assert said(["<thinking>a<reflection>b</reflection>c</thinking>Yes."]) == "Yes."
    assert said(["<think>a</thinking>Yes."]) == "Yes."
    assert said(["<think>I use <think> for it</think>Yes."]) == "Yes."


def test_a_thought_inside_one_of_its_own_name_is_left_out_to_its_second_end() -> None:
    for text in ("<think>a<think>b</think>c</think>Yes.", "Well. <think>a<think>b</think> c </think> Yes."):
        thoughts = ThoughtFilter()
        assert said(list(text), thoughts) == text.replace(text[text.index("<") : text.rindex(">") + 1], "")
        assert not thoughts.stray_end, "nothing of it was said"
    assert said(["<think><think><think>a</think>b</think>c</think>Yes."]) == "Yes."
    assert said(["<think>a<think>b</think>", "Yes. <think>c</think>No."]) == "Yes. No.", "it was quoted"


def test_what_may_be_a_thought_is_kept_back_for_a_while_only() -> None:
    thoughts = ThoughtFilter()
    assert thoughts.feed("<think>a<think>b</think>" + "word " * 190) == ""
    assert thoughts.feed("word " * 20) == "word " * 210


CALL = '{"name": "book", "arguments": {"people": 4}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{CALL}</tool_call>",
        f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>{CALL}</tool_call>",
        '<function=book>{"people": 4}</function>',
        f"<function_calls>{CALL}</function_calls>",
        f"[TOOL_CALLS][{CALL}]",
        f"<|python_tag|>{CALL}",
        f"<｜tool▁calls▁begin｜>{CALL}<｜tool▁calls▁end｜>",
        f"<|tool_calls_section_begin|>{CALL}<|tool_calls_section_end|>",
        CALL,
        '{"name": "book", "parameters": {"people": 4}}',
    ],
)
def test_a_tool_call_that_is_written_as_text_is_not_said(text: str) -> None:
    for pieces in ([text], list(text)):
        thoughts = ThoughtFilter()
        assert said(pieces, thoughts).strip() == ""
        assert thoughts.tool_call
    thoughts = ThoughtFilter()
    assert said(["Let me see. ", text], thoughts).startswith("Let me see. ")


@pytest.mark.parametrize("text", ['{"people": 4}', "{name}, hello.", "{", '{"name": "Anna"}', '["a"]'])
def test_other_braces_are_said(text: str) -> None:
    thoughts = ThoughtFilter()
    assert said(list(text), thoughts) == text
    assert not thoughts.tool_call


def test_a_tool_call_that_is_only_thought_of_is_none() -> None:
    thoughts = ThoughtFilter()
    assert said([f"<think>I write <tool_call>{CALL}</tool_call></think>Done."], thoughts) == "Done."
    assert not thoughts.tool_call


@pytest.mark.parametrize("size", [1, 3, 100])
def test_channels_without_their_tokens_are_known_too(size: int) -> None:
    text = "analysisThey want a table. We assist.assistantfinalFor how many?"
    assert said([text[at : at + size] for at in range(0, len(text), size)]) == "For how many?"
    assert said(list("analysisThey want a table.")) == ""
    for plain in ("analysis of the data", "an", "analysis", "A table", "a"):
        assert said(list(plain)) == plain


def test_the_end_of_a_thought_whose_beginning_the_template_wrote_is_learnt() -> None:
    thoughts = ThoughtFilter()
    thoughts.begin()
    assert thoughts.feed("The caller greets. ") == "The caller greets. "
    assert not thoughts.stray_end
    assert thoughts.feed("</think>Hello.") == "Hello."
    assert thoughts.stray_end
    thoughts.begin()
    assert not thoughts.stray_end
    assert thoughts.feed("They want a table. ") == ""
    assert thoughts.feed("</think>For how many?") == "For how many?"
    assert not thoughts.stray_end
    assert said(["No thought at all."], thoughts) == "No thought at all.", "late, but it is said"
    thoughts.begin()
    assert thoughts.feed("And now at once.") == "And now at once."


def test_an_empty_thought_whose_beginning_is_missing_is_no_fault() -> None:
    thoughts = ThoughtFilter()
    thoughts.begin()
    assert thoughts.feed("\n</think>\n\nHello.").strip() == "Hello."
    assert not thoughts.stray_end
