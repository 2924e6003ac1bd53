"""Who calls when in a run of `piopiy load`, in virtual time: the ramp, the duration, and that it always ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.load import _Load, _Output
from piopiy_pipeline.cli.loading.figures import CallerKind, LoadFigures
from piopiy_pipeline.cli.loading.load_run import FINISH_S, LoadPlan, LoadRun
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.signaling.caller import CallStart
from piopiy_pipeline.testing import Caller
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop


class TimedCalls:
    """Calls of a certain length, which note when each began. Callers who are to hang up do so at once."""

    def __init__(self, call_s: float, *, failure: str = "", deaf: bool = False) -> None:
        self.began: list[float] = []
        self._call_s, self._failure, self._deaf = call_s, failure, deaf

    async def place(self, *_: Any, hang_up: asyncio.Event, **__: Any) -> CallOutcome:
        loop = asyncio.get_running_loop()
        self.began.append(round(loop.time(), 3))
        if self._failure:
            raise Failed(self._failure)
        try:
            async with asyncio.timeout(self._call_s):
                await (asyncio.Event() if self._deaf else hang_up).wait()
        except TimeoutError:
            pass
        return CallOutcome(EndReason.CALLER_HANGUP, "", True, self._call_s, (), (), (), 1, None)


def run(line: TimedCalls, *, stop_after_s: float | None = None, **plan: Any) -> tuple[LoadFigures, float]:
    """Run a plan. Returns the figures, and how long it took in seconds."""
    options: dict[str, Any] = {
        "calls": 3,
        "per_second": 2.0,
        "duration_s": None,
        "kinds": ("stream",),
        "limit_s": 300.0,
        "tells_barge_in": False,
    }
    loop = VirtualLoop()

    async def main() -> tuple[LoadFigures, float]:
        began = loop.time()
        line.began.clear()
        stop = asyncio.Event()
        figures = LoadFigures(options["kinds"])
        ways: dict[CallerKind, Any] = dict.fromkeys(options["kinds"], line.place)
        callers: dict[CallerKind, Caller] = dict.fromkeys(options["kinds"], Caller())
        if stop_after_s is not None:
            loop.call_later(stop_after_s, stop.set)
        await LoadRun(LoadPlan(**options), ways, callers, CallStart(), figures).run(stop)
        line.began[:] = [round(at - began, 3) for at in line.began]
        return figures, loop.time() - began

    options |= plan
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def test_without_a_duration_each_caller_calls_once_and_no_more_begin_in_a_second_than_were_asked_for() -> (
    None
):
    calls = TimedCalls(10.0)
    figures, took_s = run(calls)
    assert calls.began == [0.0, 0.5, 1.0]
    assert took_s == pytest.approx(11.0)
    assert (figures.all.begun, figures.most_active, figures.all.failed) == (3, 3, 0)


def test_who_has_hung_up_calls_again_until_the_duration_is_over() -> None:
    calls = TimedCalls(4.0)
    figures, took_s = run(calls, calls=1, duration_s=10.0)
    assert calls.began == [0.0, 4.0, 8.0]
    assert took_s == pytest.approx(12.0), "the last call may finish"
    assert figures.most_active == 1


def test_calls_that_go_on_after_the_duration_are_hung_up() -> None:
    _, took_s = run(TimedCalls(1e6), duration_s=10.0)
    assert took_s == pytest.approx(10.0 + FINISH_S)


def test_a_signal_hangs_up_every_call_and_no_other_begins() -> None:
    calls = TimedCalls(60.0)
    figures, took_s = run(calls, calls=100, per_second=10.0, stop_after_s=1.05)
    assert took_s == pytest.approx(1.05)
    assert len(calls.began) == 11
    assert figures.active == 0
    assert figures.all.failed == 0


def test_a_call_that_does_not_hang_up_is_cut_off() -> None:
    _, took_s = run(TimedCalls(1e6, deaf=True), stop_after_s=2.0)
    assert took_s < 10.0


def test_a_gateway_that_refuses_is_not_flooded() -> None:
    calls = TimedCalls(0.0, failure="no gateway")
    figures, _ = run(calls, calls=2, per_second=100.0, duration_s=10.0)
    assert len(calls.began) <= 2 * 11, "each waits for a second after a failure"
    assert figures.failures == {"no gateway": len(calls.began)}


def test_kinds_take_turns() -> None:
    figures, _ = run(TimedCalls(1.0), calls=6, kinds=("stream", "stream", "sip"))
    assert {kind: one.begun for kind, one in figures.by_kind.items()} == {"stream": 4, "sip": 2}


def test_failures_have_a_bounded_number_of_reasons() -> None:
    loop = VirtualLoop()

    async def main() -> LoadFigures:
        figures = LoadFigures(("stream",))
        for number in range(1000):
            figures.begin("stream")
            figures.end("stream", None, f"reason {number} " + "x" * 1000)
        return figures

    figures = loop.run_until_complete(main())
    loop.close()
    assert len(figures.failures) == 51
    assert figures.failures["other reasons"] == 950
    assert max(map(len, figures.failures)) <= 200


def test_a_caller_who_fails_in_an_unforeseen_way_is_counted_and_the_others_are_measured() -> None:
    calls = TimedCalls(1.0)
    places = 0

    async def place(*given: Any, **options: Any) -> CallOutcome:
        nonlocal places
        places += 1
        if places == 2:
            raise KeyError("token")
        return await TimedCalls.place(calls, *given, **options)

    calls.place = place  # type: ignore[method-assign]  # one of its calls has a fault
    figures, _ = run(calls)
    assert (figures.all.begun, figures.all.failed, figures.active) == (3, 1, 0)
    [reason] = figures.failures
    assert reason.startswith("KeyError at ")


def test_what_was_measured_is_printed_even_if_the_page_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, _ = run(TimedCalls(1.0))
    plan = LoadPlan(
        calls=3, per_second=2.0, duration_s=None, kinds=("stream",), limit_s=300.0, tells_barge_in=False
    )
    load = _Load(Target("ws://127.0.0.1:1", "desk", "key"), plan, {}, CallStart(), None, None)
    with pytest.raises(Failed, match=f"--html {tmp_path}: Is a directory"):
        load.report(figures, {"began": "", "stopped": False}, [], _Output(json=True, html=tmp_path))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["begun"] == 3
