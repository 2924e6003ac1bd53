"""What it costs to write texts out for a TTS (`spoken_text/`), and how well spoken words find the written ones.

    python -m benchmarks.spoken_text

CPU time of the process for a sentence and for loading; and at how many spoken words of the tables the context would
hold more than was said, with pipecat's comparison of both texts and with the alignment that is handed to it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml
from pipecat.utils.context.text_segment_map import TextSegmentMap

from piopiy_pipeline.compat.word_alignment import AlignedSegmentMap
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.spoken_text.alignment import SpokenForm
from piopiy_pipeline.spoken_text.answer_reader import AnswerReader

TABLES = Path(__file__).parent.parent / "tests" / "spoken_text"
ROUNDS = 20
PLAIN = [
    "Good evening, and thank you for calling.",
    "I have a table by the window, would that suit you?",
    "Your table is booked, see you on Saturday.",
]
AROUND = "import piopiy_pipeline.pipeline, piopiy_pipeline.session"
"""What a bot imports anyway."""


def cpu_ms(text: str, reader: SpokenText) -> float:
    """Return the median CPU time of reading a text, in ms."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        reader.read(text)
        times.append((time.process_time_ns() - started) / 1e6)
    return statistics.median(times)


def import_cpu_ms() -> float:
    """Return the median CPU time of the import, in fresh interpreters that have imported the rest, in ms."""
    probe = (
        f"import time; {AROUND}; t = time.process_time(); import piopiy_pipeline.spoken_text;"
        " print(time.process_time() - t)"
    )
    times = []
    for _ in range(7):
        result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        times.append(float(result.stdout.split()[-1]) * 1000)
    return statistics.median(times)


def too_early(form: SpokenForm, words: TextSegmentMap) -> tuple[int, int]:
    """Say a text word by word.

    Returns:
        At how many words more of the written text is taken for said than was said, and the number of words.
    """
    early, said = 0, form.spoken.split()
    letters = 0
    for word in said:
        letters += len(word)
        words.advance_word(word)
        spoken = written = 0
        for part, as_spoken in form.word_parts():
            size = len("".join(as_spoken.split()))
            if spoken + size > letters:
                written += letters - spoken if part == as_spoken else 0
                break
            spoken += size
            written += len("".join(part.split()))
        early += len("".join(form.written[: words.llm_pos].split())) > written
    return early, len(said)


def main() -> None:
    """Measure, and print a table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for language in ("en", "de"):
        reader = SpokenText(language)
        started = time.process_time()
        asyncio.run(reader.load())
        print(f"{language}: loaded in {(time.process_time() - started) * 1000:.0f} ms of CPU")
        texts = [row["written"] for row in yaml.safe_load((TABLES / f"table_{language}.yaml").read_text())]
        for name, some in (("table", texts), ("plain sentences", PLAIN)):
            times = sorted(cpu_ms(text, reader) for text in some)
            print(
                f"{language}: {len(some)} {name}: median {statistics.median(times):.2f} ms, longest {times[-1]:.2f} ms"
            )
        forms = [AnswerReader().read(text, reader.recognizer(language)) for text in texts]
        for name, maps in (
            ("pipecat's comparison", [TextSegmentMap(form.spoken, form.written) for form in forms]),
            ("the alignment", [AlignedSegmentMap(f.spoken, f.written, f.word_parts()) for f in forms]),
        ):
            counts = [too_early(form, words) for form, words in zip(forms, maps, strict=True)]
            print(
                f"{language}: {name}: too early at {sum(early for early, _ in counts)}"
                f" of {sum(words for _, words in counts)} words"
            )
    print(f"import piopiy_pipeline.spoken_text: {import_cpu_ms():.1f} ms of CPU")


if __name__ == "__main__":
    main()
