"""`make run` as a process: the gateway, the console and the front desk, on a free port, its data elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Running", "make_run"]

ROOT = Path(__file__).parent.parent.parent
END_S = 20.0
_LEASH = ("setpriv", "--pdeathsig", "INT") if shutil.which("setpriv") else ()
"""Before a command, on Linux: it is interrupted when the tests are killed, which end nothing then."""
_COMMAND = (*_LEASH, sys.executable, "-m", "piopiy_pipeline.cli", "dev", "--port", "0")
_KEYS = ("OPENAI_API_KEY", "LLM_BASE_URL", "PIOPIY_STT", "PIOPIY_TTS", "PIOPIY_LLM")


@dataclass(frozen=True, slots=True)
class Running:
    """`piopiy dev` with the front desk. `bookings` is the file that the bot writes."""

    url: str
    """The address of the console, as it was printed."""
    bookings: Path


@contextmanager
def make_run(folder: Path, bot: Path | None = None) -> Iterator[Running]:
    """Run it until the end of the block, with its data in `folder`, and without anybody's keys.

    `bot` is the file of another bot than the front desk. Its log goes to stderr in the end. Raises `RuntimeError` if it
    ends before its bot takes calls.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _KEYS}
    environment |= {
        "XDG_DATA_HOME": str(folder / "data"),
        "PIOPIY_CREDENTIALS": str(folder / "credentials"),
        "BOOKINGS": str(folder / "bookings.jsonl"),
    }
    log = folder / "dev.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*_COMMAND, *([str(bot)] if bot else [])],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield Running(_address(process, log), folder / "bookings.jsonl")
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
    """Return the console's address, when the bot takes calls. Raises if the bot cannot be started."""
    assert process.stdout is not None
    printed: list[str] = []
    for line in process.stdout:
        printed.append(line)
        if "the bot ended" in line:
            break
        if line.startswith("ready "):
            (console,) = [one for one in printed if one.startswith("console ")]
            return console.split()[1]
    raise RuntimeError(f"piopiy dev ended: {''.join(printed)}{log.read_text()}")
