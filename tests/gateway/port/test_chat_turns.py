"""Each turn of a chat is told once, behind its words if it comes on their way."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.gateway.port.chat_turns import BEHIND_S, ChatTurns
from piopiy_pipeline.signaling.chat_events import ChatTurn
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

ONE, TWO = ChatTurn(role="bot", text="one"), ChatTurn(role="user", text="two")


def test_a_turn_that_comes_both_ways_is_told_once_and_when_its_words_are_here() -> None:
    async def story() -> None:
        told: list[ChatTurn] = []
        turns = ChatTurns(told.append)
        turns.reported(ONE)
        await asyncio.sleep(BEHIND_S / 2)
        assert told == []
        turns.shown(ONE, recorded=True)
        turns.shown(TWO, recorded=True)
        turns.reported(TWO)
        await asyncio.sleep(2 * BEHIND_S)
        assert told == [ONE, TWO]

    run_virtual(story)


def test_a_turn_that_comes_in_the_report_only_is_told_a_moment_later_and_never_twice() -> None:
    async def story() -> None:
        told: list[ChatTurn] = []
        turns = ChatTurns(told.append)
        turns.reported(ONE)
        turns.reported(TWO)
        await asyncio.sleep(2 * BEHIND_S)
        assert told == [ONE, TWO]
        turns.shown(ONE, recorded=True)  # its words were slow
        assert told == [ONE, TWO]
        turns.reported(ONE)
        turns.flush()
        assert told == [ONE, TWO, ONE]

    run_virtual(story)
