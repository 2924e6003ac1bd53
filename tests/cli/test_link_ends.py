"""How a call over a caller's link to the gateway ends, and what is told of it. The time is given."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallReport
from piopiy_pipeline.cli.narration import ForPeople, _summary
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.signaling.caller import LegEnded, LegFault, Ringing
from tests.cli.test_gateway_link import LOUD, Call, closed, hung_up, utterance

__all__ = ["closed"]  # a fixture of each test


def test_after_the_last_turn_the_caller_hangs_up_when_nobody_speaks() -> None:
    call = Call([utterance(0.5)], hangup_after_s=5.0)
    call.answer()
    call.bot_says(0.5)
    call.run(2.0)
    call.bot_says(1.0)
    call.run(4.9)
    assert not hung_up(call)
    call.run(0.2)
    assert hung_up(call)
    assert not call.link.over
    call.event(LegEnded(reason=EndReason.CALLER_HANGUP))
    outcome = call.outcome
    assert (outcome.reason, outcome.failure, outcome.turns) == (EndReason.CALLER_HANGUP, None, 1)


def test_a_gateway_that_does_not_confirm_a_hang_up_is_not_waited_for() -> None:
    call = Call([])
    call.answer()
    call.link.hang_up()
    call.collect()
    call.run(2.9)
    assert not call.link.over
    call.run(0.2)
    assert call.link.over


def test_the_bot_hangs_up_and_the_summary_is_told() -> None:
    call = Call([utterance(0.5, lead_s=0, tail_s=0)])
    call.answer()
    call.bot_says(0.5)
    call.run(1.5)
    call.run(0.2, bot=LOUD)
    call.event(LegEnded(reason=EndReason.AGENT_HANGUP, detail="goodbye"))
    outcome = call.outcome
    assert outcome.failure is None
    assert len(outcome.voice_to_voice_ms) == 1
    assert outcome.duration_s == pytest.approx(2.2, abs=0.02)
    (ended,) = call.reports_of("ended")
    assert (ended["reason"], ended["detail"], ended["turns"]) == ("agent_hangup", "goodbye", 1)
    assert ended["median_ms"] == ended["max_ms"] == outcome.voice_to_voice_ms[0]


@pytest.mark.parametrize("reason", [EndReason.NO_AGENT, EndReason.BUSY, EndReason.SETUP_TIMEOUT])
def test_a_call_that_is_not_answered_has_failed(reason: EndReason) -> None:
    call = Call([utterance()])
    call.event(Ringing(call_id="c1"))
    call.event(LegEnded(reason=reason, detail="why"))
    assert call.outcome.failure == f"the call was not answered ({reason.value}: why)"


@pytest.mark.parametrize("reason", ["agent_hangup", "caller_hangup", "transferred"])
def test_a_call_that_was_served_to_its_end_has_not_failed(reason: str) -> None:
    call = Call([utterance()])
    call.answer()
    call.event(LegEnded(reason=EndReason(reason)))
    assert call.outcome.failure is None


@pytest.mark.parametrize("reason", [EndReason.ERROR, EndReason.AGENT_LOST, EndReason.IDLE_TIMEOUT])
def test_a_call_that_ended_for_another_reason_has_failed(reason: EndReason) -> None:
    call = Call([utterance()])
    call.answer()
    call.event(LegEnded(reason=reason))
    failure = call.outcome.failure or ""
    assert failure.partition(";")[0] == f"the call ended with {reason.value}"
    assert ("the record of the call" in failure) == (reason is not EndReason.IDLE_TIMEOUT), (
        "whose cause is no secret"
    )


def test_a_lost_gateway_is_no_failure_of_the_bot_and_a_fault_is_an_error() -> None:
    lost, faulty, strange = Call([]), Call([]), Call([])
    lost.answer()
    lost.link.on_lost("going away")
    faulty.event(LegFault(detail="rate: 7"))
    assert "connection to the gateway was lost (going away)" in (lost.outcome.failure or "")
    assert lost.outcome.reason is EndReason.GATEWAY_LOST
    assert "rate: 7" in (faulty.outcome.failure or "")
    assert (
        _summary(faulty.outcome) == "ended: error (the gateway did not understand: rate: 7) · 0 turns · 0.0 s"
    )
    strange.answer()
    strange.link.on_unreadable("no JSON")
    assert strange.outcome.reason is EndReason.ERROR
    assert "the gateway sent something unknown: no JSON" in (strange.outcome.failure or "")
    assert "the bot" not in _summary(strange.outcome)


def test_no_call_takes_longer_than_its_limit() -> None:
    call = Call([], limit_s=10.0, hangup_after_s=60.0)
    call.answer()
    call.run(9.9)
    assert not hung_up(call)
    call.run(0.2)
    assert hung_up(call)
    call.event(LegEnded(reason=EndReason.CALLER_HANGUP))
    assert "--timeout" in (call.outcome.failure or "")


def test_nothing_happens_after_the_end() -> None:
    call = Call([utterance()])
    call.answer()
    call.event(LegEnded(reason=EndReason.AGENT_HANGUP))
    count = len(call.messages)
    call.link.on_audio(LOUD.tobytes())
    call.link.on_lost("")
    call.link.hang_up()
    call.now += 500
    call.link.tick()
    call.event(LegEnded(reason=EndReason.ERROR))
    assert len(call.messages) == count
    assert len(call.reports_of("ended")) == 1


@pytest.mark.parametrize("text", ["[1, 2] or [red]", "C:\\desk\\", "[/] [bold]now[/bold]", "at 10:30 :tada:"])
def test_people_read_what_was_said_letter_by_letter(text: str) -> None:
    shown = StringIO()
    people = ForPeople(Console(file=shown, highlight=False, soft_wrap=True))
    people._print(CallReport("bot", 1.0, {"text": text, "interrupted": False}), None)
    people.begin(Target("ws://127.0.0.1:7860", text, "key"))
    assert shown.getvalue().splitlines() == [
        f"   1.0   bot  {text}",
        f"calling {text} at ws://127.0.0.1:7860",
    ]
