"""How well does the front desk understand strangers, and does it ever book a wrong table?

    python -m benchmarks.hearing                      # both halves, all lines: 15 minutes at most
    python -m benchmarks.hearing --quick              # 2 minutes
    python -m benchmarks.hearing --half held --json   # what docs/hearing.md reports; JSON as the last line
    python -m benchmarks.hearing --half tune --failures failures.txt

The sentences are in `hearing_sentences.yaml`, with what they mean; the half `held` is never looked at to improve
anything. They are spoken by voices of flite (`apt-get install flite`), hibari (`pip install hibari-tts==0.2.1`,
14 MB) and espeak-ng, and by humans: their recordings come with the Debian packages asterisk-core-sounds-en-g722
(10.6 MB) and pocketsphinx-testdata (1.8 MB), which are fetched with `apt-get download` and checked by their
SHA-256; where there is no apt-get, that part is left out, and the report says so. Everything that was fetched or
spoken is kept in the folder `--cache`.

Each sentence takes the bot's own way: the VAD stage, the speech recogniser in its worker process, the playbook.
What a caller says in one breath is judged as one turn, also where the VAD cut it in two. `hearing_judge.py` says
what counts as understood and what as a false booking.

Progress goes to stderr, the table to stdout. Latency and CPU are measured in real time, one caller after the
other; all other calls are made in virtual time, in which no transcript is late.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from loguru import logger

from benchmarks.benchmark_options import new_file
from benchmarks.hearing_callers import VOICES, HumanRecordings, Speakers, Voice
from benchmarks.hearing_ears import Ear, Ears, Heard, process_cpu_s
from benchmarks.hearing_judge import Item, judge, truthful_call
from benchmarks.hearing_lines import CONDITIONS, Condition, Pcm, babble_of
from benchmarks.hearing_words import word_errors
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.testing.virtual_time.virtual_loop import SimulationError, run_virtual

HERE = Path(__file__).parent
PLAYBOOK = HERE.parent / "examples" / "front_desk.yaml"
SENTENCES = HERE / "hearing_sentences.yaml"
WALL_LIMIT_S = 240.0
"""A call that takes longer, on the clock on the wall, is a fault of the benchmark or of the bot."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the processes need to know of the command line."""

    cache: Path
    seed: int
    processes: int


@dataclass(frozen=True, slots=True)
class Job:
    """One call: a sentence by a voice over a line. Without a `voice` it is a human's."""

    item: Item
    condition: Condition
    voice: Voice | None

    @property
    def kind(self) -> str:
        """Whose voice it is: `flite`, `hibari`, `espeak` or `human`."""
        return self.voice.kind if self.voice else "human"


@dataclass(slots=True)
class Outcome:
    """What became of one call."""

    id: str
    condition: str
    kind: str
    voice: str
    said: str
    heard: str
    errors: int
    words: int
    unsure: Sequence[str] = ()
    understood: bool | None = None
    slots_right: bool | None = None
    got: Mapping[str, object] = field(default_factory=dict)
    reply: str = ""
    right_table: bool | None = None
    false_booking: bool = False


class Studio:
    """Makes what the bot gets: it speaks, joins recordings, and sends them over a line."""

    def __init__(self, cache: Path, speakers: Speakers, seed: int) -> None:
        self._speakers = speakers
        self._seed = seed
        self.human: HumanRecordings | None = None
        try:
            self.human = HumanRecordings(cache)
        except OSError as error:
            print(f"no human recordings: {error}", file=sys.stderr)
        babblers = [voice for voice in VOICES if voice.kind == "flite"][:4]
        talk = [
            speakers.say(text, voice)
            for voice in babblers
            for text in (
                "The weather was fine last week, and everybody went down to the river to swim.",
                "She told me that her brother had bought another car without asking anyone.",
                "There is nothing on television, so we might as well play a game of cards.",
            )
        ]
        self._babble = babble_of(talk, np.random.default_rng(seed))

    def speech(self, job: Job, text: str | None = None) -> Pcm:
        """Return what the caller says, at 16 kHz: the job's own sentence, or another text."""
        if job.voice is None:
            assert self.human is not None
            if text is None:
                return self.human.say(job.item.recording or "")
        return self._speakers.say(text or job.item.say, job.voice or VOICES[0])

    def line(self, job: Job, speech: Pcm, take: int = 0) -> Pcm:
        """Return what arrives of it at the bot. Another `take` has other noise and other losses."""
        words = f"{self._seed}|{job.item.id}|{job.condition.name}|{take}"
        rng = np.random.default_rng(list(words.encode()))
        return job.condition.carry(speech, self._babble, rng)


def read_items(half: str) -> tuple[list[Item], list[Item], list[Item]]:
    """Return the sentences, the human's answers, and the human's prompts of a half (`both` for all)."""
    raw = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    parts = [[Item(**entry) for entry in raw[name]] for name in ("sentences", "human", "prompts")]
    sentences, human, prompts = ([item for item in part if half in ("both", item.half)] for part in parts)
    return sentences, human, prompts


def plan(half: str, *, human: bool, quick: bool, seed: int) -> list[Job]:
    """Return the calls to make, in an order in which any beginning of it is a fair sample of the whole."""
    sentences, answers, prompts = read_items(half)
    jobs = []
    for condition in CONDITIONS:
        jobs += [Job(item, condition, VOICES[int(item.id[1:]) // 2 % len(VOICES)]) for item in sentences]
        if human:
            jobs += [Job(item, condition, None) for item in (*answers, *prompts)]
    order = np.random.default_rng(seed).permutation(len(jobs))
    shuffled = [jobs[i] for i in order]
    by_condition = [[job for job in shuffled if job.condition is condition] for condition in CONDITIONS]
    mixed = [job for jobs in zip_longest(*by_condition) for job in jobs if job is not None]
    return mixed[:72] if quick else mixed


class Caller:
    """Makes calls, one after the other, in virtual time: one such for each process.

    Args:
        settings: What the command line says.
    """

    def __init__(self, settings: Settings) -> None:
        self._speakers = Speakers(settings.cache)
        self.studio = Studio(settings.cache, self._speakers, settings.seed)
        self._dialogue = Dialogue(load_playbook(PLAYBOOK))
        self._ears = Ears(self._dialogue.hot_words, workers=1)
        self._today = datetime.now(UTC).astimezone().date()
        self._known: dict[tuple[object, ...], Heard] = {}

    def call(self, job: Job) -> Outcome:
        """Make one call, from its sentence to the table."""
        return run_virtual(lambda: self._call(job), wall_limit_s=WALL_LIMIT_S)

    def close(self) -> None:
        """End the worker processes."""
        self._ears.close()
        self._speakers.close()

    async def _call(self, job: Job) -> Outcome:
        async with self._ears.ear(job.condition.rate) as ear:
            heard = await ear.hear(self.studio.line(job, self.studio.speech(job)))
            outcome = _outcome(job, heard)
            if job.item.id.startswith("p"):
                return outcome
            verdict = judge(self._dialogue, job.item, heard, self._today)
            outcome.understood, outcome.slots_right = verdict.understood, verdict.slots_right
            outcome.got, outcome.reply = verdict.got, verdict.reply
            said: dict[str, int] = {}

            async def answer(text: str) -> Heard:
                said[text] = said.get(text, 0) + 1
                return await self._answer(job, ear, text, said[text])

            outcome.right_table, outcome.false_booking = await truthful_call(
                self._dialogue, job.item, heard, answer, self._today
            )
            return outcome

    async def _answer(self, job: Job, ear: Ear, text: str, take: int) -> Heard:
        """Say a text over the job's line. The same take of the same voice is heard once in a run."""
        key = (job.voice, job.condition, text, take)
        if key not in self._known:
            pcm = self.studio.line(job, self.studio.speech(job, text), take)
            self._known[key] = await ear.hear(pcm)
        return self._known[key]


_caller: Caller | None = None  # of a process of the pool


def _start_caller(settings: Settings) -> None:
    global _caller
    logger.remove()
    _caller = Caller(settings)
    atexit.register(_caller.close)


def _make_call(job: Job) -> Outcome | None:
    assert _caller is not None
    try:
        return _caller.call(job)
    except SimulationError as error:
        print(f"{job.item.id} over {job.condition.name}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None


def make_calls(jobs: Sequence[Job], settings: Settings, until: float) -> tuple[list[Outcome], int]:
    """Make calls in `settings.processes` processes, until all are made or the time is over.

    Returns:
        What came of them, and how many failed, of which nothing did.
    """
    outcomes: list[Outcome] = []
    failed = 0
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(settings.processes, spawn, _start_caller, (settings,))
    try:
        waiting = {pool.submit(_make_call, job) for job in jobs}
        while waiting:
            done, waiting = wait(waiting, max(0.0, until - time.monotonic()), return_when=FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                if (outcome := future.result()) is None:
                    failed += 1
                    continue
                outcomes.append(outcome)
                if len(outcomes) % 40 == 0:
                    print(f"{len(outcomes)} of {len(jobs)} calls", file=sys.stderr)
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes, failed


async def take_times(jobs: Sequence[Job], studio: Studio, settings: Settings, until: float) -> dict[str, Any]:
    """Play sentences in real time, one after the other: latency of the final transcript, and CPU."""
    latencies: list[float] = []
    speech_s = 0.0
    hot_words = Dialogue(load_playbook(PLAYBOOK)).hot_words
    ears = Ears(hot_words, workers=max(1, (os.cpu_count() or 2) // 2))
    try:
        async with ears.ear(jobs[0].condition.rate) as ear:
            await ear.hear(studio.line(jobs[0], studio.speech(jobs[0])))  # what starts with the first call
        begun = process_cpu_s()
        for job in jobs:
            if time.monotonic() > until:
                break
            speech = studio.speech(job)
            async with ears.ear(job.condition.rate) as ear:
                heard = await ear.hear(studio.line(job, speech))
            speech_s += len(speech) / 16_000
            if heard.latency_s is not None:
                latencies.append(heard.latency_s)
        ended = process_cpu_s()
    finally:
        ears.close()
    if not latencies:
        return {}
    return {
        "sentences": len(latencies),
        "speech_s": round(speech_s, 1),
        "final_median_ms": round(float(np.median(latencies)) * 1000),
        "final_p95_ms": round(float(np.percentile(latencies, 95)) * 1000),
        "workers_cpu_per_speech": round((ended.workers - begun.workers) / speech_s, 3),
        "all_cpu_per_speech": round((ended.total - begun.total) / speech_s, 3),
    }


def _outcome(job: Job, heard: Heard) -> Outcome:
    errors, words = word_errors(job.item.say, heard.text)
    voice = job.voice.name if job.voice else job.item.recording or ""
    unsure = sorted(heard.unsure)
    said = (job.item.say, heard.text, errors, words, unsure)
    return Outcome(job.item.id, job.condition.name, job.kind, voice, *said)


# ---------------------------------------------------------------- the report


def _share(flags: Sequence[bool | None]) -> float | None:
    known = [flag for flag in flags if flag is not None]
    return round(sum(known) / len(known), 3) if known else None


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of some calls."""
    words = sum(outcome.words for outcome in outcomes)
    return {
        "calls": len(outcomes),
        "word_error_rate": round(sum(outcome.errors for outcome in outcomes) / words, 3) if words else None,
        "with_slots": sum(outcome.slots_right is not None for outcome in outcomes),
        "slots_right": _share([outcome.slots_right for outcome in outcomes]),
        "understood": _share([outcome.understood for outcome in outcomes]),
        "right_table": _share([outcome.right_table for outcome in outcomes]),
        "false_bookings": sum(outcome.false_booking for outcome in outcomes),
    }


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return all figures: of each line, and of each kind of voice over each line."""
    lines = {}
    for condition in CONDITIONS:
        mine = [outcome for outcome in outcomes if outcome.condition == condition.name]
        kinds = sorted({outcome.kind for outcome in mine})
        by_kind = {kind: figures([outcome for outcome in mine if outcome.kind == kind]) for kind in kinds}
        lines[condition.name] = {**figures(mine), "voices": by_kind}
    return {"lines": lines, "false_bookings": sum(outcome.false_booking for outcome in outcomes)}


def unmade(planned: int, made: int, failed: int) -> list[str]:
    """Return sentences about calls that are in no figure."""
    said = []
    if failed:
        said.append(f"\n{failed} of {planned} calls failed, and are in no figure: why is above.")
    if made + failed < planned:
        said.append(f"\nOnly {made + failed} of {planned} calls were made: the time was over.")
    return said


def table(result: Mapping[str, Any]) -> str:
    """Return the report for people, as a table of Markdown."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:.0%}"

    rows = [
        "| line | voices | calls | word errors | slots right | understood | right table | false bookings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, all_of_it in result["lines"].items():
        for kind, part in (("all", all_of_it), *all_of_it["voices"].items()):
            rates = [part[key] for key in ("word_error_rate", "slots_right", "understood", "right_table")]
            cells = [name, kind, str(part["calls"]), *map(percent, rates), str(part["false_bookings"])]
            rows.append(f"| {' | '.join(cells)} |")
    for name, timing in result["timing"].items():
        if timing:
            rows.append(
                f"\n{name}, in real time: final transcript {timing['final_median_ms']} ms after the VAD's stop "
                f"(95%: {timing['final_p95_ms']} ms; {timing['sentences']} sentences); CPU per second of speech "
                f"{timing['workers_cpu_per_speech']:.2f} s in the workers, "
                f"{timing['all_cpu_per_speech']:.2f} s with the agent's process and the benchmark"
            )
    return "\n".join(rows)


def main() -> None:
    arguments = _arguments()
    logger.remove()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end the processes that were started
    started = time.monotonic()
    until = started + (105.0 if arguments.quick else arguments.limit_s)
    settings = Settings(Path(arguments.cache), arguments.seed, arguments.processes)
    speakers = Speakers(settings.cache)
    timing = {}
    try:
        studio = Studio(settings.cache, speakers, settings.seed)
        human = studio.human is not None
        jobs = plan(arguments.half, human=human, quick=arguments.quick, seed=settings.seed)
        print(f"{len(jobs)} calls; speaking the sentences", file=sys.stderr)
        for job in jobs:
            studio.speech(job)
        for condition in (condition for condition in CONDITIONS if condition.is_clean):
            some = [job for job in jobs if job.condition is condition][: 4 if arguments.quick else 12]
            timing[condition.name] = asyncio.run(take_times(some, studio, settings, until))
    finally:
        speakers.close()
    outcomes, failed = make_calls(jobs, settings, until)
    result: dict[str, Any] = {
        "stt": "moonshine",
        "half": arguments.half,
        "seed": settings.seed,
        "planned": len(jobs),
        "made": len(outcomes),
        "failed": failed,
        "human_recordings": human,
        "seconds": round(time.monotonic() - started),
        **report(outcomes),
        "timing": timing,
    }
    if arguments.failures:
        bad = [
            asdict(outcome) for outcome in outcomes if outcome.understood is False or outcome.false_booking
        ]
        lines = [json.dumps(outcome, ensure_ascii=False, default=str) for outcome in bad]
        arguments.failures.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(table(result))
    for sentence in unmade(len(jobs), len(outcomes), failed):
        print(sentence)
    if arguments.json:
        print(json.dumps(result, ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("tune", "held", "both"), default="both", help="which sentences")
    parser.add_argument("--quick", action="store_true", help="72 calls, at most 2 minutes")
    parser.add_argument("--limit-s", type=float, default=870.0, help="begin no call after so many seconds")
    parser.add_argument("--processes", type=int, default=2, help="calls at once, each in a process")
    parser.add_argument("--seed", type=int, default=1, help="of order, noise and losses")
    parser.add_argument(
        "--cache",
        default=str(Path(tempfile.gettempdir()) / "piopiy-hearing"),
        help="folder for what is spoken, and for the two packages that are fetched",
    )
    parser.add_argument(
        "--failures", type=new_file, metavar="FILE", help="write what was not understood, one JSON a line"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
