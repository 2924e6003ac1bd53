"""Runs `piopiy gateway` for an agent that has started it, and ends with that: ``python -m
piopiy_pipeline.cli.bound_gateway FD``.

`OwnGateway` on the agent's side starts it, with its settings in the environment. When the pipe FD closes, because the
agent was killed, the gateway ends: nobody would serve its calls.
"""

from __future__ import annotations

import sys
import threading

from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.run_bot import end_with

__all__: list[str] = []


def _main() -> int:
    pipe = int(sys.argv[1])
    threading.Thread(target=end_with, args=(pipe,), name="the agent is there", daemon=True).start()
    return main(["gateway"])


if __name__ == "__main__":
    sys.exit(_main())
