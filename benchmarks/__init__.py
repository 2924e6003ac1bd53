"""Every number of the documentation: ``python -m benchmarks.NAME``, and ``--help`` for what it takes."""

import sys

from benchmarks.missing import say_what_is_missing

if sys.argv[0] == "-m":  # it is not imported by a test, but about to be run
    sys.excepthook = say_what_is_missing
