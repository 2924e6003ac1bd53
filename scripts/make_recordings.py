"""Makes the callers' recordings that the tests and `piopiy call` play, with flite's voices.

    apt-get install flite
    python scripts/make_recordings.py            write tests/audio/<scene>/NN-name.wav and scenes.json
    python scripts/make_recordings.py --check    tell whether the committed files are what this script makes

The recordings are committed, so that nobody needs flite to play them; this script is committed with
them, so that anybody can see what is said and add a scene. Everything is 16 kHz, mono, 16 bit,
trimmed to the speech with `MARGIN_S` of silence around it, and as loud as the next one: a voice
that is 10 dB quieter would be a test of the gain and not of what it says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

__all__ = ["SCENES", "Line", "speak"]

RATE = 16_000
"""Sample rate of what is written, in Hz."""
MARGIN_S = 0.2
"""Silence before and after the speech, in seconds."""
LOUDNESS_DBFS = -23.0
"""RMS of the speech itself, in dB below full scale: a caller who speaks up on a telephone."""
QUIET = 200.0
"""RMS of 10 ms below which flite says nothing (its silence is digital, its breath is below this)."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of a caller: the file's name, the voice, and what is said."""

    name: str
    voice: str
    text: str


SCENES: dict[str, tuple[Line, ...]] = {
    "booking": (
        Line("people", "rms", "I would like to book a table for four people."),
        Line("when", "rms", "On Friday at seven in the evening."),
        Line("yes", "rms", "Yes please."),
        Line("goodbye", "rms", "No thank you, goodbye."),
    ),
    "booking_at_once": (
        Line("everything", "slt", "Hello, a table for two people tomorrow at half past seven please."),
        Line("yes", "slt", "Yes, that is right."),
        Line("goodbye", "slt", "That is all, goodbye."),
    ),
    "correction": (
        Line("book", "awb", "I would like to book a table for four people on Friday at seven."),
        Line("change", "awb", "No, make it five people."),
        Line("yes", "awb", "Yes, that is right."),
        Line("late_change", "awb", "Actually, can we make it Saturday?"),
        Line("yes_again", "awb", "Yes please."),
        Line("goodbye", "awb", "No thanks, goodbye."),
    ),
    "hours": (
        Line("open", "kal16", "When are you open?"),
        Line("close", "kal16", "And what time do you close on Sunday?"),
        Line("goodbye", "kal16", "Thank you, goodbye."),
    ),
    "barge_in": (
        Line("hours", "slt", "When are you open?"),
        Line("interrupt", "slt", "I want to book a table for three people on Tuesday at eight."),
        Line("yes", "slt", "Yes please."),
        Line("goodbye", "slt", "No thank you, goodbye."),
    ),
}
"""Every scene: a conversation with the front desk in `examples/front_desk.yaml`, one caller a scene."""

PIECES: dict[str, tuple[Line, ...]] = {
    "pauses": (
        Line("number", "rms", "Four one five"),
        Line("number_goes_on", "rms", "five five five zero one two nine."),
        Line("address", "slt", "Twenty two Station Road,"),
        Line("address_goes_on", "slt", "Springfield, Illinois."),
        Line("and", "awb", "I would like a table on Friday and"),
        Line("and_goes_on", "awb", "a high chair for my daughter."),
        Line("um", "rms", "Um"),
        Line("yes", "rms", "Yes."),
    ),
    "listening": (
        Line("uh_huh", "slt", "uh huh"),
        Line("yeah", "awb", "yeah"),
        Line("i_see", "rms", "I see."),
    ),
    "no_wait": (
        Line("no_wait", "rms", "No, wait."),
        Line("goes_on", "rms", "I need it for Saturday."),
    ),
}
"""Parts of turns, which tests join with pauses of any length, and what is said over the bot. They are in no scene."""


def speak(text: str, voice: str, *, rate: int = RATE) -> Samples:
    """Speak a text with a voice of flite.

    Args:
        text: What to say.
        voice: The name of the voice.
        rate: The sample rate of the result in Hz.

    Returns:
        Mono samples, untrimmed.

    Raises:
        RuntimeError: flite is missing or fails.
    """
    flite = shutil.which("flite")
    if flite is None:
        raise RuntimeError("flite is not installed: apt-get install flite (recordings and tests need it)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        done = subprocess.run(
            [flite, "-voice", voice, "-t", text, "-o", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode or not path.exists():
            raise RuntimeError(f"flite failed on {text!r} with voice {voice!r}: {done.stderr.strip()}")
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            made = file.getframerate()
    return samples if made == rate else soxr.resample(samples, made, rate).astype(np.int16)


def finish(samples: Samples) -> Samples:
    """Trim to the speech, bring it to `LOUDNESS_DBFS`, and put `MARGIN_S` of silence around it."""
    step = RATE // 100
    blocks = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    rms = np.sqrt((blocks**2).mean(1))
    loud = np.nonzero(rms > QUIET)[0]
    if not len(loud):
        raise RuntimeError("nothing was said: flite made silence")
    speech = samples[loud[0] * step : (loud[-1] + 1) * step].astype(np.float64)
    level = np.sqrt((blocks[rms > QUIET] ** 2).mean())
    gain = 10 ** (LOUDNESS_DBFS / 20) * 32768 / level
    gain = min(gain, 0.99 * 32767 / np.abs(speech).max())
    margin = np.zeros(int(MARGIN_S * RATE))
    return np.concatenate([margin, speech * gain, margin]).round().astype(np.int16)


def write(folder: Path) -> None:
    """Write every scene under `folder`, and `scenes.json`: file, voice and text of each turn."""
    index: dict[str, list[dict[str, str]]] = {}
    for scene, lines in (SCENES | PIECES).items():
        (folder / scene).mkdir(parents=True, exist_ok=True)
        for number, line in enumerate(lines, 1):
            file = f"{scene}/{number:02d}-{line.name}.wav"
            with wave.open(str(folder / file), "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(RATE)
                out.writeframes(finish(speak(line.text, line.voice)).tobytes())
            if scene in SCENES:
                index.setdefault(scene, []).append({"file": file, "voice": line.voice, "text": line.text})
    (folder / "scenes.json").write_text(json.dumps(index, indent=2) + "\n")


def differing(folder: Path) -> list[str]:
    """Return the files under `folder` that differ from what this script would write."""
    with tempfile.TemporaryDirectory() as made:
        write(Path(made))
        files = [path.relative_to(made) for path in sorted(Path(made).rglob("*")) if path.is_file()]
        return [
            str(file)
            for file in files
            if not (folder / file).exists() or (folder / file).read_bytes() != Path(made, file).read_bytes()
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "tests" / "audio")
    options = parser.parse_args()
    try:
        if options.check:
            different = differing(options.out)
            print("\n".join(different) or "as committed")
            return 1 if different else 0
        write(options.out)
    except RuntimeError as error:
        print(f"make_recordings: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
