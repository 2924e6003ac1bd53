"""What does a sound over the bot's speech cost, and how soon is the bot silent for a caller who interrupts?

    python -m benchmarks.barge_in                 # 300 sounds, 90 interruptions, and 40 on each kind of line
    python -m benchmarks.barge_in --json          # one JSON object as the last line
    python -m benchmarks.barge_in --no-lines      # without the calls over real sockets
    python -m benchmarks.barge_in --leg browser phone stream    # nothing but these
    python -m benchmarks.barge_in --part tune     # on the part that the policy was adjusted on

Each sound (`barge_in_sounds`) is made once over the speech of a bot whose callback holds its speech
(``interruption="held"``), and once of one that is cut off at once (``"immediate"``). These calls are simulated: VAD,
session, pipeline and playout are real, and so is moonshine's STT if it is installed; its time is not counted. The line
is a telephone's (8 kHz, G.711).

A sound *costs a word* if the bot's sentence was not heard to its end. It *costs the conversation* if the model was
asked for an answer to it. Silence is measured over real sockets (`barge_in_line`): from the first sample of an
interruption, as it is spoken, to the last sample of the bot that arrives at the caller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np
import soxr
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from benchmarks.barge_in_line import LEGS, Leg, silences
from benchmarks.barge_in_sounds import RATE, Kind, Part, Sound, bot_speech, sounds
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    CallerLine,
    Line,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    SimulatedCall,
    Transcripts,
    simulate,
)
from piopiy_pipeline.turns.strategies import Interruption
from piopiy_pipeline.voice_agent import VoiceAgent

LINE = Line(codec="pcmu")
CALL_RATE = 8000
BOT_S = 9.0
SOUND_AT_S = 2.0
CALL_S = 14.0
"""Long enough to see whether the bot is asked to say something three seconds after a turn without words."""
MODES: Sequence[Interruption] = ("immediate", "held")
SHARES: dict[Kind, float] = {"noise": 0.5, "backchannel": 0.5}


class RecordedVoice(TTSService):
    """Says everything with the same recording, without the times of its words."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._pcm = bot_speech(seconds).tobytes()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        for at in range(0, len(self._pcm), RATE // 5):
            yield TTSAudioRawFrame(self._pcm[at : at + RATE // 5], RATE, 1, context_id=context_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sound did to a call.

    Attributes:
        sound: The sound.
        whole: Whether the bot's sentence was heard to its end.
        asked: How often the model was asked.
        held_s: How long the speech was held, in seconds.
        decided_s: When an interruption was decided, seconds after the first sample; None if there was none.
        reason: What decided.
        spoke_over_s: How long the bot had gone on before it was interrupted after all, in seconds.
    """

    sound: Sound
    whole: bool
    asked: int
    held_s: float
    decided_s: float | None
    reason: str
    spoke_over_s: float


def has_moonshine() -> bool:
    try:
        from piopiy_pipeline.services.stt.moonshine_files import find_speech_model

        find_speech_model("en")
    except (ImportError, ValueError, RuntimeError):
        return False
    return True


def _stt(sound: Sound, real: bool) -> STTService:
    if real:
        from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService

        return MoonshineSTTService()
    texts = [sound.text] if sound.text else []
    return ScriptedSTT(Transcripts(texts=texts, latency=0.3))


def one_call(sound: Sound, interruption: Interruption, *, number: int, moonshine: bool) -> Outcome:
    """Call the bot, make the sound over its speech, and listen to the end."""
    heard: list[bool] = []
    asked = 0

    def reply(_: object) -> str:
        nonlocal asked
        asked += 1
        return "Yes?"

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle_timeout_secs=None)
        await agent.Action(
            stt=_stt(sound, moonshine),
            llm=ScriptedLLM(Replies(otherwise=reply)),
            tts=RecordedVoice(BOT_S),
            interruption=interruption,
        )

        async def speak(_: object) -> None:
            heard.append(await agent.say("a long explanation " * 8))

        agent.on("answered", speak)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(SOUND_AT_S + number % 50 * 0.037)
        await line.say(_at_8_khz(sound.pcm), text=sound.text, wait=False)
        await line.at(CALL_S)

    call = simulate(bot, caller, seed=number, rate=CALL_RATE, line=LINE)
    began = call.of("user_speech")[0].at
    cuts, holds, resumes = call.of("interruption"), call.of("hold"), call.of("resume")
    ends = sorted(event.at for event in (*cuts, *resumes))
    held_s = sum(next((end for end in ends if end >= hold.at), hold.at) - hold.at for hold in holds)
    reasons = [str(event.data["reason"]) for event in call.of("barge_in")]
    return Outcome(
        sound,
        heard == [True],
        asked,
        held_s,
        cuts[0].at - began if cuts else None,
        reasons[-1] if reasons else "",
        _spoke_over_s(call),
    )


def _spoke_over_s(call: SimulatedCall) -> float:
    """Return how long the bot spoke between a wrong decision to go on and the interruption."""
    changes = [
        (event.at, event.kind) for event in call.events if event.kind in ("hold", "resume", "interruption")
    ]
    if not any(name == "interruption" for _, name in changes):
        return 0.0
    until = next(at for at, name in changes if name == "interruption")
    spoken = pairwise(changes)
    return sum(then - at for (at, name), (then, _) in spoken if name == "resume" and then <= until)


def _at_8_khz(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.asarray(soxr.resample(pcm, RATE, CALL_RATE), np.int16)


def _outcomes(
    made: Sequence[Sound], interruption: Interruption, *, moonshine: bool, processes: int
) -> list[Outcome]:
    """Make each sound in a call of its own, some calls at once."""
    call = partial(_numbered_call, interruption=interruption, moonshine=moonshine)
    if processes == 1:
        return [call(one) for one in enumerate(made)]
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=logger.remove) as pool:
        return list(pool.map(call, enumerate(made)))


def _numbered_call(one: tuple[int, Sound], interruption: Interruption, moonshine: bool) -> Outcome:
    return one_call(one[1], interruption, number=one[0], moonshine=moonshine)


def costs(
    part: Part, count: int, interruption: Interruption, *, moonshine: bool, processes: int
) -> dict[str, Any]:
    """Return what noises and backchannels cost the caller, and the sounds that cost something."""
    made = [sound for kind, share in SHARES.items() for sound in sounds(part, kind, round(count * share))]
    outcomes = _outcomes(made, interruption, moonshine=moonshine, processes=processes)
    found: dict[str, Any] = {}
    for kind in ("noise", "backchannel", "all"):
        of = [o for o in outcomes if kind in ("all", o.sound.kind)]
        paused = [o.held_s for o in of if o.held_s > 0]
        found[kind] = {
            "sounds": len(of),
            "cost_a_word_percent": 100 * sum(not o.whole for o in of) / len(of),
            "cost_the_conversation_percent": 100 * sum(o.asked > 0 for o in of) / len(of),
            "paused_percent": 100 * len(paused) / len(of),
            "pause_s_median": float(np.median(paused)) if paused else 0.0,
            "pause_s_p95": float(np.percentile(paused, 95)) if paused else 0.0,
        }
    found["which"] = [f"{o.sound.name}: {o.reason}" for o in outcomes if not o.whole or o.asked]
    return found


def interruptions(
    part: Part, count: int, interruption: Interruption, *, moonshine: bool, processes: int
) -> dict[str, Any]:
    """Return how many interruptions were one for the bot, and how soon."""
    made = sounds(part, "interruption", count)
    outcomes = _outcomes(made, interruption, moonshine=moonshine, processes=processes)
    decided = [o.decided_s for o in outcomes if o.decided_s is not None]
    return {
        "interruptions": len(outcomes),
        "missed_percent": 100 * sum(o.whole for o in outcomes) / len(outcomes),
        "decided_s_median": float(np.median(decided)),
        "decided_s_p95": float(np.percentile(decided, 95)),
        "gone_on_first_percent": 100 * sum(o.spoke_over_s > 0 for o in outcomes) / len(outcomes),
        "spoke_over_s": sorted(round(o.spoke_over_s, 2) for o in outcomes if o.spoke_over_s > 0),
        "by": Counter(o.reason.split(" ")[0] for o in outcomes if o.decided_s is not None),
        "which_missed": [f"{o.sound.name}: {o.reason}" for o in outcomes if o.whole],
    }


def _print(found: dict[str, Any]) -> None:
    modes = [mode for mode in MODES if mode in found]
    print(f"{found['part']} part; STT: {found['stt']}; {os.cpu_count()} processors; {found['took_s']:.0f} s")
    for mode in modes:
        for kind, of in found[mode].get("costs", {}).items():
            if kind != "which":
                print(
                    f"  {mode:9}  {of['sounds']:3} {kind:11}  cost a word {of['cost_a_word_percent']:5.1f}%  the "
                    f"conversation {of['cost_the_conversation_percent']:5.1f}%  paused {of['paused_percent']:5.1f}% "
                    f"for {of['pause_s_median']:.2f} s (p95 {of['pause_s_p95']:.2f})"
                )
        if of := found[mode].get("interruptions"):
            print(
                f"  {mode:9}  {of['interruptions']:3} interruptions  missed {of['missed_percent']:.1f}%  decided "
                f"after {of['decided_s_median']:.2f} s (p95 {of['decided_s_p95']:.2f}); gone on before, for s: "
                f"{', '.join(map(str, of['spoke_over_s'])) or 'none'}"
            )
        for name, line in found[mode].get("lines", {}).items():
            print(
                f"  {mode:9}  silent over {name:10} after {line['ms_median']:.0f} ms (p95 {line['ms_p95']:.0f}, "
                f"{line['measured']} of {line['measured'] + line['never']} measured)"
                + (
                    f", {buffer:.0f} ms in its jitter buffer"
                    if (buffer := line.get("jitter_buffer_ms_median"))
                    else ""
                )
            )


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=["tune", "check", "first", "second", "report"], default="report")
    parser.add_argument("--sounds", type=int, default=300)
    parser.add_argument("--interruptions", type=int, default=90)
    parser.add_argument("--on-lines", type=int, default=40)
    parser.add_argument("--no-lines", action="store_true")
    parser.add_argument("--leg", nargs="+", choices=LEGS, help="only how soon it is silent, over these")
    parser.add_argument(
        "--no-moonshine", action="store_true", help="an STT that hears every word, 0.3 s later"
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--processes", type=int, default=1, help="simulated calls at once, each in a process")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logger.remove()
    began = time.monotonic()
    moonshine = has_moonshine() and not options.no_moonshine
    found: dict[str, Any] = {"part": options.part, "stt": "moonshine" if moonshine else "scripted"}
    how = {"moonshine": moonshine, "processes": options.processes}
    legs: Sequence[Leg] = options.leg or (() if options.no_lines else LEGS)
    for mode in options.modes:
        found[mode] = {}
        if not options.leg:
            found[mode] = {
                "costs": costs(options.part, options.sounds, mode, **how),
                "interruptions": interruptions(options.part, options.interruptions, mode, **how),
            }
        if legs:
            spoken = sounds(options.part, "interruption", options.on_lines)
            found[mode]["lines"] = asyncio.run(silences(spoken, mode, legs))
    found["took_s"] = time.monotonic() - began
    _print(found)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
