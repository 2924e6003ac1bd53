"""What a benchmark needs and this machine does not have, in one sentence with the command that mends it; or what a
process of it said last.

A benchmark may need a package of an extra, a program, a browser or a voice, and finds out in the middle of its work, or
in one of its processes. So the way to say it stands at the end of all of them: `say_what_is_missing` takes the place of
Python's traceback, for such errors alone.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from benchmarks.child_process import Failed

__all__ = ["say_what_is_missing", "sentence"]

PACKAGES = {"hibari": "hibari-tts==0.2.1", "pocketsphinx": "pocketsphinx"}
"""Of a module that no extra of this project has: what installs it."""
PROGRAMS = {
    "apt-get": "apt",
    "baresip": "baresip-core",
    "chromium": "chromium",
    "dpkg-deb": "dpkg",
    "flite": "flite",
    "linphonec": "linphone-cli",
    "sipp": "sip-tester",
}
"""Of a program: Debian's package."""
OWN = ("benchmarks", "piopiy", "piopiy_pipeline", "scripts", "tests")


def say_what_is_missing(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write one sentence to stderr if something is missing, else the traceback (`sys.excepthook`)."""
    if (said := sentence(error)) is None:
        traceback.print_exception(kind, error, trace)
    else:
        print(f"{Path(sys.argv[0]).stem}: {said}", file=sys.stderr)


def sentence(error: BaseException) -> str | None:
    """Return what is missing, and the command that mends it; None if something else is wrong.

    Args:
        error: What a benchmark has raised. What it was caused by, and what is in a group, counts, too.
    """
    return next((said for each in _all_of(error) if (said := _of_one(each)) is not None), None)


def _of_one(error: BaseException) -> str | None:
    match error:
        case Failed():  # with the last words of a process
            return str(error)
        case ModuleNotFoundError():
            named = re.search(r"No module named '([\w.]+)'", str(error))  # pickled, it has lost its name
            module = (error.name or (named[1] if named else "")).partition(".")[0]
            if not module or module in OWN:
                return None
            package = PACKAGES.get(module)
            how = (
                f".venv/bin/uv pip install --python .venv/bin/python {package}"
                if package
                else "sh scripts/setup.sh"
            )
            return f"the Python package {package or module} is not installed: {how}"
        case FileNotFoundError() if Path(str(error.filename)).name in PROGRAMS and not _is_there(error):
            program = Path(str(error.filename)).name
            return f"the program {program} is not installed: apt-get install {PROGRAMS[program]}"
        case RuntimeError() if " is not installed" in str(error):
            return str(error)  # of ours, with its command
        case _ if type(error).__name__ == "Skipped":  # a test's way to say it: `tests.support.browser`
            return str(error)
    return None


def _is_there(error: FileNotFoundError) -> bool:
    return Path(str(error.filename)).exists()


def _all_of(error: BaseException) -> Iterator[BaseException]:
    yield error
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _all_of(inner)
    if error.__cause__ is not None:
        yield from _all_of(error.__cause__)
