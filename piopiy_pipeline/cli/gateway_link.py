"""The caller's end of a call over a gateway: what `piopiy call` sends and hears, without I/O.

It is a `testing.line.callers.CallerEnd`, so the callers of the test harness can use it, too. The shell beside
it (`place_call`) carries it over a WebSocket: it passes events and audio in, calls `tick` at the time
`next_due`, and sends what `take_messages` returns.

The clock of this end counts samples: a frame is sent when its last sample is due, as a telephone sends it,
and sample p was spoken at ``answered + p / rate``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import FRAME_S, frame_samples
from piopiy_pipeline.call import EndReason, ended_well
from piopiy_pipeline.cli.call_report import AnswerTimes, CallOutcome, CallReport, PlacedSound, TurnExchange
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
from piopiy_pipeline.signaling.messages import DataMessage, Dtmf, dump
from piopiy_pipeline.testing.line.heard_playout import HeardPlayout
from piopiy_pipeline.testing.line.line import Line, LineSound
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector
from piopiy_pipeline.testing.line.turn_taking import GATEWAYS_OWN
from piopiy_pipeline.testing.line.utterance_audio import Recording

__all__ = ["NO_DETAIL", "GatewayLink"]

_CATCH_UP_S = 1.0  # a process that slept longer than this does not send what it slept through
_LEAVE_S = 3.0  # how long the gateway may take to confirm a hang-up
_WAITS_S = 2.0  # a bot that is there has answered by then; one that is being started has not
_CAUSED = frozenset({EndReason.ERROR, EndReason.SETUP_TIMEOUT, EndReason.AGENT_LOST, EndReason.UNREACHABLE})
"""Ends that say little without their detail."""
NO_DETAIL = "the gateway tells callers no more: its log and the record of the call say why"
_ALIGN_S = 0.1  # a received frame this close to the end of the one before follows it without a gap


class _State(Enum):
    DIALLING = auto()
    TALKING = auto()
    LEAVING = auto()
    OVER = auto()


class GatewayLink:
    """One call from the caller's side. Make it inside a running loop, whose clock it uses, in seconds.

    Args:
        start: The message that opens the call. Its rate is that of both directions.
        limit_s: The caller hangs up so many seconds after they dialled.
        tells_barge_in: Whether reports say how long the bot spoke on after an interruption.
    """

    def __init__(self, start: CallStart, *, limit_s: float = 300.0, tells_barge_in: bool = False) -> None:
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self.caller_rate = rate = int(start.rate)
        self.line = Line(codec="pcmu" if rate == 8000 else "linear")
        self.detector = SpeechDetector(rate)
        self.on_tick: Callable[[float], None] | None = None
        self.on_event: Callable[[str, dict[str, Any]], None] | None = None
        self.answered = asyncio.Event()
        """Set when the call is answered."""
        self.answered_at = inf
        self.outcome: CallOutcome | None = None
        """How the call went, when it is over."""
        self._limit_s = limit_s
        self._tells_barge_in = tells_barge_in
        self._dialled_at = self.now()
        self._state = _State.DIALLING
        self._timed_out = False
        self._leave_by = inf
        self._wait_told_at = inf
        self._zero = inf  # when the first sample was spoken
        self._frame = frame_samples(rate)
        self._sent = 0  # samples
        self._heard_end = 0  # where in the recording the last received audio ends
        self._muted_until = -inf
        self._utterances: deque[tuple[Recording, asyncio.Future[None]]] = deque()
        self._began: int | None = None  # the position of the utterance under way
        self._spoke_until = -inf
        self._source = "bot"  # whose sound is heard, as the gateway says it
        self._losses = 0
        self._parts: dict[str, Any] | None = (
            None  # of an answer that is on its way: its turn is told of first
        )
        self._times = AnswerTimes(self.detector, self._report_turn)
        self._playout = HeardPlayout(rate)
        self._messages: list[bytes | str] = [dump(start)]
        self._reports: list[CallReport] = []
        self._sounds: list[PlacedSound] = []
        self._sent_sound = LineSound(self.line, rate=rate, seed=0)
        self._heard_sound = LineSound(self.line, rate=rate, seed=0)
        noise = np.random.default_rng(0).integers(-1, 2, rate, dtype=np.int16)
        self._dither = self._through(self._sent_sound, noise)

    # ------------------------------------------------------------------ the shell asks

    @property
    def over(self) -> bool:
        """Whether the call has ended. If it has, `outcome` is set."""
        return self._state is _State.OVER

    @property
    def next_due(self) -> float:
        """The time at which `tick` must be called next, on the loop's clock."""
        match self._state:
            case _State.OVER:
                return inf
            case _State.LEAVING:
                return self._leave_by
            case _State.DIALLING:
                return min(self._dialled_at + self._limit_s, self._wait_told_at)
            case _State.TALKING:
                return min(self._dialled_at + self._limit_s, self._time_of(self._sent + self._frame))

    @property
    def position(self) -> int:
        """How many samples have been sent, which is how far the recording has come."""
        return self._sent

    def progress(self) -> tuple[str, float, float] | None:
        """Return what the caller is saying: its name, the seconds that were said, and its length in seconds."""
        if self._began is None or self._state is not _State.TALKING:
            return None
        recording = self._utterances[0][0]
        said, size = self._sent - self._began, len(recording.pcm) // 2
        return recording.name, said / self.caller_rate, size / self.caller_rate

    def bot_speaking(self) -> bool:
        """Return whether the bot can be heard."""
        return self._state is _State.TALKING and self.detector.sounding(self.now())

    def take_messages(self) -> list[bytes | str]:
        """Return what is to be sent now, in order: audio as bytes, events as text."""
        messages, self._messages = self._messages, []
        return messages

    def take_reports(self) -> list[CallReport]:
        """Return what happened since the last time."""
        reports, self._reports = self._reports, []
        return reports

    def take_sounds(self) -> list[PlacedSound]:
        """Return the audio of both sides since the last time. Call it at least every second."""
        sounds, self._sounds = self._sounds, []
        return sounds

    # ------------------------------------------------------------------ the caller acts (CallerEnd)

    @property
    def speaks_until(self) -> float:
        """When the speech in progress ends, or the last one has ended; infinity while it has not begun."""
        return inf if len(self._utterances) > (self._began is not None) else self._spoke_until

    def speak(self, recording: Recording) -> asyncio.Future[None]:
        """Say a recording from the next frame on, or after the one in progress. The future is done when it
        was said.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._state is _State.TALKING:
            self._utterances.append((recording, done))
        else:
            done.set_result(None)
        return done

    def press(self, key: str) -> None:
        """Send one DTMF key to the bot."""
        self._messages.append(dump(Dtmf(digits=key)))

    def message(self, data: dict[str, object]) -> None:
        """Send a message of the client's application to the bot."""
        self._messages.append(dump(DataMessage(data=data)))

    def mute(self, seconds: float) -> None:
        """Send no audio for so many seconds."""
        self._muted_until = max(self._muted_until, self.now() + seconds)

    def hang_up(self) -> None:
        """Hang up. If the gateway does not confirm it within 3 s, the call is over all the same."""
        if self._state in (_State.DIALLING, _State.TALKING):
            self._state = _State.LEAVING
            self._leave_by = self.now() + _LEAVE_S
            self._messages.append(dump(Leave()))
            self._stop_speaking()

    # ------------------------------------------------------------------ the gateway says something

    def on_message(self, event: LegEvent) -> None:
        """Handle a message of the gateway."""
        match event:
            case _ if self._state is _State.OVER:
                return
            case Ringing():
                self._wait_told_at = self.now() + _WAITS_S
                self._report("ringing", call_id=event.call_id)
            case Answered() if self._state is _State.DIALLING:
                self._state = _State.TALKING
                self.answered_at = self._zero = self.now()
                self._report("answered")
                self.answered.set()
            case Conversation():
                self._on_conversation(event)
            case LegEnded():
                self._end(event.reason, event.detail)
            case LegFault():
                self._end(
                    EndReason.ERROR, f"the gateway did not understand: {event.detail}", by_protocol=True
                )
            case _:  # keys and application messages mean nothing to a scripted caller
                return

    def on_audio(self, data: bytes) -> None:
        """Take audio of the bot, which is heard from now on: PCM16 little-endian mono at the call's rate."""
        if self._state not in (_State.TALKING, _State.LEAVING):
            return
        now = self.now()
        pcm = self._through(self._heard_sound, np.frombuffer(data[: len(data) & ~1], "<i2"))
        arrived = round((now - self._zero) * self.caller_rate)
        if abs(arrived - self._heard_end) < _ALIGN_S * self.caller_rate:
            arrived = self._heard_end
        self._heard_end = arrived + pcm.size
        self._sounds.append(PlacedSound("right", arrived, pcm))
        self._playout.audio(pcm.size, now)
        if self._source in GATEWAYS_OWN:
            return  # no answer: the caller waits over it (`TurnTaking`)
        self._times.heard(self.detector.hear(pcm, now))

    def on_unreadable(self, detail: str) -> None:
        """Take note that the gateway has sent something that cannot be read."""
        if self._state is not _State.OVER:
            self._end(EndReason.ERROR, f"the gateway sent something unknown: {detail}", by_protocol=True)

    def on_lost(self, detail: str) -> None:
        """Take note that the connection is lost: the gateway has died, or the network.

        Args:
            detail: The reason, or an empty text if it is not known.
        """
        if self._state is _State.LEAVING:
            self._end(EndReason.CALLER_HANGUP, "")
        elif self._state is not _State.OVER:
            because = f" ({detail})" if detail else ""
            self._end(EndReason.GATEWAY_LOST, f"the connection to the gateway was lost{because}")

    def _on_conversation(self, event: Conversation) -> None:
        data = event.data
        match event.name:
            case "user_turn":
                self._report("user", text=str(data.get("text", "")))
            case "bot_turn":
                interrupted = bool(data.get("interrupted", False))
                self._report("bot", text=str(data.get("text", "")), interrupted=interrupted)
            case "tool":
                self._report("tool", name=str(data.get("name", "")), arguments=data.get("arguments", {}))
            case "latency":
                self._tell_parts()
                self._parts = data
                exchanges = self._times.exchanges
                if not exchanges or exchanges[-1].reported:
                    self._tell_parts()
            case "sound":
                self._on_source(str(data.get("of", "")))
            case "error":
                self._report("error", **data)
        if self.on_event is not None:
            self.on_event(event.name, data)

    def _on_source(self, source: str) -> None:
        before, self._source = self._source, source
        if source == "nobody":
            self._losses += 1
            self._report("lost")
        elif before == "nobody":
            self._report("resumed")

    def _tell_parts(self) -> None:
        parts, self._parts = self._parts, None
        if parts is not None:
            self._report("latency", **parts)

    # ------------------------------------------------------------------ time passes

    def tick(self) -> None:
        """Send the frames that are due, or give up a call that takes too long."""
        now = self.now()
        if self._state is _State.LEAVING:
            if now >= self._leave_by:
                self._end(EndReason.CALLER_HANGUP, "the gateway did not confirm it")
            return
        if self._state is not _State.OVER and now - self._dialled_at >= self._limit_s:
            self._timed_out = True
            self.hang_up()
        if self._state is _State.DIALLING and now >= self._wait_told_at:
            self._wait_told_at = inf
            self._report("waiting")
        if self._state is not _State.TALKING:
            return
        late = now - self._time_of(self._sent + self._frame)
        if late > _CATCH_UP_S:
            self._zero += late
        while self._state is _State.TALKING and (due := self._time_of(self._sent + self._frame)) <= now:
            self._send_frame(due)
            if self.on_tick is not None:
                self.on_tick(due)

    def _time_of(self, position: int) -> float:
        """Return when the caller speaks the sample at `position`."""
        return self._zero + position / self.caller_rate

    def _send_frame(self, due: float) -> None:
        frame = self._next_frame()
        if due > self._muted_until:
            self._sounds.append(PlacedSound("left", self._sent, frame))
            self._messages.append(frame.astype("<i2", copy=False).tobytes())
        self._sent += self._frame

    def _next_frame(self) -> NDArray[np.int16]:
        # Faint noise and no digital silence: a line that is open.
        offset = self._sent % (self.caller_rate - self._frame)
        frame = self._dither[offset : offset + self._frame]
        if not self._utterances:
            return frame
        recording, done = self._utterances[0]
        if self._began is None:
            self._began = self._sent
            began_at = self._time_of(self._sent)
            self._spoke_until = began_at + recording.speech.end / self.caller_rate
            self._times.began(recording, began_at, self.caller_rate)
        pcm = np.frombuffer(recording.pcm, "<i2")
        part = pcm[self._sent - self._began :][: self._frame]
        frame = np.concatenate([self._through(self._sent_sound, part), frame[part.size :]])
        if self._sent + self._frame - self._began >= pcm.size:
            self._utterances.popleft()
            self._began = None
            if not done.done():
                done.set_result(None)
        return frame

    def _stop_speaking(self) -> None:
        self._spoke_until = min(self._spoke_until, self.now())
        self._began = None
        while self._utterances:
            _, done = self._utterances.popleft()
            if not done.done():
                done.set_result(None)

    # ------------------------------------------------------------------ the end

    def _end(self, reason: EndReason, detail: str, *, by_protocol: bool = False) -> None:
        self._times.close()
        self._state = _State.OVER
        self._stop_speaking()
        answered, exchanges = self.answered.is_set(), self._times.exchanges
        voice_to_voice = tuple(ms for each in exchanges if (ms := each.voice_to_voice_ms) is not None)
        barge_in = tuple(ms for each in exchanges if (ms := each.barge_in_ms) is not None)
        self.outcome = outcome = CallOutcome(
            reason=reason,
            detail=detail,
            answered=answered,
            duration_s=round(self.now() - self.answered_at, 3) if answered else 0.0,
            voice_to_voice_ms=voice_to_voice,
            barge_in_ms=barge_in if self._tells_barge_in else (),
            gaps_ms=tuple(round(1000 * gap_s) for gap_s in self._playout.gaps_s(-inf) if gap_s >= FRAME_S),
            turns=len(exchanges),
            failure=self._failure(reason, detail),
            by_protocol=by_protocol,
            recoveries=self._losses,
        )
        self._report(
            "ended",
            reason=reason.value,
            detail=detail,
            duration_s=outcome.duration_s,
            turns=outcome.turns,
            median_ms=round(median(voice_to_voice)) if voice_to_voice else None,
            max_ms=max(voice_to_voice, default=None),
            recoveries=outcome.recoveries,
        )

    def _failure(self, reason: EndReason, detail: str) -> str | None:
        because = f": {detail}" if detail else ""
        if self._timed_out:
            return f"the call was not over after {self._limit_s:g} s (--timeout)"
        if not detail and reason in _CAUSED:
            because = f"; {NO_DETAIL}"
        if not self.answered.is_set():
            return f"the call was not answered ({reason.value}{because})"
        if not ended_well(reason):
            return f"the call ended with {reason.value}{because}"
        return None

    def _report_turn(self, exchange: TurnExchange) -> None:
        data = {
            "turn": exchange.number,
            "name": exchange.name,
            "voice_to_voice_ms": exchange.voice_to_voice_ms,
        }
        if self._tells_barge_in:
            data["barge_in_ms"] = exchange.barge_in_ms
        self._report("turn", **data)
        self._tell_parts()

    def _report(self, event: Any, **data: Any) -> None:
        self._reports.append(CallReport(event, round(self.now() - self._dialled_at, 3), data))

    def _through(self, sound: LineSound, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        return np.frombuffer(sound.process(pcm.astype("<i2", copy=False).tobytes()), "<i2")
