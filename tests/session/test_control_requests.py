"""What the bot asks of the gateway, and how long it waits for an answer."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session.control_requests import (
    ANSWER_S,
    ControlRequests,
    PendingTransfer,
    TransferOutcome,
)
from piopiy_pipeline.signaling.messages import Control, TransferResult


def ask(desk: ControlRequests, to: str = "200", *, warm: bool = True, now: float = 100.0) -> PendingTransfer:
    return desk.transfer(to, warm=warm, summary="", ring_timeout_s=30, now=now)


def answer(wish: PendingTransfer, outcome: str = "busy") -> TransferResult:
    assert wish.request is not None
    return TransferResult.model_validate(
        {"call_id": "c", "request_id": wish.request.request_id, "outcome": outcome, "detail": "why"}
    )


def test_a_request_holds_what_was_asked_and_its_answer_is_the_outcome() -> None:
    desk = ControlRequests("c")
    wish = desk.transfer(" sales ", warm=True, summary="wants a table", ring_timeout_s=12, now=5.0)
    assert wish.request is not None
    assert (wish.request.call_id, wish.request.to, wish.request.summary) == ("c", "sales", "wants a table")
    assert desk.deadline == 5.0 + 12 + ANSWER_S
    assert desk.transferring
    assert desk.told(answer(wish)) == TransferOutcome("sales", "busy", "why")
    assert not desk.transferring
    assert desk.deadline is None


def test_an_answer_that_nobody_waits_for_is_none() -> None:
    desk = ControlRequests("c")
    first = ask(desk)
    late = answer(first)
    assert desk.told(late) is not None
    assert desk.told(late) is None
    ask(desk)
    assert desk.told(late) is None, "that of the transfer before"
    assert desk.transferring


def test_one_at_a_time() -> None:
    desk = ControlRequests("c")
    ask(desk)
    second = ask(desk, "300")
    assert second.request is None
    assert second.refused == TransferOutcome("300", "refused", "another transfer is under way, to 200")


def test_a_gateway_that_says_nothing_is_not_waited_for_any_longer() -> None:
    desk = ControlRequests("c")
    ask(desk)
    assert desk.tick(100 + 30 + ANSWER_S - 0.01) is None
    outcome = desk.tick(100 + 30 + ANSWER_S)
    assert outcome is not None
    assert (outcome.outcome, desk.transferring, desk.deadline) == ("failed", False, None)
    assert "40 s" in outcome.detail
    assert desk.tick(1000.0) is None


def test_the_end_of_the_call_is_the_end_of_its_transfer() -> None:
    desk = ControlRequests("c")
    assert desk.over(CallEnd(EndReason.CALLER_HANGUP)) is None
    ask(desk)
    outcome = desk.over(CallEnd(EndReason.CALLER_HANGUP))
    assert outcome == TransferOutcome("200", "failed", "the call ended before: caller_hangup")


def test_a_call_that_ends_as_transferred_was_bridged_though_the_answer_is_lost() -> None:
    desk = ControlRequests("c")
    ask(desk)
    outcome = desk.over(CallEnd(EndReason.TRANSFERRED, "transferred to 200"))
    assert outcome is not None
    assert outcome.bridged


@pytest.mark.parametrize(
    "what",
    [
        {"to": " "},
        {"to": "x" * 300},
        {"summary": "x" * 2001},
        {"ring_timeout_s": 0},
        {"ring_timeout_s": 301},
        {"ring_timeout_s": float("nan")},
    ],
)
def test_what_the_gateway_would_take_for_a_fault_is_not_sent(what: dict[str, object]) -> None:
    desk = ControlRequests("c")
    asked: dict[str, object] = {"to": "200", "warm": True, "summary": "", "ring_timeout_s": 30, **what}
    with pytest.raises(ValueError, match=r"transfer|ring_timeout_s"):
        desk.transfer(now=0.0, **asked)  # type: ignore[arg-type]
    assert not desk.transferring


def test_the_caller_is_on_hold_when_asked_for_and_in_a_blind_transfer() -> None:
    desk = ControlRequests("c")
    assert desk.switch("hold", True) == Control(call_id="c", what="hold", on=True)
    assert desk.on_hold
    desk.switch("mute", True)
    desk.switch("hold", False)
    assert not desk.on_hold
    ask(desk)
    assert not desk.on_hold, "while it rings, they talk to the bot"
    desk.over(CallEnd(EndReason.SHUTDOWN))
    desk.told(answer(ask(desk, warm=False)))
    assert not desk.on_hold
    ask(desk, warm=False)
    assert desk.on_hold


def test_the_gateways_word_on_a_hold_counts_whoever_asked_for_it() -> None:
    desk = ControlRequests("c")
    desk.switched(Control(call_id="c", what="hold", on=True))
    assert desk.on_hold
    desk.switched(Control(call_id="c", what="mute", on=False))
    assert desk.on_hold
    desk.switched(Control(call_id="c", what="hold", on=False))
    assert not desk.on_hold
