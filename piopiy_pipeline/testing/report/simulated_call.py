"""`SimulatedCall`: the result of a simulation, with its turns, its events, both voices, and assertions.

Values and nothing else. Times are seconds since the call was answered, by the call's own clock, which is virtual
in a simulation.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.arguments import check_kind, check_seconds, check_text, shown
from piopiy_pipeline.call import EndReason, ToolUse, ended_well
from piopiy_pipeline.latency import PARTS, LatencyParts
from piopiy_pipeline.testing.report.call_events import Event, TurnResult, check_event_kind
from piopiy_pipeline.testing.report.timeline import timeline_of
from piopiy_pipeline.text import counted, printable_line

if TYPE_CHECKING:  # with it comes pipecat, which a call over a gateway does not need
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph

__tracebackhide__ = True  # pytest shows the line of the test, and not those in here that fail it
__all__ = ["PARTS", "Calls", "Event", "LatencyParts", "SimulatedCall", "TurnResult"]


@dataclass
class SimulatedCall:
    """A call that was simulated: what happened in it, and assertions that show its timeline when they fail.

    An assertion that something was not there fails, too, where it could not have been there: in a call that was not
    answered, of a bot that was not heard, without any answer.

    Attributes:
        turns: The turns; turn 0, if there is one, is what the bot said before the caller's first turn.
        events: Everything that happened, in order.
        end_reason: Why the call ended.
        end_detail: The same in a sentence, if there is more to say.
        caller_audio: What the caller said, from the answer to the end: int16 of shape ``[samples]`` at `rate`.
        bot_audio: What the caller heard, of the same length.
        rate: The sample rate in Hz.
        seed: The seed of the call.
        duration_s: The length of the call by its own clock, in seconds since the answer.
        wall_s: How long the simulation took, in real seconds.
        name: Its name in a report.
        flow: The nodes and edges of the flow that led it; None without one.
        failed_assertion: The first `AssertionError` of the bot's own code, if there was one.
    """

    turns: list[TurnResult]
    events: list[Event]
    end_reason: EndReason
    end_detail: str
    caller_audio: NDArray[np.int16]
    bot_audio: NDArray[np.int16]
    rate: int
    seed: int
    duration_s: float
    wall_s: float
    name: str = ""
    flow: FlowGraph | None = None
    failed_assertion: AssertionError | None = None

    # ------------------------------------------------------------------ looking

    @property
    def tools(self) -> tuple[ToolUse, ...]:
        """All uses of tools in the call, in order."""
        return tuple(tool for turn in self.turns for tool in turn.tools)

    @property
    def said(self) -> str:
        """Everything that was heard of the bot, a line for each turn."""
        return "\n".join(turn.bot for turn in self.turns if turn.bot)

    def of(self, kind: str) -> list[Event]:
        """Return the events of one kind, as `Event.kind` lists them.

        Raises:
            ValueError: There is no such kind.
        """
        check_event_kind("of", kind)
        return [event for event in self.events if event.kind == kind]

    def event_hash(self) -> str:
        """Return the SHA-256 of the events, with times to the microsecond. The same call has the same hash."""
        lines = [[round(event.at * 1e6), event.kind, event.data] for event in self.events]
        text = json.dumps(lines, sort_keys=True, separators=(",", ":"), default=dict)
        return hashlib.sha256(text.encode()).hexdigest()

    def timeline(self) -> str:
        """Return the call in words, a line for each event."""
        head = f"{self.name or 'the call'}: {self.duration_s:.2f} s, seed {self.seed}"
        ended = f"ended with {self.end_reason.value}"  # its last event says why
        return "\n".join(map(printable_line, [f"{head}, {ended}", *timeline_of(self.events, self.turns)]))

    # ------------------------------------------------------------------ asserting

    def assert_said(self, wanted: str | re.Pattern[str], *, turn: int | None = None) -> None:
        """Assert that the bot was heard to say something.

        Args:
            wanted: A part of a turn (case and spacing do not matter), or a pattern.
            turn: The number of the turn; None: any turn.

        Raises:
            TypeError: `wanted` is neither a text nor a pattern.
            ValueError: `wanted` is empty.
        """
        _check_wanted(wanted)
        texts = [each.bot for each in self._turns(turn)]
        if not any(_matches(wanted, text) for text in texts):
            where = "" if turn is None else f" in turn {turn}"
            self._fail(f"the bot never said {_shown(wanted)}{where}")

    def assert_not_said(self, unwanted: str | re.Pattern[str]) -> None:
        """Assert that the bot was never heard to say this: text or a pattern, as in `assert_said`."""
        _check_wanted(unwanted)
        if not self.said:
            self._fail(f"the bot was never heard, so it could not say {_shown(unwanted)}")
        for each in self.turns:
            if _matches(unwanted, each.bot):
                self._fail(f"the bot said {_shown(unwanted)} in turn {each.number}: {each.bot!r}")

    def assert_understood(self, wanted: str | re.Pattern[str], *, turn: int | None = None) -> None:
        """Assert that this was understood of the caller. The arguments are those of `assert_said`."""
        _check_wanted(wanted)
        texts = [each.user for each in self._turns(turn)]
        if not any(_matches(wanted, text) for text in texts):
            where = "" if turn is None else f" in turn {turn}"
            self._fail(f"the bot never understood {_shown(wanted)}{where}")

    def assert_tool(self, name: str, **arguments: Any) -> ToolUse:
        """Assert that the bot used a tool with at least these arguments. Returns the first such use."""
        for use in self.tools:
            if use.name == name and all(
                key in use.arguments and use.arguments[key] == value for key, value in arguments.items()
            ):
                return use
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        used = "; ".join(_shown_use(use) for use in self.tools) or "no tool at all"
        raise self._failure(f"the bot never used {name}({given}). It used: {used}")

    def assert_no_tool(self, name: str | None = None) -> None:
        """Assert that the bot used no tool, or with `name`, not this one."""
        used = [use for use in self.tools if name in (None, use.name)]
        if used:
            self._fail(f"the bot used {'; '.join(map(_shown_use, used))}")
        if not self.of("answered"):
            self._fail(f"the call was not answered, so the bot could not use {name or 'any tool'}")

    def assert_ended(self, reason: EndReason | str) -> None:
        """Assert that the call ended for this reason, such as ``"agent_hangup"``.

        Raises:
            ValueError: There is no such reason.
        """
        if reason not in list(EndReason):
            raise ValueError(f"no call ends with {shown(reason)}, but with {', '.join(EndReason)}")
        if self.end_reason != EndReason(reason):
            why = f" ({self.end_detail})" if self.end_detail else ""
            self._fail(f"the call ended with {self.end_reason.value}{why}, not {reason}")

    def assert_transferred(self, to: str | None = None, *, outcome: str = "bridged") -> None:
        """Assert that a transfer to `to` (None: to anybody) had this outcome."""
        results = [event.data for event in self.of("transfer_result")]
        if not any(to in (None, data["to"]) and data["outcome"] == outcome for data in results):
            tried = "; ".join(f"{data['to']}: {data['outcome']}" for data in results) or "nobody at all"
            self._fail(f"the caller was not handed to {to or 'anybody'} ({outcome}). The bot tried: {tried}")

    def assert_no_gap(self, longest_s: float = 0.0) -> None:
        """Assert that no silence within the bot's speech was longer than so many seconds."""
        if not self.said and not self.of("bot_audio"):
            self._fail("the bot was never heard, so its speech could have no gap")
        gaps = [event for event in self.of("gap") if event.data["seconds"] > longest_s]
        if gaps:
            worst = max(gaps, key=lambda event: float(event.data["seconds"]))
            self._fail(
                f"the bot's speech had {counted(len(gaps), 'gap')}, the worst of {worst.data['seconds'] * 1000:.0f} ms "
                f"at {worst.at:.2f} s"
            )

    def assert_no_error(self) -> None:
        """Assert that nothing of the call went wrong (the event `error`) and that it did not end with an error."""
        if errors := self.of("error"):
            first = errors[0].data
            self._fail(f"{counted(len(errors), 'error')}, the first of {first['stage']}: {first['message']}")
        if self.end_reason is EndReason.ERROR:
            self._fail(f"the call ended with an error: {self.end_detail}")

    def assert_interrupted(self, turn: int | None = None) -> None:
        """Assert that the caller cut the bot off, in the turn of this number or in any."""
        if not any(each.interrupted for each in self._turns(turn)):
            self._fail("the bot was not interrupted" + ("" if turn is None else f" in turn {turn}"))

    def assert_latency(self, below: float, part: str = "voice_to_voice") -> None:
        """Assert that there are answers with this latency, and that each took less than `below` seconds.

        Args:
            below: The limit in seconds.
            part: ``"voice_to_voice"``, or one of its parts: ``"silence"``, ``"stt"``, ``"turn"``, ``"llm"``,
                ``"tts"``, ``"playout"``.

        Raises:
            TypeError: `below` is no number.
            ValueError: There is no such part, or `below` is no time.
        """
        check_seconds("below", below)
        _check_latency(part)
        found = [(turn.number, value) for turn in self.turns if (value := _latency(turn, part)) is not None]
        if not found:
            self._fail(f"no turn of the caller was answered with a {part} that could be measured")
        for number, value in found:
            if value >= below:
                self._fail(f"{part} was {value:.3f} s in turn {number}, not below {below:g} s")

    def _turns(self, number: int | None) -> list[TurnResult]:
        """Return the turn of this number, or all of them."""
        if number is not None and all(each.number != number for each in self.turns):
            there = ", ".join(str(each.number) for each in self.turns) or "none at all"
            self._fail(f"there is no turn {number}; the turns are: {there}")
        return [each for each in self.turns if number in (None, each.number)]

    def _fail(self, what: str) -> None:
        raise self._failure(what)

    def _failure(self, what: str) -> AssertionError:
        """Return what a test fails with. Why a call came to no good end stands first: the rest follows from it."""
        if not ended_well(self.end_reason) and not what.startswith("the call ended with"):
            what = f"{self.end_detail or f'the call ended with {self.end_reason.value}'}; and {what}"
        return AssertionError(f"{what}\n\n{self.timeline()}")


class Calls(list[SimulatedCall]):
    """Several calls: a list, with their latencies taken together."""

    def latencies(self, name: str = "voice_to_voice") -> list[float]:
        """Return a latency of every answered turn in seconds: ``"voice_to_voice"``, or one of its parts."""
        _check_latency(name)
        values = (_latency(turn, name) for call in self for turn in call.turns)
        return [value for value in values if value is not None]

    def percentile(self, name: str, p: float) -> float:
        """Return a percentile of a latency over all answered turns, in seconds.

        Args:
            name: ``"voice_to_voice"``, or one of its parts.
            p: The percentile, 0 to 100.

        Raises:
            ValueError: There is no such latency, or no turn was answered.
        """
        values = self.latencies(name)
        if not values:
            raise ValueError(f"no turn of {len(self)} calls was answered: there is no {name}")
        return float(np.percentile(values, p))


def _check_latency(name: str) -> None:
    """Raise `ValueError` if there is no latency of this name."""
    if name != "voice_to_voice" and name not in PARTS:
        raise ValueError(f"there is no latency {name!r}, only voice_to_voice, {', '.join(PARTS)}")


def _latency(turn: TurnResult, name: str) -> float | None:
    if name == "voice_to_voice":
        return turn.voice_to_voice
    return None if turn.parts is None else float(getattr(turn.parts, name))


def _matches(wanted: str | re.Pattern[str], text: str) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.search(text) is not None
    return " ".join(wanted.lower().split()) in " ".join(text.lower().split())


def _check_wanted(wanted: str | re.Pattern[str]) -> None:
    """Raise as `assert_said` does if nothing is looked for: that is in every turn."""
    check_kind("wanted", wanted, (str, re.Pattern), "a text or a pattern")
    if isinstance(wanted, str):
        check_text("wanted", wanted)


def _shown(wanted: str | re.Pattern[str]) -> str:
    return f"/{wanted.pattern}/" if isinstance(wanted, re.Pattern) else repr(wanted)


def _shown_use(use: ToolUse) -> str:
    return f"{use.name}({', '.join(f'{key}={value!r}' for key, value in use.arguments.items())})"
