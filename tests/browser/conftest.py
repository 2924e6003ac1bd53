"""What the tests in a browser share: the address that `make run` prints, with the bot behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import find_chromium

ROOT = Path(__file__).parent.parent.parent
START_S = 40.0
END_S = 20.0
_KEYS = ("OPENAI_API_KEY", "LLM_BASE_URL", "PIOPIY_STT", "PIOPIY_TTS", "PIOPIY_LLM")


@dataclass(frozen=True, slots=True)
class Running:
    """`piopiy dev` with the front desk, as `make run` starts it. `bookings` is what the bot writes."""

    url: str
    """The address of the console, as it was printed."""
    bookings: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The process that `make run` is, on a port of its own, its data in a folder of its own, without keys."""
    find_chromium()
    folder = tmp_path_factory.mktemp("dev")
    environment = {name: value for name, value in os.environ.items() if name not in _KEYS}
    environment |= {
        "XDG_DATA_HOME": str(folder / "data"),
        "PIOPIY_CREDENTIALS": str(folder / "credentials"),
        "BOOKINGS": str(folder / "bookings.jsonl"),
    }
    command = [sys.executable, "-m", "piopiy_pipeline.cli", "dev", "--port", "0"]
    log = folder / "dev.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=output, text=True
        ) as process,
    ):
        # Ended by its pipe's end too: whatever goes wrong here, nothing waits for ever.
        try:
            url = _address(process, log)
            yield Running(url, folder / "bookings.jsonl", process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                print(log.read_text(), file=sys.stderr)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    """The console's address, once the bot takes calls."""
    assert process.stdout is not None
    told: list[str] = []
    for line in process.stdout:
        told.append(line)
        if line.startswith("ready "):
            (console,) = [one for one in told if one.startswith("console ")]
            return console.split()[1]
    pytest.fail(f"piopiy dev ended: {''.join(told)}{log.read_text()}")
