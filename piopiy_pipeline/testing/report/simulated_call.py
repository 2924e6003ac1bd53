"""What a simulated call leaves behind: its turns, its events, both voices, and questions to ask of them.

Values and nothing else: the recorder, the report, the replay and the tests all read these. Times are
seconds since the call was answered, of the call's own clock, which in a simulation is virtual.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.call import EndReason, ToolUse
from piopiy_pipeline.latency import PARTS, LatencyParts

__all__ = ["PARTS", "Calls", "Event", "LatencyParts", "SimulatedCall", "TurnResult"]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the call's log.

    `kind` is one of: answered, user_speech (start, end, name), vad_started, vad_stopped,
    transcript (a final one reaches the context), user_turn (text), llm_started, llm_token (the first of
    an answer), llm_text (its first sentence), tts_started, bot_audio (the first sample of an answer
    leaves the playout clock), bot_stopped, interruption, bot_turn (text, interrupted), tool (name,
    arguments, number), tool_result (name, result, number), error (stage, message), gap (seconds:
    silence in mid-speech), packet_lost (direction, seq), dtmf (direction, digits), end (reason, detail).
    `data` is plain JSON.
    """

    at: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One turn: what the caller said, and what the bot answered, as far as it was heard.

    Turn 0 is what the bot says before the caller has said anything. `spoke_at` and `spoke_until` are
    the caller's speech by the recording; `answered_at` is when the first sample of the answer left
    the playout clock, None if there was none. `interrupted` means that the caller cut the answer off.
    """

    number: int
    user: str
    bot: str
    tools: tuple[ToolUse, ...]
    interrupted: bool
    spoke_at: float
    spoke_until: float
    answered_at: float | None
    parts: LatencyParts | None

    @property
    def voice_to_voice(self) -> float | None:
        """Seconds from the caller's last sample to the bot's first; None without an answer."""
        if self.number == 0 or self.answered_at is None:
            return None
        return self.answered_at - self.spoke_until


@dataclass
class SimulatedCall:
    """A call that was simulated: what happened in it, and assertions that show it when they fail.

    `caller_audio` and `bot_audio` are int16 of shape ``[samples]`` at `rate` Hz, of the same length,
    from the answer to the end, as heard at the caller's end of the line.
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
    """The length of the call by its own clock."""
    wall_s: float
    """How long the simulation took."""
    name: str = ""

    # ------------------------------------------------------------------ looking

    @property
    def tools(self) -> tuple[ToolUse, ...]:
        """All uses of tools, in order."""
        return tuple(tool for turn in self.turns for tool in turn.tools)

    @property
    def said(self) -> str:
        """All that was heard of the bot, a line a turn."""
        return "\n".join(turn.bot for turn in self.turns if turn.bot)

    def of(self, kind: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]

    def event_hash(self) -> str:
        """SHA-256 of the events, with times to the microsecond: the same call has the same hash."""
        lines = [[round(event.at * 1e6), event.kind, event.data] for event in self.events]
        text = json.dumps(lines, sort_keys=True, separators=(",", ":"), default=dict)
        return hashlib.sha256(text.encode()).hexdigest()

    def timeline(self) -> str:
        """The call in words, an event a line."""
        from piopiy_pipeline.testing.report.result_text import timeline  # it is only needed to show a failure

        return timeline(self)

    # ------------------------------------------------------------------ asserting

    def assert_said(self, wanted: str | re.Pattern[str], *, turn: int | None = None) -> None:
        """The bot was heard to say `wanted`: text (case and spacing do not matter) or a pattern.

        In the turn of that number, or in any.
        """
        texts = [each.bot for each in self.turns if turn in (None, each.number)]
        if not any(_matches(wanted, text) for text in texts):
            where = "" if turn is None else f" in turn {turn}"
            self._fail(f"the bot never said {_shown(wanted)}{where}")

    def assert_not_said(self, unwanted: str | re.Pattern[str]) -> None:
        """The bot was never heard to say this."""
        for each in self.turns:
            if _matches(unwanted, each.bot):
                self._fail(f"the bot said {_shown(unwanted)} in turn {each.number}: {each.bot!r}")

    def assert_understood(self, wanted: str | re.Pattern[str], *, turn: int | None = None) -> None:
        """What the caller said was transcribed so, in the turn of that number or in any."""
        texts = [each.user for each in self.turns if turn in (None, each.number)]
        if not any(_matches(wanted, text) for text in texts):
            self._fail(f"the bot never understood {_shown(wanted)}")

    def assert_tool(self, name: str, **arguments: Any) -> ToolUse:
        """The bot used the tool `name` with at least these arguments. Returns that use of it."""
        for use in self.tools:
            if use.name == name and all(
                key in use.arguments and use.arguments[key] == value for key, value in arguments.items()
            ):
                return use
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        used = "; ".join(_shown_use(use) for use in self.tools) or "no tool at all"
        raise self._failure(f"the bot never used {name}({given}). It used: {used}")

    def assert_no_tool(self, name: str | None = None) -> None:
        """The bot used no tool, or not this one."""
        used = [use for use in self.tools if name in (None, use.name)]
        if used:
            self._fail(f"the bot used {'; '.join(map(_shown_use, used))}")

    def assert_ended(self, reason: EndReason | str) -> None:
        """The call ended for this reason."""
        if self.end_reason != EndReason(reason):
            self._fail(f"the call ended with {self.end_reason.value} ({self.end_detail}), not {reason}")

    def assert_transferred(self, to: str | None = None, *, outcome: str = "bridged") -> None:
        """The bot handed the caller to `to` (None: to anybody), or tried to, with this outcome."""
        results = [event.data for event in self.of("transfer_result")]
        if not any(to in (None, data["to"]) and data["outcome"] == outcome for data in results):
            tried = "; ".join(f"{data['to']}: {data['outcome']}" for data in results) or "nobody at all"
            self._fail(f"the caller was not handed to {to or 'anybody'} ({outcome}). The bot tried: {tried}")

    def assert_no_gap(self, longest_s: float = 0.0) -> None:
        """The caller heard no silence in mid-speech that was longer than this."""
        gaps = [event for event in self.of("gap") if event.data["seconds"] > longest_s]
        if gaps:
            worst = max(gaps, key=lambda event: float(event.data["seconds"]))
            self._fail(
                f"the bot's speech had {len(gaps)} gaps, the worst of {worst.data['seconds'] * 1000:.0f} ms "
                f"at {worst.at:.2f} s"
            )

    def assert_no_error(self) -> None:
        """No provider failed, and the call did not end with an error."""
        if errors := self.of("error"):
            first = errors[0].data
            self._fail(f"{len(errors)} errors, the first of {first['stage']}: {first['message']}")
        if self.end_reason is EndReason.ERROR:
            self._fail(f"the call ended with an error: {self.end_detail}")

    def assert_interrupted(self, turn: int | None = None) -> None:
        """The caller cut the bot off: in the turn of that number, or in any."""
        if not any(each.interrupted for each in self.turns if turn in (None, each.number)):
            self._fail("the bot was not interrupted" + ("" if turn is None else f" in turn {turn}"))

    def assert_latency(self, below: float, part: str = "voice_to_voice") -> None:
        """Every answer came within `below` seconds; `part` may name one of its parts instead."""
        for turn in self.turns:
            value = _latency(turn, part)
            if value is not None and value >= below:
                self._fail(f"{part} was {value:.3f} s in turn {turn.number}, not below {below:g} s")

    def _fail(self, what: str) -> None:
        raise self._failure(what)

    def _failure(self, what: str) -> AssertionError:
        return AssertionError(f"{what}\n\n{self.timeline()}")


class Calls(list[SimulatedCall]):
    """Several calls, to ask about all of them."""

    def latencies(self, name: str = "voice_to_voice") -> list[float]:
        """Of every answered turn: `voice_to_voice`, or one of its parts, in seconds."""
        values = (_latency(turn, name) for call in self for turn in call.turns)
        return [value for value in values if value is not None]

    def percentile(self, name: str, p: float) -> float:
        """The `p`-th percentile (0 to 100) of a latency over all answered turns, in seconds.

        Raises `ValueError` for a name that there is not, and when no turn was answered.
        """
        values = self.latencies(name)
        if not values:
            raise ValueError(f"no turn of {len(self)} calls was answered: there is no {name}")
        return float(np.percentile(values, p))


def _latency(turn: TurnResult, name: str) -> float | None:
    if name == "voice_to_voice":
        return turn.voice_to_voice
    if name not in PARTS:
        raise ValueError(f"there is no latency {name!r}, only voice_to_voice, {', '.join(PARTS)}")
    return None if turn.parts is None else float(getattr(turn.parts, name))


def _matches(wanted: str | re.Pattern[str], text: str) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.search(text) is not None
    return " ".join(wanted.lower().split()) in " ".join(text.lower().split())


def _shown(wanted: str | re.Pattern[str]) -> str:
    return f"/{wanted.pattern}/" if isinstance(wanted, re.Pattern) else repr(wanted)


def _shown_use(use: ToolUse) -> str:
    return f"{use.name}({', '.join(f'{key}={value!r}' for key, value in use.arguments.items())})"
