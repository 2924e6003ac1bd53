"""Which reply a request gets: the next one, the rest of one, or the same again."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.testing.scripted.reply_script import Reply, ReplyScript, Tool


class Conversation:
    """A context that grows, and a script that answers it."""

    def __init__(self, *turns: Reply, otherwise: Reply | None = None) -> None:
        self.messages: list[Any] = [{"role": "system", "content": "Be brief."}]
        self.script = ReplyScript(turns, otherwise)

    def ask(self, *, fails: bool = False) -> tuple[str, list[str]]:
        """One request. Returns the words, and the tools that are used."""
        response = self.script.respond(LLMContext(self.messages))
        if not fails:
            self.script.completed(response)
        return response.text, [tool.name for tool in response.tools]

    def user(self, text: str = "Yes.") -> tuple[str, list[str]]:
        self.messages.append({"role": "user", "content": text})
        return self.ask()

    def tool_returns(self) -> tuple[str, list[str]]:
        self.messages.append({"role": "assistant", "tool_calls": []})
        self.messages.append({"role": "tool", "content": "{}", "tool_call_id": "1"})
        return self.ask()


def test_each_question_takes_the_next_reply() -> None:
    talk = Conversation("One.", "Two.")
    assert [talk.user(), talk.user()] == [("One.", []), ("Two.", [])]


def test_what_stands_behind_a_tool_is_said_when_it_has_returned() -> None:
    talk = Conversation(("One moment.", Tool("book"), "Booked."), "Goodbye.")
    assert talk.user() == ("One moment.", ["book"])
    assert talk.tool_returns() == ("Booked.", [])
    assert talk.user() == ("Goodbye.", [])


def test_tools_side_by_side_are_used_at_once_and_others_one_after_the_other() -> None:
    talk = Conversation((Tool("a"), Tool("b"), "So far.", Tool("c"), "Done."))
    assert talk.user() == ("", ["a", "b"])
    assert talk.tool_returns() == ("So far.", ["c"])
    assert talk.tool_returns() == ("Done.", [])


def test_a_tool_with_nothing_behind_it_is_followed_by_silence() -> None:
    talk = Conversation(Tool("hang_up"))
    assert talk.user() == ("", ["hang_up"])
    assert talk.tool_returns() == ("", [])


def test_the_same_question_once_more_gets_the_same_reply() -> None:
    talk = Conversation((Tool("book"), "Booked."), "Goodbye.")
    talk.messages.append({"role": "user", "content": "Book it."})
    assert talk.ask(fails=True) == ("", ["book"])
    assert talk.ask() == ("", ["book"])
    assert talk.tool_returns() == ("Booked.", [])
    assert talk.ask() == ("Booked.", [])  # it failed to be spoken, and was asked for again
    assert talk.user() == ("Goodbye.", [])


def test_a_caller_who_cuts_in_while_a_tool_runs_gets_the_next_reply() -> None:
    talk = Conversation((Tool("search"), "Found."), "As you like.")
    talk.user()
    assert talk.user("Never mind.") == ("As you like.", [])


@pytest.mark.parametrize("summary", [[], [{"role": "user", "content": "They ask about a bill."}]])
def test_a_conversation_that_a_tool_begins_anew_goes_on_behind_the_tool(summary: list[Any]) -> None:
    talk = Conversation((Tool("hand_off_call"), "Which bill is it?"), "Nine dollars.")
    assert talk.user() == ("", ["hand_off_call"])
    talk.messages = [{"role": "system", "content": "You are billing."}, *summary]
    assert talk.ask() == ("Which bill is it?", [])
    assert talk.user("It is number 17.") == ("Nine dollars.", [])


def test_a_bot_that_is_nudged_by_its_author_takes_the_next_reply() -> None:
    talk = Conversation("Hello.", "Are you still there?")
    talk.ask()
    talk.messages.append({"role": "developer", "content": "The caller is silent."})
    assert talk.ask() == ("Are you still there?", [])


def test_a_function_sees_the_conversation_at_each_request() -> None:
    def answer(context: LLMContext) -> Reply:
        last: Any = context.get_messages()[-1]
        return "Booked." if last["role"] == "tool" else Tool("book", day=last["content"])

    talk = Conversation(otherwise=answer)
    assert talk.user("Friday") == ("", ["book"])
    assert talk.tool_returns() == ("Booked.", [])
    assert talk.user("Sunday") == ("", ["book"])


def test_a_question_too_many_says_what_was_asked() -> None:
    talk = Conversation("Only this.")
    talk.user()
    with pytest.raises(RuntimeError, match=r"1 turns, and it was asked once more: 'And now\?'"):
        talk.user("And now?")


def test_what_is_no_reply_is_named() -> None:
    with pytest.raises(TypeError, match="a reply is text"):
        ReplyScript.check([42])  # type: ignore[list-item]  # the mistake that is tested


def test_a_summary_for_as_many_turns_as_have_come_since_hides_no_question() -> None:
    talk = Conversation("One.", "Two.", "Three.")
    assert [talk.user("first")[0], talk.user("second")[0]] == ["One.", "Two."]
    talk.messages = [talk.messages[0], {"role": "user", "content": "Conversation summary: two things."}]
    assert talk.user("third") == ("Three.", [])
    assert talk.ask() == ("Three.", []), "the same question once more"
