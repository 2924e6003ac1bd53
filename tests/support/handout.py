"""Which worker of pytest-xdist runs which test.

Tests against the clock of the wall wait for most of their time, and all others compute. So some workers, which step
back for all other processes, take the others from the beginning on: what the waiting ones leave of the processors is
used. Where these are done all workers do what is left.

On a slow machine fewer tests wait at a time, and no two with real ears do: what a recogniser hears late, or not at all,
is the machine's. One worker has all of them, and everything else steps back for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

__all__ = ["IS_SLOW", "Handout", "is_slow_machine", "is_together", "step_back"]

IS_SLOW = "slow machine"
"""Under this name a worker is told whether it is on one."""
ROOT = Path(__file__).parents[2]

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
    "tests/gateway/records/test_lost_calls.py": "databases",
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
    "tests/testing/test_pytest_plugin.py": "call reports",
}
"""Files whose tests share what takes seconds to make: a group runs on one worker, which makes it once."""
_OF, _OF_SLOW = 4, 2
"""One worker of so many computes. Those that wait use a quarter of a processor each, or a little more."""
_NICE = 10
"""How far it steps back: beside a process that wants the same processor it gets a tenth of it."""
_NICE_SLOW = 5
"""How far a worker that waits steps back on a slow machine, but for the one with ears: it gets a third."""
_STEPS = compile("total = 0\nfor number in range(100_000): total += number", __name__, "exec")
_SLOW_S = 0.006
"""A slow machine computes for longer at these steps, in seconds, divided by the number of its processors: two that take
8 ms each are quick, and two that take 17 ms are slow."""
_EARS = re.compile(r"\bmake_run\b|\bfront_desk\b|\bimport prepare\b")
"""What a file has in it whose tests wait for real ears: the front desk, or the offline services alone."""


class Handout(LoadScopeScheduling):
    """Hands tests out one at a time, but for groups, which begin first.

    The tests are sorted: those that wait come first. Workers that compute take them from the end.
    By the names of files, because the groups of xdist 3.8 (``--dist=loadgroup``) are none with pytest 9.2.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._one_has_ears = is_slow_machine()  # and there are tests for it

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        backwards = _computes(node.gateway.id, is_slow_machine())
        scopes = reversed(self.workqueue) if backwards else iter(self.workqueue)
        scope = next(scopes) if not self._one_has_ears else self._of_its_ears(node, scopes)
        if scope is None:
            node.shutdown()  # what is left is for the one that has ears
            return
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _of_its_ears(self, node: WorkerController, scopes: Iterator[str]) -> str | None:
        """Return the first of these for the one that has ears, or the first for the others, or None."""
        left = (one for one in self.nodes if not one.shutting_down)
        has_ears = node is min(left, key=lambda one: _number(one.gateway.id), default=None)
        found: str | None = next((one for one in scopes if self._needs_ears(one) == has_ears), None)
        if found is None and has_ears:
            self._one_has_ears = False
            found = str(next(iter(self.workqueue)))
        return found

    def _needs_ears(self, scope: str) -> bool:
        return _needs_ears(next(iter(self.workqueue[scope])).partition("::")[0])


@cache
def is_slow_machine() -> bool:
    """Return whether this machine's processors are few or slow. It takes 0.1 s of one, once."""
    took_s = []
    for _ in range(5):
        began = time.thread_time()  # whatever others compute meanwhile
        exec(_STEPS, {})
        took_s.append(time.thread_time() - began)
    return min(took_s) / (os.cpu_count() or 1) > _SLOW_S


def is_together(nodeid: str) -> bool:
    """Return whether a test is one of a group that stays together."""
    return nodeid.partition("::")[0] in TOGETHER


def step_back(told: Mapping[str, Any]) -> None:
    """Let other processes go first, unless this worker is one for which others step back. `told` is its input."""
    worker, is_slow = told["workerid"], told[IS_SLOW]
    if _computes(worker, is_slow):
        os.nice(_NICE)
    elif is_slow and worker != "gw0":
        os.nice(_NICE_SLOW)


def _computes(worker: str, is_slow: bool) -> bool:
    of = _OF_SLOW if is_slow else _OF
    return _number(worker) % of == of - 1


def _number(worker: str) -> int:
    return int(worker.removeprefix("gw"))


@cache
def _needs_ears(file: str) -> bool:
    text = (ROOT / file).read_text(encoding="utf-8")
    return "mark.realtime" in text and _EARS.search(text) is not None
