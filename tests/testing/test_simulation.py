"""Whole calls in virtual time: what they tell, that they repeat, and what they say of a bot that hangs."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import Frame, StartFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    CallStuck,
    GilbertElliott,
    Habits,
    Impairment,
    LimitReached,
    Line,
    Providers,
    Transcripts,
    Voice,
    WallLimitReached,
    simulate,
    simulate_many,
)
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall
from tests.support.bots import CleanupHangs, SwallowsEnd, ask, hang_up_when_answered, voice
from tests.support.busy_machine import skip_if_overloaded
from tests.support.scripted_bot import BOOKING, PROVIDERS, booking_caller, create_session, words_of

ROOT = Path(__file__).parents[2]
BAD_LINE = Line(network=Impairment(delay_ms=30, jitter_ms=40, loss=GilbertElliott.bursts(loss=0.05)))


async def asks_after(call_id: str) -> None:
    """Begins no answer ahead, so that what its model takes is all heard."""
    await create_session(call_id, eager=False)


def book(bot: Callable[..., Any] = create_session, **options: Any) -> SimulatedCall:
    return simulate(bot, booking_caller(), providers=PROVIDERS, **options)


def test_a_call_of_half_a_minute_with_a_barge_in_and_tools() -> None:
    call = book()
    call.assert_ended("agent_hangup")
    call.assert_no_error()
    call.assert_no_gap()
    call.assert_tool("book_table", people=4)
    call.assert_understood("on friday at seven", turn=2)
    call.assert_interrupted(turn=1)
    call.assert_said("Thank you for calling, goodbye.", turn=3)
    assert [turn.number for turn in call.turns] == [0, 1, 2, 3]
    assert call.turns[0].bot == "Good day."
    assert 15 < call.duration_s < 40
    assert call.caller_audio.shape == call.bot_audio.shape == (round(call.duration_s * 16000),)


def test_the_latency_of_each_answer_is_the_sum_of_its_parts() -> None:
    call = book(asks_after)
    for turn in call.turns[1:]:
        assert turn.parts is not None
        assert turn.parts.voice_to_voice == pytest.approx(turn.voice_to_voice)
        assert 0.1 < turn.parts.silence < 0.4, "the VAD waits for 0.2 s of silence"
        silence_s = turn.parts.silence + turn.parts.stt + turn.parts.turn
        assert 0.2 < silence_s < 0.75, "0.2 s of silence after an answer, 0.55 s else, and a breath"
        assert turn.parts.stt <= 0.32, "as the script says, counted from the last word"
        assert turn.parts.tts == pytest.approx(0.15, abs=0.02)
        assert 0 <= turn.parts.playout <= 0.021
    models = [turn.parts.llm for turn in call.turns[1:] if turn.parts]
    assert models == pytest.approx([0.4, 0.8, 0.8], abs=0.02), "the model is asked again behind a tool"


def test_both_voices_are_where_the_events_say() -> None:
    call = book()
    for event in call.of("user_speech"):
        start, end = (round(event.data[key] * call.rate) for key in ("start", "end"))
        assert np.abs(call.caller_audio[start:end]).max() > 1000
        assert not call.caller_audio[end + call.rate // 2 : end + call.rate].any()
    for event in call.of("bot_audio"):
        at = round(event.at * call.rate)
        assert call.bot_audio[at : at + call.rate // 10].any()
        assert not call.bot_audio[at - call.rate // 20 : at].any()


def test_the_same_call_has_the_same_events_every_time_however_busy_the_machine_is() -> None:
    hashes = {book().event_hash() for _ in range(3)}
    others = [multiprocessing.get_context("spawn").Process(target=_spin) for _ in range(os.cpu_count() or 1)]
    for other in others:
        other.start()
    try:
        hashes |= {book().event_hash() for _ in range(3)}
    finally:
        for other in others:
            other.kill()
            other.join()
    assert len(hashes) == 1


def test_another_process_has_the_same_events() -> None:
    code = "from tests.testing.test_simulation import book; print(book(line=None, seed=3).event_hash())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert ran.stdout.split()[-1] == book(seed=3).event_hash()


def test_on_a_bad_line_the_seed_decides() -> None:
    first, again, other = (book(line=BAD_LINE, seed=seed) for seed in (1, 1, 2))
    assert first.event_hash() == again.event_hash()
    assert np.array_equal(first.bot_audio, again.bot_audio)
    assert other.event_hash() != first.event_hash()
    assert first.of("packet_lost")


def test_calls_at_the_same_time_are_as_alone() -> None:
    alone = book(seed=5)
    together = simulate_many(create_session, [booking_caller()] * 4, providers=PROVIDERS, seed=4)
    assert [call.seed for call in together] == [4, 5, 6, 7]
    assert [turn.bot for turn in together[1].turns] == [turn.bot for turn in alone.turns]
    assert together.percentile("voice_to_voice", 100) == pytest.approx(alone_worst(alone), abs=0.05)


def alone_worst(call: SimulatedCall) -> float:
    return max(turn.voice_to_voice for turn in call.turns if turn.voice_to_voice is not None)


@pytest.mark.realtime
def test_in_real_time_the_same_things_happen_at_the_same_times() -> None:
    """In real time because that is what virtual time is compared with."""
    people, when, yes = BOOKING

    async def caller(line: CallerLine) -> None:  # by the clock: whoever reacts adds up what they waited
        for at, recording in ((2.01, people), (7.51, when), (16.01, yes)):
            await line.at(at)
            await line.say(recording, text=words_of(recording))
        await line.silence(4)

    virtual, real = (
        simulate(create_session, caller, providers=PROVIDERS, clock=clock) for clock in ("virtual", "real")
    )
    ours, theirs = ([(e.kind, e.data.get("text")) for e in call.events] for call in (virtual, real))
    late = [(r.at - v.at, v.kind) for v, r in zip(virtual.events, real.events, strict=False)]
    if ours != theirs or max(abs(seconds) for seconds, _ in late) >= 0.06:
        skip_if_overloaded(f"{late}")
    assert ours == theirs
    assert max(abs(seconds) for seconds, _ in late) < 0.06, late


def test_the_file_of_a_bot_is_called_without_its_main(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "from tests.support.scripted_bot import create_session\n"
        "from piopiy.agent import Agent\n"
        "async def answer(call_id):\n"
        "    await create_session(call_id)\n"
        "async def main():\n"
        "    await Agent(agent_id='a', agent_token='t', create_session=answer).connect()\n"
        "if __name__ == '__main__':\n"
        "    raise AssertionError('main ran')\n"
    )
    call = simulate(bot, booking_caller(), providers=PROVIDERS)
    call.assert_tool("book_table", people=4)


def test_a_telephone_line_of_8_khz_is_one() -> None:
    call = book(rate=8000, line=Line(codec="pcmu"))
    assert call.rate == 8000
    call.assert_tool("book_table", people=4)


# ---------------------------------------------------------------------- bots that go wrong


class SwallowsStart(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, StartFrame):
            await self.push_frame(frame, direction)


async def stays(line: CallerLine) -> None:
    await line.pause(3600)


def test_a_stage_that_swallows_the_end_is_named() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, extra=SwallowsEnd(), greeting="Hello.")
        hang_up_when_answered(agent)
        await agent.start()

    with pytest.raises(
        CallStuck, match=r"stage 'extra' \(SwallowsEnd\.process_frame, bots\.py:\d+\)"
    ) as stuck:
        simulate(bot, stays)
    assert stuck.value.call is not None
    assert stuck.value.call.end_reason is EndReason.AGENT_HANGUP


def test_a_stage_that_swallows_the_start_is_named() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, extra=SwallowsStart())).start()

    with pytest.raises(
        CallStuck, match=r"did not answer within 10 s: stage 'extra' \(SwallowsStart\.process"
    ):
        simulate(bot, stays)


def test_a_stage_whose_cleanup_hangs_is_named() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, extra=CleanupHangs(), greeting="Hello.")
        hang_up_when_answered(agent)
        await agent.start()

    with pytest.raises(
        CallStuck, match=r"stage 'extra' \(CleanupHangs\.cleanup, bots\.py:\d+\) does not return"
    ):
        simulate(bot, stays)


def test_a_tool_that_never_returns_is_named() -> None:
    async def bot(call: Call) -> None:
        async def look_up(params: FunctionCallParams) -> None:
            """Look something up."""
            await asyncio.Event().wait()

        agent = await voice(call, replies=[("look_up", {})], tools=[look_up], tool_timeout_secs=1e9)
        ask(agent)
        await agent.start()

    with pytest.raises(CallStuck, match=r"the tool 'look_up' had not returned after \d+"):
        simulate(bot, stays)


def test_a_callback_that_blocks_the_loop_is_named_with_its_line() -> None:
    async def bot(call: Call) -> None:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass

    with pytest.raises(WallLimitReached, match=r"test_simulation\.py:\d+ in \S*bot blocks the event loop"):
        simulate(bot, stays, wall_limit_s=0.5)


def test_a_callback_that_never_answers_is_named_with_the_line_where_it_waits() -> None:
    async def bot(call: Call) -> None:
        await asyncio.Event().wait()

    with pytest.raises(
        CallStuck, match=r"did not answer within 10 s.*\n.*callback waits at \S*test_simulation"
    ):
        simulate(bot, stays)


def test_a_call_without_an_end_is_ended_and_shown() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.", idle_timeout_secs=None)).start()

    with pytest.raises(LimitReached, match=r"(?s)had not ended after 50 s.*test_simulation.*is heard"):
        simulate(bot, stays, limit_s=50)


def test_a_callback_that_raises_ends_the_call_with_an_error() -> None:
    async def bot(call: Call) -> None:
        raise LookupError("no such customer")

    call = simulate(bot, stays)
    call.assert_ended(EndReason.ERROR)
    assert "no such customer" in call.end_detail
    assert call.duration_s == 0


def test_a_failed_assertion_shows_the_call() -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)never said 'no such thing'.*caller  cuts in.*turn 1: answered"
    ):
        book().assert_said("no such thing")


def test_what_cannot_be_simulated_is_said_before_the_call() -> None:
    with pytest.raises(ValueError, match="rate=44100"):
        book(rate=44100)
    with pytest.raises(ValueError, match="clock='fast'"):
        book(clock="fast")
    with pytest.raises(TypeError, match="'wrong', which is not of a call"):
        simulate(_wants_too_much, stays)

    async def inside() -> None:
        book()

    with pytest.raises(RuntimeError, match="from a function, not from a coroutine"):
        asyncio.run(inside())


async def _wants_too_much(wrong: str) -> None: ...


def _spin() -> None:
    while True:
        sum(range(100_000))


# ---------------------------------------------------------------------- callers


def test_a_caller_may_be_a_coroutine_that_reacts() -> None:
    heard: list[str] = []
    people, when, _ = BOOKING

    async def caller(line: CallerLine) -> None:
        heard.append(await line.heard())
        await line.say(people, text=words_of(people))
        heard.append(await line.heard())
        if "which day" in heard[-1]:
            await line.say(when, text=words_of(when))
        heard.append(await line.until("anything else"))

    call = simulate(create_session, caller, providers=PROVIDERS)
    assert heard[0] == "Good day."
    assert heard[2] == "Your table is booked. Is there anything else?"
    call.assert_ended("caller_hangup")


def test_what_a_callers_coroutine_raises_is_raised() -> None:
    async def caller(line: CallerLine) -> None:
        assert "good night" in await line.heard(), "it was not polite"

    with pytest.raises(AssertionError, match="it was not polite"):
        simulate(create_session, caller, providers=PROVIDERS)


def test_a_caller_who_waits_in_vain_gives_up_with_the_call() -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)waited 60 s for .* say /good night/; it said 'Good day\.'"
    ):
        simulate(create_session, Caller().until("good night"), providers=PROVIDERS)


def test_a_caller_who_never_got_to_interrupt_gives_up() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.", idle=False)).start()

    with pytest.raises(AssertionError, match="it never spoke for so long"):
        simulate(bot, Caller().interrupt(BOOKING[0], after=30, text="hello"))


def test_keys_reach_the_bot_and_its_own_reach_the_caller() -> None:
    pressed: list[str] = []

    async def bot(call: Call) -> None:
        class Keys(FrameProcessor):
            async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
                await super().process_frame(frame, direction)
                if (button := getattr(frame, "button", None)) is not None:
                    pressed.append(button.value)
                await self.push_frame(frame, direction)

        agent = await voice(call, greeting="Hello.")
        agent.pipeline.insert("keys", Keys(), after="transport_in")
        await agent.start()

    call = simulate(bot, Caller().press("12#").hangup())
    assert pressed == ["1", "2", "#"]
    assert [event.data["digits"] for event in call.of("dtmf")] == ["1", "2", "#"]
    with pytest.raises(ValueError, match="no key 'x'"):
        simulate(bot, Caller().press("x"))


def test_what_is_said_into_a_muted_telephone_is_not_heard() -> None:
    people, when, _ = BOOKING
    caller = (
        Caller(habits=Habits(no_answer_s=3))
        .until("good day")
        .mute(5)
        .say(people, text=words_of(people))
        .say(when, text=words_of(when))
    )
    call = simulate(create_session, caller, providers=PROVIDERS)
    assert len(call.of("user_speech")) == 2
    assert [turn.user for turn in call.turns[1:]] == [words_of(when)]


def test_a_caller_may_hang_up_in_mid_word() -> None:
    people = BOOKING[0]
    caller = Caller().say(people, text=words_of(people), wait=False).pause(1.0).hangup()
    call = simulate(create_session, caller, providers=PROVIDERS)
    call.assert_ended("caller_hangup")
    (speech,) = call.of("user_speech")
    assert speech.data["end"] == call.duration_s


def test_a_scripted_stt_wants_to_know_the_words_of_a_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not know the words of 01-people\.wav"):
        simulate(create_session, Caller().say(BOOKING[0]), providers=PROVIDERS)
    copy = tmp_path / "people.wav"
    copy.write_bytes(BOOKING[0].read_bytes())
    copy.with_suffix(".txt").write_text("A table for four.\n")
    call = simulate(create_session, Caller().say(copy), providers=PROVIDERS)
    call.assert_understood("A table for four.")


def test_a_call_is_recorded_for_a_replay(tmp_path: Path) -> None:
    book(record=tmp_path / "call.zip")
    assert (tmp_path / "call.zip").stat().st_size > 10_000


def test_progress_is_told_every_second_of_the_call() -> None:
    told: list[tuple[int, float]] = []
    call = book(seed=2, progress=lambda seed, seconds: told.append((seed, seconds)))
    assert {seed for seed, _ in told} == {2}
    assert len(told) == pytest.approx(call.duration_s, abs=2)


def test_a_bots_own_providers_may_be_kept_in_part() -> None:
    call = simulate(
        create_session,
        Caller().hangup(),
        providers=Providers(stt=Transcripts(), tts=Voice()),
    )
    call.assert_ended("caller_hangup")


def test_what_a_condition_of_a_caller_raises_is_raised_to_the_test() -> None:
    async def caller(line: CallerLine) -> None:
        await line.when(lambda now: int(line.transcript[0]) > 0 if line.transcript else False)

    with pytest.raises(ValueError, match="invalid literal"):
        simulate(create_session, caller, providers=PROVIDERS)
