"""Callers who take turns with their bots by keys, and what they hear of each turn: for agents that drain.

The agents are `tests.support.patient_agent`, whose answer says how many turns it knows of.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, Self

from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosPlace

__all__ = ["MODULE", "CountedTurns", "Heard", "HeardTurn", "KeyedCaller", "TalkingCaller", "restart"]

MODULE = "tests.support.patient_agent"
GENEROUS_S = 30.0


class KeyedCaller(Protocol):
    """A caller who has keys, of any leg. The methods are those of `ChaosCaller`."""

    call_id: str
    ended: tuple[str, str] | None
    heard: list[tuple[float, float]]

    def press(self, digits: str) -> None: ...
    def agent_heard(self, since: float = 0.0) -> float | None: ...
    def longest_silence_s(self, since: float, until: float) -> float: ...


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """What a caller heard of one turn.

    Attributes:
        pressed_at: When the keys were pressed, in seconds of the loop's clock.
        waited_s: How long nothing was heard after that.
        gap_s: The longest silence within the answer.
    """

    pressed_at: float
    waited_s: float
    gap_s: float


class CountedTurns:
    """How many turns of its caller each call's bot has spoken of last, by what its agents print."""

    def __init__(self, place: ChaosPlace) -> None:
        self._place = place
        self._read: dict[ChaosAgent, int] = {}
        self._last: dict[str, int] = {}

    def of(self, call_id: str) -> int:
        """Return the number that a call's bot has named last, 0 before the first."""
        for agent in self._place.agents:
            fresh = agent.printed[self._read.get(agent, 0) :]
            self._read[agent] = self._read.get(agent, 0) + len(fresh)
            for line in fresh:
                if line.get("event") == "bot_turn":
                    number = next((int(word) for word in line["text"].split() if word.isdigit()), 0)
                    self._last[line["call_id"]] = number
        return self._last.get(call_id, 0)


class TalkingCaller:
    """Takes turns: presses a key, hears the answer out, waits a little. The answer has to say how many turns there
    were.
    """

    def __init__(self, caller: KeyedCaller, counted: CountedTurns, number: int) -> None:
        self.caller = caller
        self.turns: list[HeardTurn] = []
        self._counted = counted
        self._rng = random.Random(number)
        self._loop = asyncio.get_running_loop()

    async def talk(self, until: asyncio.Event) -> None:
        # a key over the greeting would be answered by what is left of it
        await eventually(lambda: self.caller.agent_heard(self._loop.time() - 0.5) is None, GENEROUS_S)
        while not until.is_set():
            self.turns.append(await self._take_turn(len(self.turns) + 1))
            await asyncio.sleep(self._rng.uniform(0.0, 1.5))

    async def _take_turn(self, number: int) -> HeardTurn:
        pressed_at, said_at = self._loop.time(), datetime.now(UTC)
        self.caller.press("1#")
        call_id = self.caller.call_id
        try:
            await eventually(lambda: self._counted.of(call_id) >= number, GENEROUS_S, every_s=0.02)
        except AssertionError:
            counted = self._counted.of(call_id)
            raise AssertionError(f"{call_id}: turn {number} of {said_at} was lost: {counted}") from None
        assert self._counted.of(call_id) == number, "counted twice"
        loud = [at for at, pitch in self.caller.heard if at >= pressed_at and pitch]
        gap_s = self.caller.longest_silence_s(loud[0], loud[-1])
        return HeardTurn(pressed_at, loud[0] - pressed_at, gap_s)


@dataclass(frozen=True, slots=True)
class Heard:
    """What callers heard of all their turns in a stretch of time, in seconds: see `HeardTurn`."""

    turns: int
    gap_s: float
    waited_s: float
    longest_wait_s: float

    @classmethod
    def of(cls, callers: list[TalkingCaller], since: float = 0.0, until: float = math.inf) -> Self:
        turns = [turn for one in callers for turn in one.turns if since <= turn.pressed_at < until]
        waits = [turn.waited_s for turn in turns]
        return cls(len(turns), max(turn.gap_s for turn in turns), statistics.median(waits), max(waits))

    def __str__(self) -> str:
        return (
            f"{self.turns} turns, gap in an answer {self.gap_s:.2f} s at most, answer after "
            f"{self.waited_s:.2f} s (median), {self.longest_wait_s:.2f} s at most"
        )


async def restart(place: ChaosPlace, old: ChaosAgent, environment: dict[str, str]) -> None:
    """Start one more agent, and have the old one drain until it has gone."""
    await place.add_agent(module=MODULE, environment=environment)
    old.process.terminate()
    await asyncio.wait_for(old.process.wait(), GENEROUS_S * 2)
    assert old.process.returncode == 0
