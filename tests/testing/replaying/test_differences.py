"""What differs between two recordings of a call, and what does not count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.capture.format import EventLine
from piopiy_pipeline.testing.replaying.acts import Act, Anchor
from piopiy_pipeline.testing.replaying.answers import Divergence
from piopiy_pipeline.testing.replaying.differences import Difference, Tolerance, differences_between

ACT = Act("speech", 3.0, 4.0, Anchor("bot_stopped", 1.0))


def call(*events: tuple[float, str, dict[str, Any]]) -> CapturedCall:
    lines = [EventLine(at=at, kind=kind, data=data) for at, kind, data in events]
    made: Any = SimpleNamespace(events=lines, exchanges=[])
    return cast(CapturedCall, made)


def bot(at: float, text: str, *, cut: bool = False) -> tuple[float, str, dict[str, Any]]:
    return at, "bot_turn", {"text": text, "interrupted": cut}


def tool(at: float, **arguments: Any) -> tuple[float, str, dict[str, Any]]:
    return at, "tool", {"name": "book", "arguments": arguments}


def end(reason: str) -> tuple[float, str, dict[str, Any]]:
    return 9.0, "end", {"reason": reason, "detail": "x"}


def answer(at: float) -> list[tuple[float, str, dict[str, Any]]]:
    return [(at, "bot_started", {}), (at + 1, "bot_stopped", {"cut": False})]


def between(before: CapturedCall, after: CapturedCall, **options: Any) -> list[Difference]:
    return differences_between(before, after, acts=[ACT], began=[3.0], **options)


def test_one_reply_that_changed_is_one_difference() -> None:
    before = call(bot(1, "Hello."), bot(2, "It is booked."), bot(3, "Bye."))
    after = call(bot(1, "Hello."), bot(2.5, "Done."), bot(3.5, "Bye."))
    (found,) = between(before, after)
    assert (found.what, found.number, found.recorded, found.now) == ("bot", 2, '"It is booked."', '"Done."')
    assert 'recorded: "It is booked."\n' in str(found)


def test_a_turn_more_is_one_difference_and_not_all_that_follow() -> None:
    before = call(bot(1, "Hello."), bot(3, "Bye."))
    after = call(bot(1, "Hello."), bot(2, "One moment."), bot(3, "Bye."))
    (found,) = between(before, after)
    assert (found.recorded, found.now) == (None, '"One moment."')


def test_an_answer_cut_off_a_word_earlier_is_the_same() -> None:
    before, after = call(bot(1, "We are open from", cut=True)), call(bot(1, "We are open", cut=True))
    assert between(before, after) == []
    assert between(before, call(bot(1, "We are open"))) != [], "this one was not cut off"
    assert between(before, call(bot(1, "We are open from"))) == [], "the cut fell into the last word"


def test_tools_are_compared_with_their_arguments() -> None:
    (found,) = between(call(tool(1, people=4)), call(tool(1, people=5)))
    assert (found.recorded, found.now) == ("book(people=4)", "book(people=5)")
    (gone,) = between(call(tool(1, people=4)), call())
    assert gone.now is None


def test_an_answer_that_comes_later_is_a_difference_and_one_a_little_earlier_is_none() -> None:
    before = call(*answer(5.0))
    assert between(before, call(*answer(5.2))) == []
    assert between(before, call(*answer(4.2))) == []
    (found,) = between(before, call(*answer(6.0)))
    assert (found.what, found.recorded, found.now) == ("answer", "1.00 s after the caller", "2.00 s")
    assert between(before, call(*answer(6.0)), tolerance=Tolerance(later_s=2)) == []


def test_another_end_is_a_difference_unless_the_replay_had_to_stop() -> None:
    before, after = call(end("agent_hangup")), call(end("error"))
    (found,) = between(before, after)
    assert (found.what, found.recorded, found.now) == ("end", "agent_hangup", "error (x)")
    (stop,) = between(before, after, stopped="no answer")
    assert str(stop).endswith("the replay ends here, and the rest of the call is not compared: no answer")


def test_what_a_replay_that_had_to_stop_did_not_reach_is_no_difference() -> None:
    before = call(bot(1, "Hello."), tool(2, people=4), bot(3, "Booked."), bot(4, "Bye."), end("agent_hangup"))
    after = call(bot(1, "Hi."), end("error"))
    assert [each.what for each in between(before, after)].count("bot") == 3
    found = between(before, after, stopped="no answer")
    assert [(each.what, each.now) for each in found] == [("bot", '"Hi."'), ("stop", "no answer")]


def test_the_same_divergence_in_every_request_is_told_once() -> None:
    divergences = [Divergence(float(at), "the model", "messages[0] was 'a', and is 'b'") for at in (1, 2, 3)]
    (found,) = between(call(), call(), divergences=divergences)
    assert found.what == "request"
    assert "and in 2 requests more" in str(found)
