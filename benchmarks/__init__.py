"""Every number of the documentation: ``python -m benchmarks.NAME``, and ``--help`` for what it takes."""

import os
import signal
import sys
from pathlib import Path

from benchmarks.child_process import PART_OF
from benchmarks.missing import say_what_is_missing


def _interrupt(*_: object) -> None:
    """End as at a Ctrl-C, which asyncio makes a cancellation of: no gateway and no file is left behind."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


if sys.argv[0] == "-m" or Path(sys.argv[0]).absolute().parent == Path(__file__).absolute().parent:
    # It is not imported by a test, but about to be run.
    sys.excepthook = say_what_is_missing
    if PART_OF not in os.environ:
        signal.signal(signal.SIGTERM, _interrupt)  # as of `timeout`
