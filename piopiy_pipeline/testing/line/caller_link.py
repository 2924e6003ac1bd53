"""The media link of a simulated call: a gateway's playout and a caller's telephone, in one process.

Every 20 ms the caller's voice goes to the bot and the bot's speech leaves the playout, as over
a gateway; either way may lead over an impaired path (`impairment`) and a jitter buffer. What the
caller says comes from outside: `speak()`, `press()`, `mute()`. `detector` follows what the caller hears.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.audio.playout import Playout
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.testing.line.between_agents import BetweenAgents
from piopiy_pipeline.testing.line.in_process_link import InProcessLink
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector
from piopiy_pipeline.testing.line.spoken_words import SpokenWords
from piopiy_pipeline.testing.line.utterance_audio import Recording
from piopiy_pipeline.testing.line.wire import Direction, Wire
from piopiy_pipeline.testing.report.event_log import EventLog
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["CallerLink"]

SOON_S = 1e-6
"""What the next agent hears at once came after it had begun to listen."""


@dataclass(slots=True)
class _OutgoingSpeech:
    """A recording that the caller is saying."""

    recording: Recording
    done: asyncio.Future[None]
    began_at: float | None = None
    place: int = 0  # in the log
    position: int = 0  # bytes that were said


class CallerLink(InProcessLink):
    """The caller's end of a simulated call, which plays the gateway for the bot.

    Args:
        rate: Sample rate of both directions in Hz, 8000 or 16000.
        log: Takes what happens on the line.
        seed: Decides everything that the line leaves to chance.
        line: What lies between the caller and the bot.
        on_answer: Called when the call is answered.
        on_hangup: Called when the caller hangs up.
    """

    def __init__(
        self,
        rate: int,
        log: EventLog,
        *,
        seed: int,
        line: Line,
        on_answer: Callable[[], None],
        on_hangup: Callable[[], None],
    ) -> None:
        super().__init__(caller_rate=rate, bot_rate=rate)
        self.line = line
        self.detector = SpeechDetector(rate)
        self.words = SpokenWords()
        self.held = False
        """Whether the caller is on hold: neither side hears the other, and the bot's speech waits."""
        self.deaf = False
        """Whether the bot has muted the caller."""
        self.on_tick: Callable[[float], None] | None = None
        """Called after every 20 ms with the loop's time."""
        self.on_event: Callable[[str, dict[str, Any]], None] | None = None
        """Called with the kind and the data of everything that is written into the log."""
        self._log = log
        log.listen(self._noted)
        self._silence = bytes(frame_bytes(rate))
        self._to_bot = self._wire(line, "to_bot", seed)
        self._to_caller = self._wire(line, "to_caller", seed)
        self._on_answer, self._on_hangup = on_answer, on_hangup
        self._is_answered = False
        self._between = BetweenAgents()
        self._utterances: deque[_OutgoingSpeech] = deque()
        self._spoke_until = self._muted_until = float("-inf")
        self._said = bytearray()
        self._heard = bytearray(self._silence)  # a frame that leaves the clock is heard from then on
        self._began_playing = False
        self._ran_dry: tuple[float, int] | None = None  # when, and its place in the log
        self._gaps = 0

    def _wire(self, line: Line, direction: Direction, seed: int) -> Wire | None:
        def lost(number: int) -> None:
            self._log.add("packet_lost", direction=direction, seq=number)

        wire = Wire(line, direction, rate=self.caller_rate, seed=seed, on_lost=lost)
        return None if wire.perfect else wire

    # ------------------------------------------------------------------ the caller

    @property
    def answered_at(self) -> float:
        """When the call was answered, in seconds of the loop's clock."""
        return self._log.zero

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return self._log.now()

    @property
    def speaks_until(self) -> float:
        """When the speech in progress ends, or the last one has ended; infinity while it has not begun."""
        if not self._utterances:
            return self._spoke_until
        last = self._utterances[-1]
        if last.began_at is None:
            return float("inf")
        return last.began_at + last.recording.speech.end / self.caller_rate

    @property
    def connected(self) -> bool:
        """Whether the call is answered and not over."""
        return self._is_answered and not self.closed

    @property
    def bot_playing(self) -> bool:
        """Whether the playout has speech to play."""
        return self.playout.playing or self.playout.buffered_s > 0

    def speak(self, recording: Recording) -> asyncio.Future[None]:
        """Say this from the next 20 ms on, or after what is being said. The future is done when it was said."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.closed:
            done.set_result(None)
        else:
            self._utterances.append(_OutgoingSpeech(recording, done))
        return done

    def press(self, key: str) -> None:
        """Press a key of the telephone."""
        self._log.add("dtmf", direction="to_bot", digits=key)
        if self.connected and self.listener is None:
            self._between.press(key)
        else:
            self.tell(Dtmf(digits=key))

    def message(self, data: dict[str, object]) -> None:
        """Send the bot a message of the client's application."""
        self.tell(DataMessage(data=data))

    def mute(self, seconds: float) -> None:
        """Send no audio at all from now on, for so long."""
        self._muted_until = max(self._muted_until, asyncio.get_running_loop().time() + seconds)

    def hang_up(self) -> None:
        """End the call from the caller's side."""
        if not self.closed:
            self.stop()
            self._on_hangup()

    def voices(self, seconds: float) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Return what the caller said and heard, int16 of shape ``[samples]``, for so many seconds after the
        answer.
        """
        size = round(seconds * self.caller_rate)
        said, heard = (np.frombuffer(bytes(pcm), np.int16) for pcm in (self._said, self._heard))
        return _fitted(said, size), _fitted(heard, size)

    def _noted(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "user_turn":
            self._between.user_turn()
        if self.on_event is not None:
            self.on_event(kind, data)

    # ------------------------------------------------------------------ called by the link

    def attach(self, listener: LinkListener) -> None:
        """Answer the call, because the bot is ready. The next agent hears what was said without one."""
        super().attach(listener)
        if not self._is_answered:
            self._is_answered = True
            asyncio.get_running_loop().call_soon(self._on_answer)
            return
        if (since := self._between.since) is not None:
            self.words.delay(since, self.now() + SOON_S)
        self._between.pass_on(listener)

    def lose_agent(self) -> None:
        """Fall silent: what the bot had sent ahead is not played. What the caller says is kept for the next one."""
        self._between.lose_agent()
        if self._began_playing:
            self._began_playing = False
            self._log.add("bot_stopped")
        self._flush_stop()
        self._gaps = 0
        super().lose_agent()

    def on_agent_event(self, event: Dtmf | DataMessage) -> None:
        if isinstance(event, Dtmf):
            self._log.add("dtmf", direction="to_caller", digits=event.digits)
        else:
            self._log.add("message", direction="to_caller", data=event.data)

    def on_clear(self) -> None:
        """Drop what has not left the playout, because of an interruption."""
        if self.bot_playing:
            self._log.add("interruption")
        if self._began_playing:
            self._began_playing = False
            self._log.add("bot_stopped")
        self._flush_stop()

    def on_hold(self) -> None:
        self._log.add("hold")

    def on_resume(self) -> None:
        self._log.add("resume")

    def on_closed(self) -> None:
        self._flush_stop()
        now = self._log.now()
        while self._utterances:
            self._finish(self._utterances.popleft(), now)

    # ------------------------------------------------------------------ every 20 ms

    def on_frame_tick(self, now: float) -> None:
        self._hear(now)
        self._say(now)
        if self.on_tick is not None:
            self.on_tick(now)

    def _hear(self, now: float) -> None:
        """Let the bot's next 20 ms leave the playout. The packets of a caller on hold go on, with silence in them."""
        frame = None
        if self.held:
            self.playout.pause()
        else:
            frame = self.play(now)
        if self._ran_dry is not None and now - self._ran_dry[0] > Playout.GAP_S:
            self._flush_stop()
        if self._to_caller is not None:
            frame = self._to_caller.carry(frame or self._silence, now)
        self._heard += frame or self._silence
        if frame is not None:
            self.detector.hear(np.frombuffer(frame, "<i2"), now)

    def on_bot_ran_dry(self, now: float) -> None:
        self._ran_dry, self._began_playing = (now, self._log.place()), False

    def on_bot_plays(self, now: float) -> None:
        if self._began_playing:
            return
        self._began_playing = True
        gaps, self._gaps = self._gaps, self.playout.gaps
        if gaps != self.playout.gaps and self._ran_dry is not None:
            dry_at, place = self._ran_dry
            if self._log.user_turn_at < dry_at:  # else it is another answer
                self._ran_dry = None
                self._log.add("gap", at=dry_at, place=place, seconds=round(now - dry_at, 3))
                return
        self._flush_stop()
        self._log.add("bot_audio")  # not at the frame tick's own time: a late one plays what came after that

    def _flush_stop(self) -> None:
        """Report that the bot had run dry, because that was not a gap."""
        if self._ran_dry is not None:
            at, place = self._ran_dry
            self._ran_dry = None
            self._log.add("bot_stopped", at=at, place=place)

    def _say(self, now: float) -> None:
        """Send the caller's last 20 ms to the bot."""
        frame = self._voice(now)
        muted = now <= self._muted_until
        self._said += self._silence if muted else frame
        if self._to_bot is not None:
            frame = self._to_bot.carry(self._silence if muted else frame, now)
        if muted or self.held or self.deaf:
            self._between.forget()
            self.words.skip(now - FRAME_S, now)
        else:
            self._between.say(frame, now, self.listener)

    def _voice(self, now: float) -> bytes:
        size = len(self._silence)
        frame = self._silence
        if self._utterances:
            utterance = self._utterances[0]
            pcm = utterance.recording.pcm
            if utterance.began_at is None:
                self._begin(utterance, now - FRAME_S)
            frame = pcm[utterance.position : utterance.position + size]
            utterance.position += size
            if utterance.position >= len(pcm):
                frame = frame.ljust(size, b"\0")
                self._finish(self._utterances.popleft(), now)
        return frame

    def _begin(self, utterance: _OutgoingSpeech, at: float) -> None:
        utterance.began_at = at
        utterance.place = self._log.place()
        recording = utterance.recording
        start, end = (at + sample / self.caller_rate for sample in recording.speech)
        if recording.text:
            self.words.add(start, end, recording.text)

    def _finish(self, utterance: _OutgoingSpeech, now: float) -> None:
        """Report an utterance that was said, or as much of it as there was time for."""
        if utterance.began_at is not None:
            start, end = (
                utterance.began_at + sample / self.caller_rate for sample in utterance.recording.speech
            )
            self._spoke_until = min(end, now)
            if start < now:
                zero = self.start
                self._log.add(
                    "user_speech",
                    at=start,
                    place=utterance.place,
                    start=round(start - zero, 6),
                    end=round(min(end, now) - zero, 6),
                    name=utterance.recording.name,
                )
            if end > now:
                self.words.cut(now)
        if not utterance.done.done():
            utterance.done.set_result(None)


def _fitted(pcm: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    return pcm[:size] if pcm.size >= size else np.pad(pcm, (0, size - pcm.size))
