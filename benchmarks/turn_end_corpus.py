"""Turns with pauses inside, for `benchmarks/turn_end.py`: what the bot asks, and what a caller answers.

In a text, `|` is a place where a caller pauses. The pauses that are put there are drawn from a lognormal distribution
(median 0.45 s, sigma 0.6), which is an assumption. *Natural* turns have only pauses that their speakers made: the
longer prompts of Asterisk, people who read a novel aloud, and actors in dialogues (`turn_end_dialogue.py`).
Half of everything is for tuning; the other half is what is reported. A third part is fresh (`turn_end_fresh.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing_callers import RATE, HumanRecordings, Speakers, Voice, level
from benchmarks.turn_end_dialogue import dialogue_lines
from benchmarks.turn_end_fresh import CODE as FRESH_CODE
from benchmarks.turn_end_fresh import ELSE as FRESH_ELSE
from benchmarks.turn_end_fresh import FOUR as FRESH_FOUR
from benchmarks.turn_end_fresh import FRESH_HUMAN, FRESH_SENTENCES, FRESH_VOICES
from benchmarks.turn_end_fresh import MANY as FRESH_MANY
from benchmarks.turn_end_fresh import OPEN as FRESH_OPEN
from benchmarks.turn_end_fresh import RIGHT as FRESH_RIGHT

__all__ = ["Turn", "all_turns"]

Pcm = NDArray[np.int16]
MEDIAN_S, SIGMA = 0.45, 0.6
SHORTEST_S, LONGEST_S = 0.15, 2.2
NATURAL_FROM_S, NATURAL_TO_S = 4.0, 16.0
"""Recordings of this length are turns with pauses of their own."""
QUIET_S = 0.2
"""A natural pause is at least so long."""

OPEN = "How can I help you today?"
YES_NO = "A table for four on Friday at seven. Is that right?"
MORE = "Would you like anything else?"
PHONE = "What is your phone number, please?"
CODE = "Please tell me your six-digit code."
FOUR = "What are the last four digits of your card?"
ADDRESS = "And what is your address?"
PEOPLE = "For how many people?"
DAY = "For which day?"
NAME = "Could you tell me your name?"

SENTENCES: tuple[tuple[str, str], ...] = (
    (OPEN, "I would like to book a table for | four people on Friday."),
    (OPEN, "Hello, I have a problem with | my internet connection."),
    (OPEN, "I want to change my appointment to | next Tuesday if that is possible."),
    (OPEN, "My washing machine stopped working and | I need somebody to look at it."),
    (OPEN, "Good morning, this is Mary Miller. | I am calling about my last invoice."),
    (OPEN, "Um | I would like to speak with | someone in sales."),
    (OPEN, "I ordered a pair of shoes last week, but | they are too small."),
    (OPEN, "Could you tell me what time | you close on Sundays?"),
    (OPEN, "I am looking for the | cheapest flight to Berlin in May."),
    (OPEN, "I need to cancel my booking because | my wife is ill."),
    (OPEN, "Well, I think | it was on Monday, or maybe on | Tuesday afternoon."),
    (OPEN, "When does the next train leave?"),
    (OPEN, "I lost my card."),
    (OPEN, "I would like to pay my bill."),
    (OPEN, "Do you have a table for tonight?"),
    (OPEN, "Please connect me with the | accounting department."),
    (YES_NO, "Yes."),
    (YES_NO, "Yes, please."),
    (YES_NO, "No."),
    (YES_NO, "Yes, that's right."),
    (YES_NO, "Yes, but | make it five people."),
    (YES_NO, "No, | I said Saturday."),
    (YES_NO, "Um | yes."),
    (YES_NO, "That's correct."),
    (MORE, "No, thank you."),
    (MORE, "Yes, I also need | a high chair for a child."),
    (MORE, "No, that's all."),
    (MORE, "Not really."),
    (PHONE, "Four one five | five five five | zero one two nine."),
    (PHONE, "My number is two zero two | seven seven three | nine eight | four one."),
    (PHONE, "It is six one seven | four four eight zero | three six one."),
    (PHONE, "Zero three zero | eight eight seven | five five one two."),
    (CODE, "Four eight two | nine one seven."),
    (CODE, "Seven seven | three zero | nine two."),
    (CODE, "One five nine three six four."),
    (CODE, "It's two four six | eight one zero."),
    (FOUR, "Nine one | two three."),
    (FOUR, "Six six one eight."),
    (FOUR, "Those are three | seven five two."),
    (FOUR, "Zero four four nine."),
    (ADDRESS, "Twenty two Station Road, | Springfield, | Illinois."),
    (ADDRESS, "I live at fourteen | Garden Street in | Oxford."),
    (ADDRESS, "Five hundred Main Street, | apartment twelve."),
    (ADDRESS, "Nine Park Avenue, | New York."),
    (PEOPLE, "Four."),
    (PEOPLE, "We are six people."),
    (PEOPLE, "For | eight, please."),
    (PEOPLE, "Two adults and | three children."),
    (DAY, "On Friday."),
    (DAY, "Tomorrow | at seven."),
    (DAY, "On the | twenty first of June."),
    (DAY, "Next Saturday in the evening."),
    (NAME, "My name is | John Carpenter."),
    (NAME, "Peter Smith."),
    (NAME, "It's Anna | Anna Johnson."),
    (NAME, "This is Thomas Baker."),
)
"""Neighbours are of different halves."""

HUMAN: tuple[tuple[str, str], ...] = (
    (PHONE, "digits/4 digits/1 digits/5 | digits/5 digits/5 digits/5 | digits/0 digits/1 digits/2 digits/9"),
    (PHONE, "digits/2 digits/0 digits/2 | digits/7 digits/7 digits/3 | digits/9 digits/8 digits/4 digits/1"),
    (PHONE, "digits/6 digits/1 digits/7 | digits/4 digits/4 digits/8 digits/0 | digits/3 digits/6 digits/1"),
    (
        PHONE,
        "digits/3 digits/0 digits/8 | digits/8 digits/8 | digits/7 digits/5 | digits/5 digits/1 digits/2",
    ),
    (CODE, "digits/4 digits/8 digits/2 | digits/9 digits/1 digits/7"),
    (CODE, "digits/7 digits/7 | digits/3 digits/0 | digits/9 digits/2"),
    (CODE, "digits/1 digits/5 digits/9 digits/3 digits/6 digits/4"),
    (CODE, "digits/2 digits/4 digits/6 | digits/8 digits/1 digits/0"),
    (CODE, "digits/5 digits/5 digits/1 | digits/0 digits/3 digits/7"),
    (CODE, "digits/8 digits/2 | digits/2 digits/6 digits/4 | digits/9"),
    (FOUR, "digits/9 digits/1 | digits/2 digits/3"),
    (FOUR, "digits/6 digits/6 digits/1 digits/8"),
    (FOUR, "digits/3 | digits/7 digits/5 digits/2"),
    (FOUR, "digits/0 digits/4 digits/4 digits/9"),
    (FOUR, "digits/1 digits/9 digits/5 digits/0"),
    (FOUR, "digits/7 digits/2 digits/8 | digits/6"),
    (PEOPLE, "digits/4"),
    (PEOPLE, "digits/6"),
    (PEOPLE, "digits/12"),
    (PEOPLE, "digits/8"),
    (DAY, "digits/day-5"),
    (DAY, "digits/day-6 | digits/at digits/8 digits/p-m"),
    (DAY, "digits/tomorrow"),
    (DAY, "digits/day-0 digits/at | digits/6 digits/30 digits/p-m"),
    (DAY, "digits/mon-11 | digits/h-19"),
    (DAY, "digits/day-2 digits/at | digits/9 digits/oclock"),
    (OPEN, "im-sorry | please-try-again"),
    (OPEN, "auth-thankyou | one-moment-please"),
    (OPEN, "something-terribly-wrong"),
    (OPEN, "number-not-answering"),
    (OPEN, "all-circuits-busy-now | please-try-again"),
    (OPEN, "check-number-dial-again"),
)

CLOSED = (YES_NO, MORE, CODE, FOUR, PEOPLE, FRESH_RIGHT, FRESH_ELSE, FRESH_CODE, FRESH_FOUR, FRESH_MANY)

VOICES = (Voice("flite", "slt"), Voice("flite", "rms"), Voice("flite", "awb"), Voice("flite", "kal16"))


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a caller, at 16 kHz, with the silences that are in it."""

    name: str
    kind: str
    """``human`` and ``synthetic`` with pauses that were put in; ``natural``."""
    half: str
    """``tune``, ``held`` or ``fresh``."""
    asked: str
    """What the bot has said before."""
    speech: Pcm
    pauses: tuple[tuple[float, float], ...]
    """Where nothing is said, in seconds of `speech`."""

    @property
    def closed(self) -> bool:
        """Whether the question has a closed answer, and this is one: it can be known that nothing follows."""
        return self.asked in CLOSED


def all_turns(
    cache: Path, speakers: Speakers, seed: int = 0, *, repeats: int = 2, halves: Sequence[str]
) -> Iterator[Turn]:
    """Make the turns.

    Args:
        cache: The folder for what is fetched.
        speakers: Speak the sentences.
        seed: Of the lengths of pauses.
        halves: Which are wanted. Only what is in them is spoken and fetched.
    """
    for turn in _turns(cache, speakers, seed, repeats, "fresh" in halves):
        if turn.half in halves:
            yield turn


def _turns(cache: Path, speakers: Speakers, seed: int, repeats: int, fresh: bool) -> Iterator[Turn]:
    for again in range(repeats):
        for i, (asked, text) in enumerate(SENTENCES):
            voice = VOICES[(i // 2 + again) % len(VOICES)]
            parts = [speakers.say(part.strip(), voice) for part in text.split("|")]
            yield _joined(f"{voice.name}-{i:02}-{again}", "synthetic", i, asked, parts, seed)
        for i, (asked, text) in enumerate(FRESH_SENTENCES if fresh else ()):
            voice = FRESH_VOICES[(i + again) % len(FRESH_VOICES)]
            parts = [speakers.say(part.strip(), voice) for part in text.split("|")]
            yield _joined(f"fresh-{voice.name}-{i:02}-{again}", "synthetic", None, asked, parts, seed)
    try:
        human = HumanRecordings(cache)
    except OSError:
        return
    for again in range(repeats):
        for i, (asked, files) in enumerate(HUMAN):
            parts = [human.say(part.strip()) for part in files.split("|")]
            yield _joined(f"human-{i:02}-{again}", "human", i, asked, parts, seed)
        for i, (asked, files) in enumerate(FRESH_HUMAN):
            parts = [human.say(part.strip()) for part in files.split("|")]
            yield _joined(f"fresh-human-{i:02}-{again}", "human", None, asked, parts, seed)
    yield from _natural(human, cache)
    yield from _dialogues(cache)


def _joined(name: str, kind: str, number: int | None, asked: str, parts: Sequence[Pcm], seed: int) -> Turn:
    """Join what is said with pauses. Texts with an odd number are held out, and those without one are fresh."""
    rng = np.random.default_rng([seed, int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)])
    pieces, pauses, at_s = [parts[0]], [], len(parts[0]) / RATE
    for part in parts[1:]:
        pause_s = float(np.clip(rng.lognormal(np.log(MEDIAN_S), SIGMA), SHORTEST_S, LONGEST_S))
        pieces += [np.zeros(int(pause_s * RATE), np.int16), part]
        pauses.append((at_s, at_s + pause_s))
        at_s += pause_s + len(part) / RATE
    half = "fresh" if number is None else ("tune", "held")[number % 2]
    return Turn(name, kind, half, asked, tight(np.concatenate(pieces)), tuple(pauses))


def _dialogues(cache: Path) -> Iterator[Turn]:
    for name, fresh, speech in dialogue_lines(cache):
        speech = tight(speech)
        pauses = quiet_places(speech)
        if pauses and len(speech) <= NATURAL_TO_S * RATE:
            yield Turn(
                f"dialogue-{name}",
                "natural",
                "fresh" if fresh else "tune",
                FRESH_OPEN if fresh else OPEN,
                speech,
                pauses,
            )


def _natural(human: HumanRecordings, cache: Path) -> Iterator[Turn]:
    folder = cache / "human"
    files = sorted(
        file for pattern in ("*.g722", "*.wav", "*.raw") for file in folder.rglob(pattern) if file.is_file()
    )
    for file in files:
        root = next((parent for parent in file.parents if parent.name in ("en", "en_US_f_Allison")), None)
        name = file.stem if root is None else str(file.relative_to(root).with_suffix(""))
        if file.parent.name in ("librivox",):
            name = f"librivox/{file.stem}"
        try:
            speech = human.say(name)
        except (StopIteration, OSError, ValueError):
            continue
        if not NATURAL_FROM_S <= len(speech) / RATE <= NATURAL_TO_S:
            continue
        speech = tight(level(speech))
        pauses = quiet_places(speech)
        if pauses:
            half = "held" if hashlib.sha256(name.encode()).digest()[0] % 2 else "tune"
            yield Turn(f"natural-{name}", "natural", half, OPEN, speech, pauses)


def quiet_places(speech: Pcm, *, least_s: float = QUIET_S) -> tuple[tuple[float, float], ...]:
    """Return the stretches of at least `least_s` that are 30 dB below the speech or more, in seconds."""
    powers = _powers(speech)
    quiet = powers < powers[powers > powers.max() / 1000].mean() / 1000
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    pairs = [(a / 100, b / 100) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    last = len(powers) / 100
    return tuple((a, b) for a, b in pairs if b - a >= least_s and a > 0 and b < last)


def tight(speech: Pcm) -> Pcm:
    """Return the speech up to its last sound, so that silence can be counted from its end."""
    powers = _powers(speech)
    loud = np.flatnonzero(powers >= powers[powers > powers.max() / 1000].mean() / 1000)
    return speech[: (int(loud[-1]) + 1) * RATE // 100] if len(loud) else speech


def _powers(speech: Pcm) -> NDArray[np.float64]:
    blocks = speech[: len(speech) // 160 * 160].astype(np.float64).reshape(-1, RATE // 100)
    return np.asarray((blocks**2).mean(axis=1) + 1e-9, np.float64)
