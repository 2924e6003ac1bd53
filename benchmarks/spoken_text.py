"""What it costs to write texts out for a TTS (`spoken_text/`): the process's CPU time for a sentence, and for loading.

Usage: ``python benchmarks/spoken_text.py``
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from piopiy_pipeline.spoken_text import SpokenText

TABLES = Path(__file__).parent.parent / "tests" / "spoken_text"
ROUNDS = 20
PLAIN = [
    "Good evening, and thank you for calling.",
    "I have a table by the window, would that suit you?",
    "Your table is booked, see you on Saturday.",
]
IMPORTS = {
    "import piopiy": "import piopiy",
    "import piopiy_pipeline.voice_agent": "import piopiy_pipeline.voice_agent",
    "import piopiy_pipeline.voice_agent, spoken_text left out": (
        "import sys, types; stub = types.ModuleType('piopiy_pipeline.spoken_text'); stub.SpokenText = object; "
        "sys.modules['piopiy_pipeline.spoken_text'] = stub; import piopiy_pipeline.voice_agent"
    ),
}


def cpu_ms(text: str, reader: SpokenText) -> float:
    """Return the median CPU time of reading a text, in ms."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        reader.read(text)
        times.append((time.process_time_ns() - started) / 1e6)
    return statistics.median(times)


def import_cpu_ms(code: str) -> float:
    """Return the median CPU time of a fresh interpreter that runs this code, in ms."""
    probe = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
    times = []
    for _ in range(7):
        result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        times.append(float(result.stdout.split()[-1]) * 1000)
    return statistics.median(times)


def main() -> None:
    """Measure, and print a table."""
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
    for name, code in IMPORTS.items():
        print(f"{name}: {import_cpu_ms(code):.0f} ms of CPU")


if __name__ == "__main__":
    main()
