"""What an instance leaves to the next of its tools, and what the next one makes of it."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators import async_tool_messages

from piopiy_pipeline.session.resumable_state import ResumableState
from piopiy_pipeline.session.resumed_conversation import CUT_SHORT, conversation_of, tool_calls_with_results
from piopiy_pipeline.session.tool_journal import MAX_RUNS, InsteadOfRun, ToolJournal, ToolRun

FOUR = {"people": 4}
USER = {"role": "user", "content": "a table for four"}


def begun(journal: ToolJournal, call: str = "a", *, idempotent: bool = False, **arguments: Any) -> ToolRun:
    run = journal.begin(call, "book", arguments or FOUR, idempotent=idempotent)
    assert isinstance(run, ToolRun)
    return run


def refused(journal: ToolJournal, call: str = "b", **arguments: Any) -> Any:
    run = journal.begin(call, "book", arguments or FOUR, idempotent=False)
    assert isinstance(run, InsteadOfRun)
    return run.result


def lost(journal: ToolJournal) -> ToolJournal:
    """The journal of the next instance."""
    return ToolJournal("call", [ToolRun.model_validate(run.to_json()) for run in journal.runs], journal.begun)


def test_each_run_has_a_key_of_its_own_and_the_next_instance_goes_on_counting() -> None:
    journal = ToolJournal("call")
    assert [begun(journal, one).key for one in "ab"] == ["call.1", "call.2"]
    for one in "ab":
        journal.end(one, {"ok": True})
    journal.in_conversation({"a", "b"})
    assert journal.runs == []
    assert begun(lost(journal), "c").key == "call.3"


def test_a_run_that_was_lost_is_refused_until_the_bot_has_spoken_and_the_caller_answered() -> None:
    journal = ToolJournal("call")
    begun(journal)
    journal = lost(journal)
    assert "not known" in refused(journal)["error"]
    journal.user_turn()  # "hello, are you there?"
    assert "not known" in refused(journal)["error"]
    journal.bot_turn()
    assert "not known" in refused(journal, people=4, day="Friday")["error"], "in other words, too"
    journal.bot_turn()
    journal.user_turn()
    assert begun(journal, "c").key == "call.2"


def test_another_tool_is_not_refused() -> None:
    journal = ToolJournal("call")
    begun(journal)
    assert isinstance(lost(journal).begin("b", "open_hours", {}, idempotent=False), ToolRun)


def test_what_is_unknown_is_so_after_a_second_loss() -> None:
    journal = ToolJournal("call")
    begun(journal)
    assert "not known" in refused(lost(lost(journal)))["error"]


def test_a_run_that_had_returned_is_not_run_again_for_the_same() -> None:
    journal = ToolJournal("call")
    begun(journal)
    journal.end("a", {"booked": 17})
    journal = lost(journal)
    assert refused(journal) == {"booked": 17}
    assert begun(journal, "b", people=2).key == "call.2"
    journal.bot_turn()
    journal.user_turn()
    assert begun(journal, "c").key == "call.3", "the caller's wish"


def test_an_idempotent_run_is_repeated_with_its_key() -> None:
    journal = ToolJournal("call")
    key = begun(journal, idempotent=True).key
    journal = lost(journal)
    [again] = journal.repeated
    assert again.key == key
    assert begun(journal, idempotent=True).key == key
    journal.end("a", {"booked": 1})
    assert journal.repeated == []


def test_a_result_counts_once_and_the_journal_is_bounded() -> None:
    journal = ToolJournal("call")
    for number in range(MAX_RUNS + 10):
        begun(journal, str(number))
        assert journal.end(str(number), number)
        assert not journal.end(str(number), "late")
    assert len(journal.runs) == MAX_RUNS
    assert journal.runs[-1].result == MAX_RUNS + 9


# ------------------------------------------------------------------ the conversation


def resumed(*messages: dict[str, Any], tools: list[ToolRun], heard: str = "") -> list[dict[str, Any]]:
    return conversation_of(ResumableState(messages=list(messages), state={}, tools=tools, heard=heard))


def run(state: Any, *, idempotent: bool = False, result: Any = None) -> ToolRun:
    return ToolRun(
        key="call.1",
        tool_call_id="a",
        name="book",
        arguments=FOUR,
        idempotent=idempotent,
        state=state,
        result=result,
    )


def test_a_run_that_the_messages_lack_is_put_behind_them() -> None:
    messages = resumed(USER, tools=[run("returned", result={"booked": 17})])
    assert [one["role"] for one in messages] == ["user", "assistant", "tool"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"people": 4}'}
    assert messages[2] == {"role": "tool", "content": '{"booked": 17}', "tool_call_id": "a"}


def test_a_run_in_progress_is_unknown() -> None:
    for waiting in ("IN_PROGRESS", async_tool_messages.build_started_message("a")["content"]):
        call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "book"}}]}
        in_progress = {"role": "tool", "content": waiting, "tool_call_id": "a"}
        for tools in ([run("running")], []):  # with a journal, and of a version without one
            messages = resumed(USER, call, in_progress, tools=tools)
            assert [one["role"] for one in messages] == ["user", "assistant", "tool"]
            assert '"unknown"' in messages[-1]["content"]
            assert "book" in messages[-1]["content"]


def test_a_result_that_is_in_the_messages_stays() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "book"}}]}
    result = {"role": "tool", "content": '{"booked": 17}', "tool_call_id": "a"}
    assert resumed(USER, call, result, tools=[run("returned", result=[])]) == [USER, call, result]
    started: Any = async_tool_messages.build_started_message("a")
    final: Any = async_tool_messages.build_final_result_message("a", "17")
    assert resumed(call, started, USER, final, tools=[]) == [call, started, USER, final]
    assert tool_calls_with_results([call, started]) == set()


def test_a_run_that_is_repeated_is_left_out() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "book"}}]}
    started: Any = async_tool_messages.build_started_message("a")
    assert resumed(USER, call, started, tools=[run("running", idempotent=True)]) == [USER]


def test_what_was_heard_of_the_bots_turn_comes_last() -> None:
    messages = resumed(USER, tools=[run("returned", result=1)], heard="Your table is")
    assert messages[-2:] == [
        {"role": "assistant", "content": "Your table is"},
        {"role": "developer", "content": CUT_SHORT},
    ]
