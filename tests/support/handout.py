"""Which worker of pytest-xdist runs which test.

Tests against the clock of the wall wait for most of their time, and all others compute. So some workers, which step
back for all other processes, take the others from the beginning on: what the waiting ones leave of the processors is
used. Where these are done all workers do what is left.
"""

from __future__ import annotations

import os
from typing import Any

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

__all__ = ["Handout", "is_together", "step_back"]

TOGETHER = {
    "tests/browser/test_barge_in.py": "browser",
    "tests/browser/test_console.py": "browser",
    "tests/browser/test_endings.py": "browser",
    "tests/browser/test_own_words.py": "browser",
    "tests/browser/test_refusals.py": "browser",
    "tests/call/test_ears.py": "ears",
    "tests/call/test_turn_ends.py": "turn ends",
    "tests/chaos/test_call_faults.py": "call faults",
    "tests/chaos/test_isolated_calls.py": "isolated calls",
    "tests/chaos/test_killed_tools.py": "killed tools",
    "tests/cli/test_replay.py": "replay",
    "tests/gateway/records/test_migration.py": "databases",
    "tests/gateway/records/test_records.py": "databases",
    "tests/gateway/records/test_store.py": "databases",
    "tests/gateway/webrtc/test_webrtc_calls.py": "browser legs",
    "tests/gateway/webrtc/test_webrtc_faults.py": "browser legs",
    "tests/gateway/webrtc/test_webrtc_messages.py": "browser legs",
    "tests/piopiy/test_beside_rest_client.py": "two distributions",
    "tests/piopiy/test_rest_clients.py": "published clients",
    "tests/rules/test_import_contracts.py": "import contracts",
    "tests/services/stt/test_moonshine.py": "moonshine",
    "tests/services/tts/test_local_tts.py": "local voices",
    "tests/services/tts/test_piper.py": "piper",
    "tests/services/tts/test_piper_voice.py": "piper voice",
}
"""Files whose tests share what takes seconds to make: a group runs on one worker, which makes it once."""
_OF = 4
"""One worker of so many computes. Those that wait use a quarter of a processor each, or a little more."""
_NICE = 10
"""How far it steps back: beside a process that wants the same processor it gets a tenth of it."""


class Handout(LoadScopeScheduling):
    """Hands tests out one at a time, but for groups, which begin first.

    The tests are sorted: those that wait come first. Workers that compute take them from the end.
    By the names of files, because the groups of xdist 3.8 (``--dist=loadgroup``) are none with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self.workqueue and _computes(node.gateway.id):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def is_together(nodeid: str) -> bool:
    """Return whether a test is one of a group that stays together."""
    return nodeid.partition("::")[0] in TOGETHER


def step_back(worker: str) -> None:
    """Let other processes go first, if this worker is one that computes. `worker` is its name, such as ``gw3``."""
    if _computes(worker):
        os.nice(_NICE)


def _computes(worker: str) -> bool:
    number: Any = worker.removeprefix("gw")
    return bool(worker) and int(number) % _OF == _OF - 1
