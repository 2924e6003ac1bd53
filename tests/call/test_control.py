"""What a bot has done to its call: transfer, hold, mute, recording, keys. In virtual time, and once over sockets."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.call import CallEnd, EndReason, TransferOutcomeName
from piopiy_pipeline.session import Call, TransferOutcome
from piopiy_pipeline.signaling.messages import Transfer, TransferResult
from piopiy_pipeline.testing import Caller, simulate
from tests.support.agents import logged
from tests.support.bots import voice
from tests.support.call_state import state_of
from tests.support.calls import CallLog, eventually, house, tone
from tests.support.switchboard import NotedDialler
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")

HUMAN = "+4930123456"


class Handover:
    """A bot that hands its caller over when they have said something."""

    def __init__(self, *, warm: bool = True, replies: Any = None, **options: Any) -> None:
        self.options = options
        self.warm = warm
        self.replies = replies or ["I see.", "Go on.", "All right."]
        self.outcomes: list[TransferOutcome] = []
        self.told: list[TransferOutcome] = []
        self.end: CallEnd | None = None

    async def __call__(self, call: Call) -> None:
        agent = await voice(
            call, greeting="Hello.", texts=["help", "yes", "yes"], replies=self.replies, **self.options
        )

        async def hand_over(_: object) -> None:
            if len(call.transcript) < 3:
                self.outcomes.append(
                    await agent.transfer(HUMAN, warm=self.warm, summary="wants help", ring_timeout_s=20)
                )

        agent.on("user_turn", hand_over)
        agent.on("transfer", self.told.append)
        self.end = await agent.start()


def test_the_caller_talks_to_the_bot_while_it_rings_and_is_then_somebody_elses() -> None:
    bot = Handover()
    call = simulate(bot, Caller().say(PEOPLE).say(YES).pause(60), transfers={HUMAN: ("bridged", 12)})
    assert texts(call, "user") == ["help", "yes"]
    assert texts(call, "bot") == ["Hello.", "I see.", "Go on."]
    call.assert_transferred(to=HUMAN)
    call.assert_ended(EndReason.TRANSFERRED)
    assert call.of("transfer")[0].data == {"to": HUMAN, "warm": True, "summary": "wants help"}
    assert bot.outcomes == bot.told == [TransferOutcome(HUMAN, "bridged", "")]
    assert bot.outcomes[0].bridged
    assert bot.end is not None
    assert bot.end.reason is EndReason.TRANSFERRED


@pytest.mark.parametrize("outcome", ["no_answer", "busy", "declined", "unreachable", "refused", "failed"])
def test_when_it_comes_to_nothing_the_bot_knows_why_and_the_caller_is_still_there(outcome: str) -> None:
    bot = Handover()
    call = simulate(bot, Caller().say(PEOPLE).pause(25).say(YES), transfers=lambda request: outcome)  # type: ignore[arg-type]
    assert [told.outcome for told in bot.outcomes] == [outcome]
    assert bot.outcomes[0].detail
    assert not bot.outcomes[0].bridged
    call.assert_transferred(to=HUMAN, outcome=outcome)
    assert texts(call, "user") == ["help", "yes"]
    call.assert_ended(EndReason.CALLER_HANGUP)


def test_nobody_is_at_a_number_of_which_the_test_says_nothing() -> None:
    bot = Handover()
    call = simulate(bot, Caller().say(PEOPLE).pause(3))
    assert bot.outcomes[0].outcome == "unreachable"
    assert "transfers=" in bot.outcomes[0].detail
    with pytest.raises(AssertionError, match=r"was not handed to anybody.*unreachable"):
        call.assert_transferred()


def test_a_mistake_of_the_test_is_the_tests_to_see() -> None:
    with pytest.raises(ValueError, match="no outcome 'answered', only bridged"):
        simulate(Handover(), Caller(), transfers={HUMAN: "answered"})  # type: ignore[dict-item]

    def asserts(request: Transfer) -> TransferOutcomeName:
        assert request.summary == "something else"
        return "busy"

    with pytest.raises(AssertionError, match="something else"):
        simulate(Handover(), Caller().say(PEOPLE).pause(5), transfers=asserts)


def test_a_blind_transfer_waits_for_what_the_bot_says_and_then_the_caller_hears_no_bot() -> None:
    bot = Handover(warm=False, replies=["I will put you through."])
    call = simulate(bot, Caller().say(PEOPLE).pause(60), transfers={HUMAN: ("bridged", 8)})
    call.assert_ended(EndReason.TRANSFERRED)
    assert texts(call, "bot")[-1] == "I will put you through."
    assert call.of("bot_stopped")[-1].at <= call.of("transfer")[0].at


def test_back_from_a_blind_transfer_the_bot_hears_and_is_heard() -> None:
    bot = Handover(warm=False)
    call = simulate(bot, Caller().say(PEOPLE).pause(15).say(YES), transfers={HUMAN: ("busy", 6)})
    assert texts(call, "user") == ["help", "yes"]
    assert texts(call, "bot") == ["Hello.", "I see.", "Go on."]
    call.assert_no_gap()


@pytest.mark.parametrize("warm", [True, False])
def test_somebody_who_is_waited_for_is_no_idle_call(warm: bool) -> None:
    bot = Handover(warm=warm, idle_timeout_secs=3)
    call = simulate(bot, Caller().say(PEOPLE).pause(60), transfers={HUMAN: "no_answer"})
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert call.duration_s - call.of("transfer_result")[0].at == pytest.approx(3, abs=1)


def test_a_second_transfer_meanwhile_is_refused_and_one_afterwards_is_not() -> None:
    outcomes: list[TransferOutcome] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")

        async def hand_over(_: object) -> None:
            outcomes.append(await agent.transfer("100", ring_timeout_s=5))
            outcomes.append(await agent.transfer("300"))

        async def meanwhile(_: object) -> None:
            assert call.transferring
            outcomes.append(await agent.transfer("200"))
            assert call.transferring

        agent.on("answered", hand_over)
        agent.on("bot_turn", meanwhile)
        await agent.start()

    call = simulate(
        bot, Caller().pause(30), transfers={"100": "no_answer", "200": "bridged", "300": "bridged"}
    )
    assert [(each.to, each.outcome) for each in outcomes] == [
        ("200", "refused"),
        ("100", "no_answer"),
        ("300", "bridged"),
    ]
    assert "another transfer is under way" in outcomes[0].detail
    assert [event.data["to"] for event in call.of("transfer")] == ["100", "300"]


@pytest.mark.parametrize(("outcome", "end"), [("bridged", "transferred"), ("busy", "error")])
def test_a_bot_that_fails_leaves_its_caller_to_somebody_who_is_being_called(outcome: str, end: str) -> None:
    bot = Handover(replies=3 * [RuntimeError("429")])  # nobody hears of the one ahead
    call = simulate(bot, Caller().say(PEOPLE).pause(60), transfers={HUMAN: (outcome, 18)})  # type: ignore[dict-item]
    assert len(call.of("error")) == 2
    call.assert_ended(end)
    assert call.duration_s >= call.of("transfer_result")[0].at


def test_a_transfer_is_over_with_the_call() -> None:
    bot = Handover()
    simulate(bot, Caller().say(PEOPLE).pause(2), transfers={HUMAN: "no_answer"})
    assert bot.outcomes == [TransferOutcome(HUMAN, "failed", "the call ended before: the caller hung up")]
    assert bot.told == bot.outcomes


def test_what_the_gateway_would_not_understand_is_said_at_once() -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        for early in (agent.hold, agent.mute, agent.start_recording, agent.stop_recording):
            with pytest.raises(RuntimeError, match="not answered yet"):
                early()
        with pytest.raises(RuntimeError, match="not answered yet"):
            await agent.transfer("100")

        async def wrong(_: object) -> None:
            for to, options in ((" ", {}), ("1", {"ring_timeout_s": 0}), ("1", {"summary": "x" * 3000})):
                with pytest.raises(ValueError, match="transfer") as failure:
                    await agent.transfer(to, **options)
                said.append(str(failure.value))
            for keys in ("", "12x", "A"):
                with pytest.raises(ValueError, match="send_dtmf") as failure:
                    await agent.send_dtmf(keys)
                said.append(str(failure.value))
            assert not call.transferring

        agent.on("answered", wrong)
        await agent.start()

    simulate(bot, Caller())
    assert len(said) == 6
    assert "transfer to whom?" in said[0]
    assert "ring_timeout_s" in said[1]
    assert "no key 'x'" in said[4]


# ---------------------------------------------------------------------- over sockets, with a real gateway


def grown(frames: list[bytes], than: int) -> bool:
    return len(frames) > than


@pytest.mark.realtime
def test_over_sockets_a_caller_is_held_called_for_twice_and_handed_over() -> None:
    """In real time, because gateway and agent meet over sockets, and the bridge's sound is clocked."""
    outcomes: list[TransferOutcome] = []
    ends: list[CallEnd] = []
    ids: list[str] = []
    dialler = NotedDialler()
    answered = asyncio.Event()

    async def bot(call: Call) -> None:
        ids.append(call.info.call_id)
        agent = await voice(call, greeting="Hello.", texts=["help"], replies=["Wait."])

        async def hand_over(_: object) -> None:
            agent.hold()
            outcomes.append(await agent.transfer("bad"))
            outcomes.append(await agent.transfer("100", ring_timeout_s=20))
            agent.hold(False)
            answered.set()
            outcomes.append(await agent.transfer("200", summary="wants a table"))

        agent.on("user_turn", hand_over)
        ends.append(await agent.start())

    async def scenario() -> CallLog:
        async with house(bot) as there:
            there.gateway.switchboard.resources.dialler = dialler
            loop = asyncio.get_running_loop()
            hang_up = asyncio.Event()
            log = CallLog(16000)
            calling = asyncio.create_task(there.call("booking/01-people.wav", log=log, hang_up=hang_up))
            await eventually(lambda: dialler.legs, 20)
            call = there.gateway.switchboard.call(ids[0])
            assert call is not None
            await eventually(lambda: call.media_path.held)
            dialler.legs[0].dialled.callee_failed(loop.time(), "busy", "486 Busy Here")
            await asyncio.wait_for(answered.wait(), 5)
            await eventually(lambda: len(dialler.legs) == 2)
            far = dialler.legs[1]
            assert far.request.headers == {"X-Call-Summary": "wants a table"}
            far.dialled.callee_answered(loop.time())
            await eventually(lambda: ends)
            human = tone(1.0, 8000, (700.0,)).tobytes()
            for at in range(0, len(human), 320):
                played = len(far.frames)
                far.dialled.caller_audio(human[at : at + 320])
                await eventually(partial(grown, far.frames, played))  # they hear the caller, too
            far.dialled.caller_hangup(loop.time())
            return await asyncio.wait_for(calling, 20)

    with logged() as lines:
        log = asyncio.run(scenario())
    named = [(call_id, line) for call_id, line in lines if "the transfer to " in line]
    assert [call_id for call_id, _ in named] == ids * 3, named
    assert [(each.to, each.outcome) for each in outcomes] == [
        ("bad", "unreachable"),
        ("100", "busy"),
        ("200", "bridged"),
    ]
    assert outcomes[1].detail == "486 Busy Here"
    assert log.reason is EndReason.TRANSFERRED
    assert ends[0].reason is EndReason.TRANSFERRED
    spectrum = np.abs(np.fft.rfft(log.heard[-16000:].astype(np.float64)))
    hertz = np.fft.rfftfreq(min(16000, log.heard.size), 1 / 16000)
    assert hertz[int(spectrum.argmax())] == pytest.approx(700, abs=15), "the last that was heard is the human"


@pytest.mark.realtime
def test_over_sockets_a_bot_hears_of_what_others_have_asked_for() -> None:
    """In real time, because gateway and agent meet over sockets."""
    told: list[TransferOutcome] = []
    calls: list[Call] = []

    async def bot(call: Call) -> None:
        calls.append(call)
        agent = await voice(call, greeting="Hello.", texts=[], replies=["They are busy."])
        agent.on("transfer", told.append)
        await agent.start()

    async def scenario() -> None:
        async with house(bot) as there:
            loop = asyncio.get_running_loop()
            hang_up = asyncio.Event()
            calling = asyncio.create_task(there.call(log=CallLog(16000), hang_up=hang_up))
            await eventually(lambda: calls and calls[0].transcript, 20)  # the greeting was heard
            call = there.gateway.switchboard.call(calls[0].info.call_id)
            assert call is not None
            call.control.switch("hold", True)  # an operator
            await eventually(lambda: state_of(calls[0]).control.on_hold)
            call.control.switch("hold", False)
            await eventually(lambda: not state_of(calls[0]).control.on_hold)
            call.agent.send(  # asked for by an instance that had this call before
                TransferResult(call_id=call.call_id, request_id="t9", to="200", outcome="busy", detail="486")
            )
            await eventually(lambda: len(calls[0].transcript) == 2, 20)
            call.caller_hangup(loop.time())
            hang_up.set()
            await asyncio.wait_for(calling, 20)

    asyncio.run(scenario())
    assert told == [TransferOutcome("200", "busy", "486")]
    assert calls[0].transcript[1].text == "They are busy."
