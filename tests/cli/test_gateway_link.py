"""A caller's script over a gateway link, driven by a virtual clock against a bot of a few lines.

The pacing rule (`testing.line.turn_taking`) and the speech detector are tested here too: the same callers speak
in simulated calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import FRAME_S, frame_samples
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome, CallReport, PlacedSound
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.narration import _summary
from piopiy_pipeline.signaling.caller import Answered, CallStart, Conversation, LegEnded, Ringing
from piopiy_pipeline.testing import Caller, CallerLine, Habits
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop

RATE: Literal[16000] = 16000
DIALLED = 1000.0
LOUD = np.full(frame_samples(RATE), 5000, np.int16)


def utterance(speech_s: float = 1.0, *, lead_s: float = 0.2, tail_s: float = 0.3) -> NDArray[np.int16]:
    lead, speech, tail = (round(s * RATE) for s in (lead_s, speech_s, tail_s))
    pcm = np.zeros(lead + speech + tail, np.int16)
    pcm[lead : lead + speech] = 8000
    return pcm


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for call in Call.made:
        call.close()
    Call.made.clear()


class Call:
    """A caller on a virtual clock, and the bot at the other end of its line."""

    made: ClassVar[list[Call]] = []

    def __init__(
        self,
        script: list[NDArray[np.int16]],
        *,
        rate: Literal[8000, 16000] = RATE,
        interrupt_s: float | None = None,
        limit_s: float = 300.0,
        **habits: Any,
    ) -> None:
        self.made.append(self)
        self.loop = VirtualLoop(limit_s=1000)
        caller = Caller(habits=Habits(**{"hangup_after_s": 15.0, **habits}))
        for turn in script:
            if interrupt_s is None:
                caller = caller.say(turn, name="turn.wav")
            else:
                caller = caller.interrupt(turn, after=interrupt_s, name="turn.wav", insist=False)
        self.messages: list[bytes | str] = []
        self.sent_at: list[float] = []
        self.reports: list[CallReport] = []
        self.sounds: list[PlacedSound] = []
        self.on_frame: Callable[[NDArray[np.int16]], None] = lambda _: None
        self.loop.run_until_complete(self._dial(caller, rate, limit_s, interrupt_s is not None))
        self.collect()

    async def _dial(
        self, caller: Caller, rate: Literal[8000, 16000], limit_s: float, barges_in: bool
    ) -> None:
        self.link = GatewayLink(CallStart(rate=rate), limit_s=limit_s, tells_barge_in=barges_in)

        async def calling() -> None:
            await self.link.answered.wait()
            await caller(CallerLine(self.link))
            self.link.hang_up()

        self.calling = asyncio.create_task(calling())

    def close(self) -> None:
        self.calling.cancel()
        self.settle()
        self.loop.close()

    def settle(self) -> None:
        """Let the caller do what they can do now."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    @property
    def now(self) -> float:
        return self.loop.now

    @now.setter
    def now(self, now: float) -> None:
        self.loop.now = now

    @property
    def outcome(self) -> CallOutcome:
        assert self.link.outcome is not None, "the call is not over"
        return self.link.outcome

    def collect(self) -> None:
        self.settle()
        for message in self.link.take_messages():
            self.messages.append(message)
            if isinstance(message, bytes):
                self.sent_at.append(self.now)
                self.on_frame(np.frombuffer(message, np.int16))
        self.reports += self.link.take_reports()
        self.sounds += self.link.take_sounds()

    def answer(self) -> None:
        self.event(Ringing(call_id="c1"))
        self.event(Answered())

    def event(self, event: Any) -> None:
        self.link.on_message(event)
        self.collect()

    def tell(self, event: Any, /, **data: Any) -> None:
        self.event(Conversation(at=0.0, name=event, data=data))

    def run(self, seconds: float, *, bot: NDArray[np.int16] | None = None) -> None:
        """Time passes, 10 ms at a time; with `bot`, that frame comes every 20 ms."""
        for step in range(round(seconds * 100)):
            if bot is not None and step % 2 == 0:
                self.link.on_audio(bot.tobytes())
            self.now += 0.01
            if self.now >= self.link.next_due - 1e-9:
                self.now += 1e-9
                self.link.tick()
            self.collect()

    def bot_says(self, seconds: float, text: str = "hello", *, interrupted: bool = False) -> None:
        self.run(seconds, bot=LOUD)
        self.tell("bot_turn", text=text, interrupted=interrupted)

    def frames(self) -> NDArray[np.int16]:
        return np.concatenate([np.frombuffer(m, np.int16) for m in self.messages if isinstance(m, bytes)])

    def said_at(self) -> list[float]:
        """When each of the caller's turns began to be heard, in seconds since the answer."""
        loud = np.flatnonzero(np.abs(self.frames().astype(int)) > 4000)
        starts = loud[np.flatnonzero(np.diff(loud, prepend=-RATE) > RATE // 10)]
        return [float(s) / RATE for s in starts]

    def reports_of(self, event: str) -> list[dict[str, Any]]:
        return [report.data for report in self.reports if report.event == event]


def hung_up(call: Call) -> bool:
    return any(isinstance(m, str) and json.loads(m)["event"] == "hangup" for m in call.messages)


def test_the_first_message_opens_the_call_and_no_audio_flows_before_the_answer() -> None:
    call = Call([utterance()])
    call.run(3.0)
    assert [json.loads(m)["event"] for m in call.messages] == ["start"]
    call.answer()
    call.run(0.1)
    assert len(call.sent_at) == 5
    assert [r.event for r in call.reports] == ["ringing", "answered"]
    assert call.reports[1].at == pytest.approx(3.0, abs=0.02)


def test_a_call_that_rings_for_long_says_that_it_waits_for_the_bot_once() -> None:
    call = Call([utterance()])
    call.event(Ringing(call_id="c1"))
    call.run(1.9)
    assert call.reports_of("waiting") == []
    call.run(10)
    assert len(call.reports_of("waiting")) == 1
    call.answer()
    call.run(1)
    assert [r.event for r in call.reports][-1] == "answered"


def test_frames_never_drift_however_late_the_ticks_are() -> None:
    call = Call([])
    call.answer()
    answered = call.now
    for late in (0.021, 0.027, 0.033, 0.5, 0.001, 0.022) * 20:
        call.now = max(call.now, call.link.next_due) + late
        call.link.tick()
        call.collect()
        assert abs(len(call.sent_at) - (call.now - answered) / FRAME_S) <= 1


def test_what_a_suspended_process_slept_through_is_not_sent() -> None:
    call = Call([])
    call.answer()
    call.run(1.0)
    call.now += 10.0
    call.link.tick()
    call.collect()
    assert len(call.sent_at) <= 52
    call.run(1.0)
    assert 99 <= len(call.sent_at) <= 103


def test_the_caller_speaks_half_a_second_after_the_bot_has_finished() -> None:
    call = Call([utterance(lead_s=0.0)])
    call.answer()
    call.bot_says(2.0)
    call.run(2.0)
    assert call.said_at() == [pytest.approx(2.5, abs=0.04)]


def test_a_pause_in_the_bots_speech_is_not_its_end() -> None:
    call = Call([utterance(lead_s=0.0)])
    call.answer()
    call.run(1.0, bot=LOUD)
    call.run(1.5)
    call.bot_says(1.0)
    call.run(2.0)
    assert call.said_at() == [pytest.approx(4.0, abs=0.04)]


def test_without_a_report_of_the_bots_turn_the_caller_waits_a_bounded_time() -> None:
    call = Call([utterance(lead_s=0.0)], patience_s=2.5)
    call.answer()
    call.run(1.0, bot=LOUD)
    call.run(4.0)
    assert call.said_at() == [pytest.approx(3.5, abs=0.04)]


def test_a_bot_that_says_nothing_gets_all_turns_all_the_same() -> None:
    call = Call([utterance(lead_s=0.0), utterance(lead_s=0.0)], no_greeting_s=4, no_answer_s=8)
    call.answer()
    call.run(20.0)
    assert call.said_at() == [pytest.approx(4.0, abs=0.04), pytest.approx(13.0, abs=0.04)]
    assert call.reports_of("turn")[0] == {"turn": 1, "name": "turn.wav", "voice_to_voice_ms": None}


def test_silence_that_the_bot_sends_is_no_speech() -> None:
    call = Call([utterance(lead_s=0.0)])
    call.answer()
    call.bot_says(1.0)
    call.run(2.0, bot=np.full(320, 20, np.int16))
    assert call.said_at() == [pytest.approx(1.5, abs=0.04)]


def test_the_caller_waits_for_the_answer_that_follows_a_tool() -> None:
    call = Call([utterance(0.5, lead_s=0, tail_s=0), utterance(lead_s=0)])
    call.answer()
    call.bot_says(0.5)
    call.run(1.2)  # the first turn: 1.0 to 1.5
    call.bot_says(0.5, "one moment")
    call.tell("tool", number=1, name="book", arguments={"people": 4})
    call.run(2.0)
    call.tell("tool_result", number=1, name="book", result="ok")
    call.bot_says(0.5, "booked")
    finished = (call.now - DIALLED) + 0.5
    call.run(1.0)
    assert call.said_at() == [pytest.approx(1.0, abs=0.04), pytest.approx(finished, abs=0.04)]
    assert call.reports_of("tool") == [{"name": "book", "arguments": {"people": 4}}]


def test_the_latency_runs_from_the_last_sample_of_speech_to_the_first_of_the_answer() -> None:
    call = Call([utterance(1.0, lead_s=0.2, tail_s=0.5)])
    call.answer()
    call.bot_says(1.0)
    call.run(2.7)  # begins at 1.5, speech until 2.7
    call.run(0.3)
    late = LOUD.copy()
    late[:160] = 0
    call.link.on_audio(late.tobytes())
    call.collect()
    begins = call.now - DIALLED + 0.01
    (turn,) = call.reports_of("turn")
    assert turn["voice_to_voice_ms"] == pytest.approx((begins - 2.7) * 1000, abs=21)
    assert "barge_in_ms" not in turn


@pytest.mark.parametrize("source", ["nobody", "hold"])
def test_the_gateways_own_sound_is_no_answer_and_is_waited_over(source: str) -> None:
    call = Call([utterance(lead_s=0.0), utterance(lead_s=0.0)], no_answer_s=8)
    call.answer()
    call.bot_says(1.0)
    call.run(1.5)  # the first turn: 1.5 to 2.5
    call.tell("sound", of=source)
    call.run(20.0, bot=LOUD)
    assert len(call.said_at()) == 1
    assert call.link.outcome is None
    call.tell("sound", of="bot")
    call.bot_says(1.0)
    call.run(3.0)
    assert len(call.said_at()) == 2
    first = call.reports_of("turn")[0]
    assert first["voice_to_voice_ms"] > 19_900, "until the bot is heard"
    told = [report.event for report in call.reports if report.event in ("lost", "resumed")]
    assert told == (["lost", "resumed"] if source == "nobody" else [])
    call.event(LegEnded(reason=EndReason.AGENT_HANGUP))
    (ended,) = call.reports_of("ended")
    assert ended["recoveries"] == call.outcome.recoveries == (source == "nobody")
    assert ("the bot was lost once" in _summary(call.outcome)) == (source == "nobody")
    assert call.outcome.failure is None, "the caller was served to the end"


@pytest.mark.parametrize("early", [False, True])
def test_the_parts_of_a_latency_are_told_behind_their_turn(early: bool) -> None:
    call = Call([utterance(lead_s=0.0)])
    call.answer()
    call.tell("latency", total_s=0.1)
    call.bot_says(1.0)
    call.run(2.5)
    if early:
        call.tell("latency", total_s=0.9)
    call.run(0.1, bot=LOUD)
    if not early:
        call.tell("latency", total_s=0.9)
    call.run(0.1)
    told = [report.event for report in call.reports if report.event in ("turn", "latency")]
    assert told == ["latency", "turn", "latency"]
    assert [parts["total_s"] for parts in call.reports_of("latency")] == [0.1, 0.9]


def test_an_interruption_comes_so_long_into_the_bots_speech_and_tells_when_it_fell_silent() -> None:
    call = Call([utterance(1.0, lead_s=0.1)], interrupt_s=1.0)
    call.answer()
    call.run(0.4)
    call.run(1.3, bot=LOUD)  # the speech began at 0.4; the turn begins at 1.4, its speech at 1.5
    call.tell("bot_turn", text="hel", interrupted=True)
    call.run(1.5)
    call.run(0.1, bot=LOUD)
    assert call.said_at() == [pytest.approx(1.5, abs=0.04)]
    (turn,) = call.reports_of("turn")
    assert turn["barge_in_ms"] == pytest.approx(200, abs=40)
    assert turn["voice_to_voice_ms"] == pytest.approx((3.2 - 2.5) * 1000, abs=40)


def test_the_turn_that_was_interrupted_is_no_answer_to_the_interruption() -> None:
    call = Call([utterance(0.3, lead_s=0, tail_s=0), utterance(lead_s=0)], interrupt_s=0.5)
    call.answer()
    call.run(0.7, bot=LOUD)
    call.run(0.5)
    call.tell("bot_turn", text="hel", interrupted=True)
    call.run(2.0)
    assert len(call.said_at()) == 1


def test_a_bot_that_talks_on_is_silent_only_when_it_stops() -> None:
    call = Call([utterance(1.0, lead_s=0.0)], interrupt_s=0.5)
    call.answer()
    call.run(3.0, bot=LOUD)
    call.run(1.0)
    call.run(0.1, bot=LOUD)
    assert call.reports_of("turn")[0]["barge_in_ms"] == pytest.approx(2500, abs=50)


def test_an_answer_too_short_to_interrupt_is_waited_for() -> None:
    call = Call([utterance(lead_s=0.0)], interrupt_s=3.0)
    call.answer()
    call.bot_says(1.0)
    call.run(2.0)
    call.run(0.1, bot=LOUD)
    assert call.said_at() == [pytest.approx(1.5, abs=0.04)]
    assert call.reports_of("turn")[0]["barge_in_ms"] is None


def test_between_turns_the_line_carries_faint_noise_and_no_digital_silence() -> None:
    call = Call([])
    call.answer()
    call.run(2.0)
    frames = call.frames()
    assert np.abs(frames).max() == 1
    assert len(set(frames.tolist())) == 3


def test_the_telephone_line_is_g711_in_both_directions() -> None:
    call = Call([], rate=8000)
    call.answer()
    call.run(0.1)
    ramp = np.arange(-16000, 16000, 100, dtype=np.int16)
    call.link.on_audio(ramp.tobytes())
    call.collect()
    heard = next(sound.pcm for sound in call.sounds if sound.side == "right")
    assert heard.tolist() != ramp.tolist()
    assert np.abs(heard.astype(int) - ramp).max() < 600
    assert set(np.abs(call.frames()).tolist()) <= {0, 8}


def test_both_sides_of_the_recording_are_placed_by_time_and_without_jitter() -> None:
    call = Call([])
    call.answer()
    call.run(1.0)
    for jitter in (0.0, 0.013, -0.009, 0.004):
        call.now += jitter
        call.link.on_audio(LOUD.tobytes())
        call.now -= jitter
        call.run(0.02)
    left = [s.position for s in call.sounds if s.side == "left"]
    right = [s.position for s in call.sounds if s.side == "right"]
    assert left == list(range(0, len(left) * 320, 320))
    assert np.diff(right).tolist() == [320, 320, 320]
    assert right[0] == pytest.approx(RATE, abs=2)


def test_partial_words_are_no_sign_of_life_and_a_latency_is_told_with_its_parts() -> None:
    call = Call([utterance(lead_s=0)], hangup_after_s=5.0)
    call.answer()
    call.bot_says(0.5)
    call.run(2.0)
    call.run(0.1, bot=LOUD)
    parts = {"silence_s": 0.2, "stt_s": 0.0, "turn_s": 0.4, "llm_s": 0.3, "tts_s": 0.1, "playout_s": 0.02}
    call.tell("latency", **parts, total_s=1.02)
    assert call.reports_of("latency") == [{**parts, "total_s": 1.02}]
    for _ in range(60):
        call.tell("bot_partial", text="never to the end")
        call.run(0.2)
    assert hung_up(call), "nothing was heard and nothing was done"
