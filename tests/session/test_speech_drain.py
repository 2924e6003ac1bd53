"""A bot hangs up when its last words were heard: however busy the loop is, and though nobody plays them.

In virtual time. A busy loop is one on which the playout clock's reports come in at any of its turns, in between
two frames of one speech; here they come in at each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.messages import Played
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.transports.bot_output import BotOutput
from tests.support.bots import hang_up_when_answered, voice

HELLO = 5760
"""How long a scripted "Hello." is, in samples at 16 kHz."""
TURNS = range(12, 45)
"""Of the loop, from the answer on: at first the greeting is not all sent, and at last all of it is over."""

Report = Callable[[BotOutput, Played], None]


def ended(bot: Callable[[Call], object]) -> tuple[float, CallEnd]:
    """How, and how long after the answer, a call to this bot has ended. The caller hangs up after 100 s."""
    ends: list[tuple[float, CallEnd]] = []

    async def watched(call: Call) -> None:
        call.on("end", lambda end: ends.append((end.duration_s, end)))
        await bot(call)  # type: ignore[misc]  # a coroutine function

    simulate(watched, Caller().pause(100).hangup())
    assert len(ends) == 1
    return ends[0]


def at_turn(turn: int, act: Callable[[], None]) -> None:
    """`act` when the loop has gone round so many times, without a moment of rest."""
    if turn:
        asyncio.get_running_loop().call_soon(at_turn, turn - 1, act)
    else:
        act()


def test_the_last_report_may_come_in_between_any_two_frames_of_the_greeting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report: Report = BotOutput.on_played
    monkeypatch.setattr(BotOutput, "on_played", lambda output, played: None)
    partly_sent_at: list[int] = []
    told_at: list[int] = []

    def ended_at(turn: int) -> tuple[float, CallEnd]:
        async def bot(call: Call) -> None:
            agent = await voice(call, greeting="Hello.")

            def heard() -> None:
                output = call.transport().output()
                ledger = output._ledger
                sent = ledger.queued - ledger.waiting
                if 0 < sent < HELLO:
                    partly_sent_at.append(turn)
                elif sent == HELLO:  # all was sent: it can have been heard
                    report(output, Played(epoch=0, position=HELLO, dry=True))
                    told_at.append(turn)

            agent.on("answered", lambda _: at_turn(turn, heard))
            hang_up_when_answered(agent)
            await agent.start()

        return ended(bot)

    ends = {turn: ended_at(turn) for turn in TURNS}
    assert partly_sent_at, "the first turns are before the last sound is sent"
    assert told_at == [*range(partly_sent_at[-1] + 1, TURNS.stop)], (
        "the reports come at each turn from there on"
    )
    assert len(told_at) > 10, "and while the rest of the greeting does"
    for turn in told_at:
        duration_s, end = ends[turn]
        assert end.reason is EndReason.AGENT_HANGUP, turn
        assert duration_s < 2, f"at turn {turn} of the loop"


def test_a_goodbye_that_nobody_plays_ends_the_call_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BotOutput, "on_played", lambda output, played: None)

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        hang_up_when_answered(agent)
        await agent.start()

    duration_s, end = ended(bot)
    assert end.reason is EndReason.AGENT_HANGUP
    assert 5 < duration_s < 12


def test_a_goodbye_whose_playing_comes_to_a_standstill_ends_the_call_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report: Report = BotOutput.on_played

    def first_only(output: BotOutput, played: Played) -> None:
        if played.position <= 320:
            report(output, played)

    monkeypatch.setattr(BotOutput, "on_played", first_only)

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        hang_up_when_answered(agent)
        await agent.start()

    duration_s, end = ended(bot)
    assert end.reason is EndReason.AGENT_HANGUP
    assert 5 < duration_s < 12
