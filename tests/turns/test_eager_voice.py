"""The offline voice makes the first sentence ahead: by samples, with one answer on the line. In virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.services.tts.piper import PiperTTSService
from piopiy_pipeline.services.tts.piper_files import find_piper_voice
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Replies, SimulatedCall, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_watching import Watcher
from tests.support.virtual import PEOPLE, YES, info, texts
from tests.turns.test_eager_turns import ANSWER, CountingLLM, in_parts

TICK_S = 0.02
"""The gateway plays 20 ms at a time."""


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("piopiy_pipeline.services.tts.piper_worker", name="eager-voice", size=1)
    pool.workers[0].request("load", find_piper_voice())
    yield pool
    pool.close()


@dataclass
class Voiced:
    """What the voice has made, and what of it was there when the turn was over."""

    made: list[bytes] = field(default_factory=list)
    """Of each answer, in order: an interruption of the voice begins the next one."""
    at_decision: bytes = b""
    latencies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def said(self) -> NDArray[np.int16]:
        return np.frombuffer(self.made[-1], "<i2")


def spoken(
    pool: WorkerPool, caller: Callable[..., Any], *hears: str
) -> tuple[SimulatedCall, Voiced, list[str]]:
    seen = Voiced()
    asked: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False)
        llm = CountingLLM(Replies(otherwise=ANSWER, latency=0.05))
        voice = PiperTTSService(pool=pool)
        await agent.Action(stt=ScriptedSTT(Transcripts(texts=hears)), llm=llm, tts=voice)
        output = agent.pipeline["transport_out"]
        assert isinstance(output, BotOutput)
        ahead = output.ahead
        release = ahead.release

        def made(stage: FrameProcessor, frame: Frame) -> None:
            if isinstance(frame, InterruptionFrame) or not seen.made:
                seen.made.append(b"")
            if isinstance(frame, TTSAudioRawFrame):
                seen.made[-1] += frame.audio

        def released(confirmed: Callable[[], None]) -> None:
            held = ahead._gate._held
            seen.at_decision = b"".join(one.audio for one in held if isinstance(one, TTSAudioRawFrame))
            release(confirmed)

        voice.add_event_handler("on_before_push_frame", made)
        ahead.release = released  # type: ignore[method-assign]
        await agent.start()
        asked.extend(messages[-1]["content"] for messages in llm.asked)

    watcher = Watcher(bot)
    call = simulate(watcher, caller, info=info())
    seen.latencies = watcher.of("latency")
    return call, seen, asked


@pytest.mark.parametrize("pause_s", [None, 0.1], ids=["one attempt", "two attempts"])
def test_the_first_sentence_is_there_when_the_turn_is_over_and_one_answer_is_on_the_line(
    pool: WorkerPool, pause_s: float | None
) -> None:
    parts, hears = (
        ((PEOPLE,), ("four people",)) if pause_s is None else ((PEOPLE, YES), ("four people", "on Friday"))
    )
    call, seen, asked = spoken(pool, in_parts(*parts, pause_s=pause_s or 0.0), *hears)
    assert texts(call, "bot") == [ANSWER]
    assert asked == (["four people"] if pause_s is None else ["four people", "four people on Friday"])
    assert len([one for one in seen.made if one]) == len(asked), "the voice was asked for each attempt"

    held = np.frombuffer(seen.at_decision, "<i2")
    assert held.size > 0.6 * call.rate, "a sentence of 17 letters"
    np.testing.assert_array_equal(held, seen.said[: held.size], "it is the beginning of what is said")
    assert held.size < 0.6 * seen.said.size, "the second sentence is made when it is wanted"

    (latency,) = seen.latencies
    assert latency["llm_s"] + latency["tts_s"] == pytest.approx(0.0, abs=0.001), "nothing is waited for"
    assert latency["playout_s"] <= TICK_S

    first = int(np.flatnonzero(call.bot_audio)[0])
    leading = int(np.flatnonzero(seen.said)[0])
    begins = first - leading
    heard = call.bot_audio[begins : begins + seen.said.size]
    np.testing.assert_array_equal(heard, seen.said, "all of one answer, to the sample")
    elsewhere = np.concatenate([call.bot_audio[:begins], call.bot_audio[begins + seen.said.size :]])
    assert not elsewhere.any(), "and nothing else, on the whole line"
