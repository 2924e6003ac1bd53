"""Questions to a call, and what they say when the answer is no."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing.agent_loss import AgentLoss
from piopiy_pipeline.testing.report import event_log, simulated_call
from piopiy_pipeline.testing.report.call_events import KINDS
from piopiy_pipeline.testing.report.simulated_call import Calls, Event, SimulatedCall
from tests.support.simulated import booking_call


def test_what_was_said_is_found_whatever_its_case_and_spacing() -> None:
    call = booking_call()
    call.assert_said("your TABLE  is booked")
    call.assert_said(re.compile("table is b.oked"), turn=3)
    call.assert_not_said("goodbye")
    call.assert_understood("four people")
    for wrong in (
        lambda: call.assert_said("booked", turn=1),
        lambda: call.assert_said("no such thing"),
        lambda: call.assert_not_said("booked"),
        lambda: call.assert_understood("five people"),
    ):
        with pytest.raises(AssertionError, match=r"(?s)bot.*ended with agent_hangup"):
            wrong()


def test_a_tool_is_found_by_some_of_its_arguments() -> None:
    call = booking_call()
    assert call.assert_tool("book_table", people=4).result == {"ok": True}
    call.assert_no_tool("hang_up")
    with pytest.raises(
        AssertionError, match=r"never used book_table\(people=5\). It used: book_table\(people=4"
    ):
        call.assert_tool("book_table", people=5)
    with pytest.raises(AssertionError, match="used book_table"):
        call.assert_no_tool()


def test_the_end_of_the_call_and_its_errors() -> None:
    call = booking_call()
    call.assert_ended("agent_hangup")
    call.assert_no_error()
    with pytest.raises(AssertionError, match="not caller_hangup"):
        call.assert_ended("caller_hangup")
    with pytest.raises(ValueError, match=r"no call ends with .hung_up., but with .*agent_hangup"):
        call.assert_ended("hung_up")
    call.events.append(Event(1.0, "error", {"stage": "llm", "message": "429"}))
    with pytest.raises(AssertionError, match="1 error, the first of llm: 429"):
        call.assert_no_error()


def test_a_gap_is_found_if_it_is_longer_than_allowed() -> None:
    call = booking_call()
    call.assert_no_gap()
    call.events.append(Event(1.0, "gap", {"seconds": 0.08}))
    call.assert_no_gap(longest_s=0.1)
    with pytest.raises(AssertionError, match=r"1 gap, the worst of 80 ms at 1\.00 s"):
        call.assert_no_gap()


def test_a_latency_budget_is_an_assertion() -> None:
    call = booking_call(slower=0.5)
    call.assert_latency(below=3)
    call.assert_latency(below=0.3, part="silence")
    with pytest.raises(AssertionError, match=r"voice_to_voice was 1.\d+ s in turn 1, not below 0.5 s"):
        call.assert_latency(below=0.5)


def without(*kinds: str) -> SimulatedCall:
    """Return a call of which neither turns nor these events are left."""
    call = booking_call()
    return replace(call, turns=[], events=[event for event in call.events if event.kind not in kinds])


def test_what_could_not_be_there_is_no_proof_that_it_was_not() -> None:
    silent, unanswered = without("bot_audio"), without("answered")
    for vacuous, why in (
        (lambda: silent.assert_not_said("goodbye"), "the bot was never heard"),
        (lambda: silent.assert_no_gap(), "the bot was never heard"),
        (lambda: silent.assert_latency(below=9), "no turn of the caller was answered with a voice_to_voice"),
        (lambda: silent.assert_latency(below=9, part="llm"), "no turn of the caller was answered with a llm"),
        (lambda: unanswered.assert_no_tool(), "the call was not answered, so the bot could not use any tool"),
        (
            lambda: booking_call().assert_said("booked", turn=9),
            "there is no turn 9; the turns are: 0, 1, 2, 3",
        ),
        (lambda: booking_call().assert_interrupted(9), "there is no turn 9"),
    ):
        with pytest.raises(AssertionError, match=why):
            vacuous()


def test_an_assertion_about_nothing_is_a_mistake() -> None:
    call = booking_call()
    with pytest.raises(ValueError, match="wanted is empty"):
        call.assert_said(" ")
    with pytest.raises(TypeError, match="wanted must be a text or a pattern, not None"):
        call.assert_understood(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below must be more than 0 seconds, not nan"):
        call.assert_latency(below=float("nan"))
    with pytest.raises(ValueError, match="there is no latency 'network'"):
        without().assert_latency(below=1, part="network")


def test_why_a_call_has_failed_stands_first_and_once() -> None:
    why = "the callback failed: KeyError at my_bot.py:10: 'four'"
    failed = replace(
        booking_call(),
        end_reason=EndReason.ERROR,
        end_detail=why,
        events=[Event(0.0, "end", {"reason": "error", "detail": why})],
    )
    with pytest.raises(AssertionError) as caught:
        failed.assert_said("no such thing")
    first, _, timeline = str(caught.value).partition("\n\n")
    assert first == f"{why}; and the bot never said 'no such thing'"
    assert timeline.startswith("booking: ")
    assert timeline.count(why) == 1
    with pytest.raises(AssertionError, match=r"^the call ended with error"):
        failed.assert_ended("agent_hangup")


def test_the_timeline_leaves_out_what_is_no_step_of_the_conversation() -> None:
    events = [
        Event(0.1, "llm_token"),
        Event(0.2, "usage", {"service": "llm"}),
        Event(0.3, "typed", {"text": "hi"}),
    ]
    lines = replace(booking_call(), events=events, turns=[]).timeline().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines[1:]] == ["caller  types 'hi'"]


def test_percentiles_are_over_all_answers_of_all_calls() -> None:
    calls = Calls([booking_call(), booking_call(slower=0.1)])
    assert len(calls.latencies()) == 6
    assert calls.percentile("voice_to_voice", 0) == pytest.approx(0.62)
    assert calls.percentile("llm", 100) == pytest.approx(0.54)
    with pytest.raises(ValueError, match="there is no latency 'network'"):
        calls.percentile("network", 95)
    with pytest.raises(ValueError, match="no turn of 0 calls"):
        Calls().percentile("llm", 95)


def test_the_hash_is_of_the_events_to_the_microsecond() -> None:
    call, same, later = booking_call(), booking_call(name="another name"), booking_call()
    assert call.event_hash() == same.event_hash()
    later.events[0] = replace(later.events[0], at=0.000_002)
    assert later.event_hash() != call.event_hash()


def test_the_timeline_shows_who_did_what_and_where_the_time_went() -> None:
    text = booking_call().timeline()
    assert "caller  speaks '01-people.wav'" in text
    assert "bot  uses book_table(people=4, day='Friday', time='19:00')" in text
    assert (
        "turn 1: answered after 620 ms = silence 220 + stt 30 + turn 20 + llm 240 + tts 90 + playout 20"
        in text
    )


def test_every_kind_of_event_is_listed_and_one_that_never_comes_is_refused() -> None:
    package = Path(simulated_call.__file__).parents[2]
    texts = [path.read_text() for path in (package / "testing").rglob("*.py")]
    texts.append((package / "session" / "live_events.py").read_text())
    written = re.compile(r"""(?:log\.add|self\.add|_on_mark)\(\s*"(\w+)\"""")
    assert {kind for text in texts for kind in written.findall(text)} == KINDS
    with pytest.raises(
        ValueError, match=r"of: no event is 'interuption'; there is agent_lost, .*interruption"
    ):
        booking_call().of("interuption")
    with pytest.raises(ValueError, match="AgentLoss: event: no event is 'tols'"):
        AgentLoss("tols")


def test_a_call_that_goes_round_in_circles_says_that_its_events_are_cut(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 3)
    log = event_log.EventLog(lambda: 1.0)
    for _ in range(5):
        log.add("hold")
    log.add("end", reason="caller_hangup", detail="")
    assert [event.kind for event in log.events()] == ["hold", "hold", "hold", "end"]
    [line] = log_lines
    assert "more than 3 events" in line
