"""What the bot asks of the gateway, and how long it waits for an answer. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session.call_control import ANSWER_S, CallControl, TransferOutcome
from piopiy_pipeline.signaling.messages import AgentMessage, Control, Transfer, TransferResult
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


class Gateway:
    """Keeps what one call asks, and what it says of its transfers."""

    def __init__(self) -> None:
        self.asked: list[AgentMessage] = []
        self.outcomes: list[TransferOutcome] = []
        self.control = CallControl("c", post=self.asked.append, on_transfer=self.outcomes.append)

    def transfer(self, to: str = "200", *, warm: bool = True) -> asyncio.Future[TransferOutcome]:
        return self.control.transfer(to, warm=warm, summary="", ring_timeout_s=30)

    def answer(self, request: AgentMessage, outcome: str = "busy") -> TransferOutcome | None:
        assert isinstance(request, Transfer)
        return self.control.on_result(
            TransferResult.model_validate(
                {"call_id": "c", "request_id": request.request_id, "outcome": outcome, "detail": "why"}
            )
        )


def run(scenario: Callable[[Gateway], Awaitable[None]]) -> None:
    async def with_gateway() -> None:
        await scenario(Gateway())

    run_virtual(with_gateway, seed=0, limit_s=120)


def test_a_request_holds_what_was_asked_and_its_answer_is_the_outcome() -> None:
    async def scenario(gateway: Gateway) -> None:
        waiting = gateway.control.transfer(" sales ", warm=True, summary="wants a table", ring_timeout_s=12)
        (request,) = gateway.asked
        assert isinstance(request, Transfer)
        assert (request.call_id, request.to, request.summary) == ("c", "sales", "wants a table")
        assert gateway.control.transferring
        assert gateway.answer(request) is None
        assert await waiting == TransferOutcome("sales", "busy", "why")
        assert gateway.outcomes == [await waiting]
        assert not gateway.control.transferring

    run(scenario)


def test_an_answer_that_nobody_waits_for_is_that_of_the_instance_before() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.transfer()
        first = gateway.asked[0]
        assert gateway.answer(first) is None
        assert gateway.answer(first) == TransferOutcome("", "busy", "why")
        gateway.transfer()
        assert gateway.answer(first) is not None, "that of the transfer before"
        assert gateway.control.transferring
        assert len(gateway.outcomes) == 1

    run(scenario)


def test_a_late_answer_to_the_instance_before_is_not_taken_for_that_of_this_ones_transfer() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.transfer("100")
        after_the_loss = Gateway()
        after_the_loss.transfer("200")
        assert after_the_loss.answer(gateway.asked[0]) == TransferOutcome("", "busy", "why")
        assert after_the_loss.control.transferring
        assert after_the_loss.answer(after_the_loss.asked[0]) is None
        assert after_the_loss.outcomes == [TransferOutcome("200", "busy", "why")]

    run(scenario)


def test_the_name_of_a_request_has_no_dash() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.transfer()
        assert isinstance(request := gateway.asked[0], Transfer)
        assert "-" not in request.request_id, "Piopiy's REST API joins the call's id and this by one"

    run(scenario)


def test_one_at_a_time() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.transfer()
        refused = await gateway.transfer("300")
        assert refused == TransferOutcome("300", "refused", "another transfer is under way, to 200")
        assert len(gateway.asked) == 1
        assert gateway.control.transferring

    run(scenario)


def test_a_gateway_that_says_nothing_is_not_waited_for_any_longer() -> None:
    async def scenario(gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcome = await gateway.transfer()
        assert loop.time() - began == pytest.approx(30 + ANSWER_S)
        assert (outcome.outcome, gateway.control.transferring) == ("failed", False)
        assert "40 s" in outcome.detail

    run(scenario)


def test_the_end_of_the_call_is_the_end_of_its_transfer() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.control.on_end(CallEnd(EndReason.CALLER_HANGUP))
        assert gateway.outcomes == []
        waiting = gateway.transfer()
        gateway.control.on_end(CallEnd(EndReason.CALLER_HANGUP))
        assert await waiting == TransferOutcome("200", "failed", "the call ended before: caller_hangup")

    run(scenario)


def test_a_call_that_ends_as_transferred_was_bridged_though_the_answer_is_lost() -> None:
    async def scenario(gateway: Gateway) -> None:
        waiting = gateway.transfer()
        gateway.control.on_end(CallEnd(EndReason.TRANSFERRED, "transferred to 200"))
        assert (await waiting).bridged

    run(scenario)


def test_until_no_transfer_is_under_way_can_be_waited_for() -> None:
    async def scenario(gateway: Gateway) -> None:
        await gateway.control.wait_for_transfer()
        gateway.transfer()
        asyncio.get_running_loop().call_later(5, gateway.answer, gateway.asked[0])
        began = asyncio.get_running_loop().time()
        await gateway.control.wait_for_transfer()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)

    run(scenario)


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
    async def scenario(gateway: Gateway) -> None:
        asked: dict[str, object] = {"to": "200", "warm": True, "summary": "", "ring_timeout_s": 30, **what}
        with pytest.raises(ValueError, match=r"transfer|ring_timeout_s"):
            gateway.control.transfer(**asked)  # type: ignore[arg-type]
        assert not gateway.control.transferring
        assert gateway.asked == []

    run(scenario)


def test_the_caller_is_on_hold_when_asked_for_and_in_a_blind_transfer() -> None:
    async def scenario(gateway: Gateway) -> None:
        control = gateway.control
        control.switch("hold", True)
        assert gateway.asked == [Control(call_id="c", what="hold", on=True)]
        assert control.on_hold
        control.switch("mute", True)
        control.switch("hold", False)
        assert not control.on_hold
        gateway.transfer()
        assert not control.on_hold, "while it rings, they talk to the bot"
        gateway.answer(gateway.asked[-1])
        gateway.transfer(warm=False)
        assert control.on_hold
        gateway.answer(gateway.asked[-1])
        assert not control.on_hold

    run(scenario)


def test_the_gateways_word_on_a_hold_counts_whoever_asked_for_it() -> None:
    async def scenario(gateway: Gateway) -> None:
        control = gateway.control
        control.on_switched(Control(call_id="c", what="hold", on=True))
        assert control.on_hold
        control.on_switched(Control(call_id="c", what="mute", on=False))
        assert control.on_hold
        control.on_switched(Control(call_id="c", what="hold", on=False))
        assert not control.on_hold

    run(scenario)
