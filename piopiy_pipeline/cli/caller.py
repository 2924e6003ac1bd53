"""A caller with a script: what it says and when, what it hears, and how long the answers take.

The whole behaviour of ``piopiy call`` as a state machine without I/O, so that tests drive it with a
virtual clock. The shell beside it (`caller_line`) carries it over a WebSocket: it passes events and
audio in with the loop's time, calls `tick` when `next_due` says so, and sends what
`take_messages` returns.

The caller's clock counts samples: frame k is sent when its last sample is due, as a telephone sends
it, and sample p was spoken at ``answered + p / rate``. So the latencies are what a person would
notice on the line, and they are the distances that one measures in the saved recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from math import inf
from statistics import median
from typing import Any

import numpy as np

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.caller_ear import SpeechDetector
from piopiy_pipeline.cli.caller_values import (
    CallOutcome,
    CallReport,
    Pace,
    Pcm,
    PlacedSound,
    ScriptedUtterance,
    TurnExchange,
)
from piopiy_pipeline.signaling.caller import (
    Answered,
    CallStart,
    Conversation,
    Leave,
    LegEnded,
    LegEvent,
    LegFault,
    Ringing,
)
from piopiy_pipeline.signaling.messages import dump

__all__ = [
    "FRAME_MS",
    "CallOutcome",
    "CallReport",
    "Pace",
    "PlacedSound",
    "ScriptedCaller",
    "ScriptedUtterance",
]

FRAME_MS = 20
_CATCH_UP_S = 1.0  # a process that slept longer than this does not send what it slept through
_LEAVE_S = 3.0  # how long the gateway may take to confirm a hang-up
_ALIGN_S = 0.1  # a received frame this close to the end of the one before follows it without a gap

_IN_PASSING = ("user_partial", "bot_partial", "latency")
"""Events that nobody waits for: they tell nothing that is not heard, or told again."""


class _CallerState(Enum):
    DIALLING = auto()
    TALKING = auto()
    LEAVING = auto()
    OVER = auto()


class ScriptedCaller:
    """One scripted call; `now` is the loop's time in seconds throughout.

    `start` is the message that opens the call, and its rate is the rate of every utterance. With
    `telephone`, the line is G.711 µ-law in both directions.
    """

    def __init__(
        self,
        script: Sequence[ScriptedUtterance],
        *,
        start: CallStart,
        now: float,
        pace: Pace | None = None,
        telephone: bool = False,
    ) -> None:
        self.pace = pace or Pace()
        self.rate = start.rate
        self.outcome: CallOutcome | None = None
        self._script = tuple(script)
        self._telephone = telephone
        self._dialled_at = now
        self._answered_at: float | None = None
        self._ended_at = now
        self._state = _CallerState.DIALLING
        self._zero = now  # when the first sample was spoken
        self._frame = self.rate * FRAME_MS // 1000
        self._sent = 0  # samples
        self._ear = SpeechDetector(self.rate)
        self._heard_end = 0  # where in the recording the last received audio ends
        self._exchanges: list[TurnExchange] = []
        self._greeting_began_at: float | None = None
        self._bot_finished = False  # its answer to the last turn, or its greeting
        self._bot_spoke = False
        self._event_at = -inf
        self._tools_running: set[Any] = set()  # their numbers
        self._leave_by = inf
        self._timed_out = False
        self._messages: list[bytes | str] = [dump(start)]
        self._reports: list[CallReport] = []
        self._sounds: list[PlacedSound] = []
        noise = np.random.default_rng(0).integers(-1, 2, self.rate, dtype=np.int16)
        self._dither = self._through_line(noise)

    # ------------------------------------------------------------------ what the shell asks

    @property
    def over(self) -> bool:
        """Whether nothing more will happen; `outcome` is there."""
        return self._state is _CallerState.OVER

    @property
    def next_due(self) -> float:
        """When `tick` wants to be called next."""
        if self._state is _CallerState.OVER:
            return inf
        if self._state is _CallerState.LEAVING:
            return self._leave_by
        limit = self._dialled_at + self.pace.limit_s
        return (
            min(limit, self._time_of(self._sent + self._frame))
            if self._state is _CallerState.TALKING
            else limit
        )

    @property
    def position(self) -> int:
        """How many samples have been sent: how far the recording has come."""
        return self._sent

    def speaking(self) -> tuple[str, float, float] | None:
        """What the caller is saying: its name, the seconds that were said, and its length."""
        exchange = self._current
        if exchange is None or self._state is not _CallerState.TALKING or not self._mid_utterance:
            return None
        said, size = self._sent - exchange.position, exchange.utterance.pcm.size
        return exchange.utterance.name, said / self.rate, size / self.rate

    def bot_speaking(self, now: float) -> bool:
        """Whether the bot can be heard."""
        return self._state is _CallerState.TALKING and self._ear.sounding(now)

    def take_messages(self) -> list[bytes | str]:
        """What is to be sent now, in order."""
        messages, self._messages = self._messages, []
        return messages

    def take_reports(self) -> list[CallReport]:
        """What happened since the last time."""
        reports, self._reports = self._reports, []
        return reports

    def take_sounds(self) -> list[PlacedSound]:
        """What was said and heard since the last time, for the recording. Take it at least every second."""
        sounds, self._sounds = self._sounds, []
        return sounds

    # ------------------------------------------------------------------ what happens

    def on_event(self, event: LegEvent, now: float) -> None:
        """A message of the gateway."""
        match event:
            case _ if self._state is _CallerState.OVER:
                return
            case Ringing():
                self._report("ringing", now, call_id=event.call_id)
            case Answered() if self._state is _CallerState.DIALLING:
                self._state = _CallerState.TALKING
                self._answered_at = self._zero = now
                self._report("answered", now)
            case Conversation():
                self._on_conversation(event, now)
            case LegEnded():
                self._end(event.reason, event.detail, now)
            case LegFault():
                self._end(EndReason.ERROR, f"the gateway did not understand: {event.detail}", now)
            case _:  # keys and application messages are nothing to a scripted caller
                return

    def on_audio(self, data: bytes, now: float) -> None:
        """PCM16 little-endian mono from the gateway, to be heard from now on."""
        if self._state not in (_CallerState.TALKING, _CallerState.LEAVING):
            return
        pcm = self._through_line(np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.int16, copy=False))
        arrived = round((now - self._zero) * self.rate)
        if abs(arrived - self._heard_end) < _ALIGN_S * self.rate:
            arrived = self._heard_end
        self._heard_end = arrived + pcm.size
        self._sounds.append(PlacedSound("right", arrived, pcm))
        new_stretch = self._ear.hear(pcm, now)
        self._judge(new_stretch)

    def on_lost(self, detail: str, now: float) -> None:
        """The connection is gone."""
        if self._state is _CallerState.LEAVING:
            self._end(EndReason.CALLER_HANGUP, "", now)
        elif self._state is not _CallerState.OVER:
            because = f" ({detail})" if detail else ""
            self._end(EndReason.ERROR, f"the connection to the gateway was lost{because}", now)

    def hang_up(self, now: float) -> None:
        """The caller hangs up; the gateway confirms it, within a limit."""
        if self._state in (_CallerState.DIALLING, _CallerState.TALKING):
            self._state = _CallerState.LEAVING
            self._leave_by = now + _LEAVE_S
            self._messages.append(dump(Leave()))

    def tick(self, now: float) -> None:
        """Time has passed: send the frames that are due, speak, or give up."""
        if self._state is _CallerState.LEAVING:
            if now >= self._leave_by:
                self._end(EndReason.CALLER_HANGUP, "the gateway did not confirm it", now)
            return
        if self._state is not _CallerState.OVER and now - self._dialled_at >= self.pace.limit_s:
            self._timed_out = True
            self.hang_up(now)
        if self._state is not _CallerState.TALKING:
            return
        late = now - self._time_of(self._sent + self._frame)
        if late > _CATCH_UP_S:
            self._zero += late
        while self._state is _CallerState.TALKING and (due := self._time_of(self._sent + self._frame)) <= now:
            frame = self._next_frame(due)
            self._sounds.append(PlacedSound("left", self._sent, frame))
            self._messages.append(frame.astype("<i2", copy=False).tobytes())
            self._sent += self._frame
            if self._given_up(due):
                self.hang_up(now)

    # ------------------------------------------------------------------ speaking

    @property
    def _current(self) -> TurnExchange | None:
        return self._exchanges[-1] if self._exchanges else None

    @property
    def _mid_utterance(self) -> bool:
        exchange = self._current
        return exchange is not None and self._sent < exchange.position + exchange.utterance.pcm.size

    def _time_of(self, position: int) -> float:
        """When the caller speaks the sample at `position`."""
        return self._zero + position / self.rate

    def _next_frame(self, now: float) -> Pcm:
        if not self._mid_utterance and len(self._exchanges) < len(self._script) and self._may_speak(now):
            self._begin(self._script[len(self._exchanges)])
        offset = self._sent % (self.rate - self._frame)
        frame = self._dither[offset : offset + self._frame].copy()
        if self._mid_utterance and (exchange := self._current) is not None:
            part = exchange.utterance.pcm[self._sent - exchange.position :][: self._frame]
            frame[: part.size] = part
        return frame

    def _begin(self, utterance: ScriptedUtterance) -> None:
        self._close_exchange(self._time_of(self._sent))
        self._exchanges.append(TurnExchange(len(self._exchanges) + 1, utterance, self._sent))
        self._tools_running.clear()
        self._bot_finished = self._bot_spoke = False

    def _silent_since(self) -> float:
        """When something last happened: either side spoke, a turn was reported, a tool ran."""
        latest = max(self._zero, self._ear.last_sound_at, self._event_at)
        return latest if self._current is None else max(latest, self._time_of(self._current.speech_end))

    def _may_speak(self, now: float) -> bool:
        pace = self.pace
        if self._bot_finished and now - self._ear.last_sound_at >= pace.settle_s:
            return True
        began = self._answer_began_at
        if pace.interrupt_s is not None and began is not None and self._ear.sounding(now):
            return now - began >= pace.interrupt_s
        if self._bot_spoke and not self._tools_running:
            wait = pace.patience_s
        else:
            wait = pace.no_answer_s if self._exchanges else pace.no_greeting_s
        return now - self._silent_since() >= wait

    def _given_up(self, now: float) -> bool:
        said_it_all = len(self._exchanges) == len(self._script) and not self._mid_utterance
        return said_it_all and now - self._silent_since() >= self.pace.hangup_after_s

    # ------------------------------------------------------------------ listening

    @property
    def _answer_began_at(self) -> float | None:
        """When the bot began its answer to the last turn; its greeting, before the first."""
        if self._current is not None:
            return self._current.answer_began_at
        return self._greeting_began_at

    def _judge(self, new_stretch: float | None) -> None:
        """Audio was heard: is it the answer, or the rest of what was interrupted?"""
        exchange = self._current
        if exchange is None:
            if new_stretch is not None and self._greeting_began_at is None:
                self._greeting_began_at = new_stretch
                self._bot_spoke = True
            return
        ended_at = self._time_of(exchange.speech_end)
        if new_stretch is not None and new_stretch >= ended_at:
            self._bot_spoke = True
            if exchange.answer_began_at is None:
                exchange.answer_began_at = new_stretch
                self._close_exchange(new_stretch)
        elif exchange.answer_began_at is None:
            spoken_at = self._time_of(exchange.speech_start)
            if self._ear.last_sound_at > spoken_at >= self._ear.stretch_began_at:
                exchange.barges_in = True
            if exchange.barges_in:
                exchange.bot_sound_until = self._ear.last_sound_at

    def _close_exchange(self, now: float) -> None:
        """The answer to the last turn began, or none came: tell its latencies, once."""
        exchange = self._current
        if exchange is None or exchange.reported:
            return
        exchange.reported = True
        data: dict[str, Any] = {
            "turn": exchange.number,
            "name": exchange.utterance.name,
            "voice_to_voice_ms": self._voice_to_voice_ms(exchange),
        }
        if self.pace.interrupt_s is not None:
            data["barge_in_ms"] = self._barge_in_ms(exchange)
        self._report("turn", now, **data)

    def _voice_to_voice_ms(self, exchange: TurnExchange) -> int | None:
        if exchange.answer_began_at is None:
            return None
        return round((exchange.answer_began_at - self._time_of(exchange.speech_end)) * 1000)

    def _barge_in_ms(self, exchange: TurnExchange) -> int | None:
        if not exchange.barges_in:
            return None
        return round((exchange.bot_sound_until - self._time_of(exchange.speech_start)) * 1000)

    # ------------------------------------------------------------------ events

    def _on_conversation(self, event: Conversation, now: float) -> None:
        data = event.data
        if event.name not in _IN_PASSING:
            self._event_at = now
        match event.name:
            case "user_turn":
                self._report("user", now, text=str(data.get("text", "")))
            case "bot_turn":
                interrupted = bool(data.get("interrupted", False))
                # What was cut off is no answer, and neither is what ends while the caller speaks.
                if not interrupted and not self._mid_speech(now):
                    self._bot_finished = self._bot_spoke = True
                self._report("bot", now, text=str(data.get("text", "")), interrupted=interrupted)
            case "tool":
                self._on_tool(data, now)
            case "tool_result":
                self._tools_running.discard(data.get("number"))
            case "latency":
                self._report("latency", now, **data)
            case "error":
                self._report("error", now, **data)

    def _mid_speech(self, now: float) -> bool:
        return self._current is not None and now < self._time_of(self._current.speech_end)

    def _on_tool(self, data: dict[str, Any], now: float) -> None:
        """A tool is called; `tool_result`, of the same number, tells that it has returned."""
        name, arguments = str(data.get("name", "")), data.get("arguments", {})
        self._tools_running.add(data.get("number"))
        self._bot_finished = False  # there is an answer to come that knows the result
        self._report("tool", now, name=name, arguments=arguments)

    def _report(self, event: Any, now: float, **data: Any) -> None:
        self._reports.append(CallReport(event, round(now - self._dialled_at, 3), data))

    # ------------------------------------------------------------------ the end

    def _end(self, reason: EndReason, detail: str, now: float) -> None:
        self._close_exchange(now)
        self._state = _CallerState.OVER
        answered = self._answered_at
        voice_to_voice = tuple(ms for e in self._exchanges if (ms := self._voice_to_voice_ms(e)) is not None)
        barge_in = tuple(ms for e in self._exchanges if (ms := self._barge_in_ms(e)) is not None)
        self.outcome = outcome = CallOutcome(
            reason=reason,
            detail=detail,
            answered=answered is not None,
            duration_s=round(now - answered, 3) if answered is not None else 0.0,
            voice_to_voice_ms=voice_to_voice,
            barge_in_ms=barge_in if self.pace.interrupt_s is not None else (),
            turns=len(self._exchanges),
            failure=self._failure(reason, detail),
        )
        self._report(
            "ended",
            now,
            reason=reason.value,
            detail=detail,
            duration_s=outcome.duration_s,
            turns=outcome.turns,
            median_ms=round(median(voice_to_voice)) if voice_to_voice else None,
            max_ms=max(voice_to_voice, default=None),
        )

    def _failure(self, reason: EndReason, detail: str) -> str | None:
        because = f": {detail}" if detail else ""
        if self._timed_out:
            return f"the call was not over after {self.pace.limit_s:g} s (--timeout)"
        if self._answered_at is None:
            return f"the call was not answered ({reason.value}{because})"
        if reason not in (EndReason.AGENT_HANGUP, EndReason.CALLER_HANGUP):
            return f"the call ended with {reason.value}{because}"
        return None

    def _through_line(self, pcm: Pcm) -> Pcm:
        return ulaw_decode(ulaw_encode(np.ascontiguousarray(pcm))) if self._telephone else pcm
