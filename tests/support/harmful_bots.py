"""The bots of `tests.support.bots`, and some that harm the process that they are in.

As a program (``python -m tests.support.harmful_bots``) it is an agent, as `tests.support.bots` is one.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.session import Call
from tests.support import bots
from tests.support.bots import BOTS, LONG

__all__ = ["HARMS"]


def _segfault() -> None:
    ctypes.string_at(0)


def _os_exit() -> None:
    os._exit(7)


def _sys_exit() -> None:
    """Leave the loop: in a tool itself it would end the tool only."""
    asyncio.get_running_loop().call_soon(_exits)


def _exits() -> None:
    sys.exit(7)


def _spin() -> None:
    while True:
        pass


def _hang() -> None:
    """Keep the interpreter's lock, so that no thread of the process runs either."""
    ctypes.PyDLL(None).sleep(600)


def _leak() -> None:
    _kept.append(b"\1" * (500 << 20))


def _hoard() -> None:
    """Take too much memory, and hold up every thread of the process."""
    _leak()
    _hang()


def _fork() -> None:
    """Start a child in a session of its own, and a grandchild whose parent ends."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)", "left-by-a-call"]
    subprocess.Popen(sleep, start_new_session=True)
    if os.fork() == 0:
        subprocess.Popen(sleep, start_new_session=True)
        os._exit(0)


_kept: list[bytes] = []
HARMS: dict[str, Callable[[], None]] = {
    "segfault": _segfault,
    "os_exit": _os_exit,
    "sys_exit": _sys_exit,
    "spin": _spin,
    "hang": _hang,
    "leak": _leak,
    "hoard": _hoard,
    "fork": _fork,
}


async def _harms(call: Call, options: dict[str, Any]) -> CallEnd:
    """Speak, and do harm in a tool. What is resumed only speaks, unless it is to do it again."""

    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await asyncio.sleep(0.5)
        HARMS[options["harm"]]()
        await params.result_callback("done")

    agent = await bots.voice(call, replies=[("look_up", {}), LONG], tools=[look_up], greeting=None)
    if call.resumed and not options.get("again"):
        agent = await bots.voice(call, greeting=LONG)
    else:
        bots.ask(agent)
    return await agent.start()


async def _speaks(call: Call, options: dict[str, Any]) -> CallEnd:
    """Speak with the offline voice, whose worker process all calls share."""
    from piopiy_pipeline.services.tts.espeak import EspeakTTSService

    return await (await bots.voice(call, greeting=LONG, tts=EspeakTTSService())).start()


BOTS["harms"] = _harms
BOTS["speaks"] = _speaks

if __name__ == "__main__":
    asyncio.run(bots._main())
