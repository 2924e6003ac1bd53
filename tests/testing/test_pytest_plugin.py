"""The plugin, in test sessions of its own: what a bot's author has once the package is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

CONFTEST = """
    import sys, types
    import pytest
    from tests.support.simulated import booking_call
    from piopiy_pipeline.testing.report.simulated_call import Calls

    def one(bot, caller=None, *, clock="virtual", fails=None):
        call = booking_call()
        call.seed = {"virtual": 1, "real": 2}[clock]
        if fails is not None:
            fails.call = call
            raise fails
        return call

    def many(bot, callers, **options):
        return Calls(one(bot, each, **options) for each in callers)

    @pytest.fixture(autouse=True)
    def pretended(monkeypatch):
        module = types.SimpleNamespace(simulate=one, simulate_many=many)
        monkeypatch.setitem(sys.modules, "piopiy_pipeline.testing.simulation", module)
"""

TESTS = """
    import pytest

    def test_good(simulate):
        simulate("bot").assert_tool("book_table", people=4)

    def test_bad(simulate):
        simulate("bot").assert_tool("book_table", people=5)

    def test_two(simulate):
        assert simulate("bot") is not simulate("bot")

    def test_many(simulate_many):
        assert len(simulate_many("bot", ["a", "b", "c"])) == 3

    def test_without_a_call():
        pass
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An author's project, with calls that are quick to make because nothing is simulated."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeconftest(CONFTEST)
    return pytester


STUCK = """
    from piopiy_pipeline.testing import SimulationError
    from tests.support.simulated import booking_call

    def test_one(simulate):
        simulate("bot", fails=SimulationError("the tool 'wait' had not returned"))

    def test_third(simulate):
        error = SimulationError("the tool 'look' had not returned")
        error.other_calls = [booking_call(), booking_call()]
        simulate("bot", fails=error)
"""
BAD = """
    import pytest

    @pytest.fixture
    def broken_afterwards():
        yield
        raise OSError("the disk is full")

    def test_bad(simulate):
        simulate("bot").assert_said("never")

    def test_good_until_then(simulate, broken_afterwards):
        simulate("bot")

    def test_stuck(simulate):
        from piopiy_pipeline.testing import SimulationError
        simulate("bot", fails=SimulationError("it had not ended"))
"""
FLOW = """
    from piopiy_pipeline.session.flow.flow_graph import FlowEdge, FlowGraph
    from piopiy_pipeline.testing.report.call_events import Event

    def test_flow(simulate):
        call = simulate("bot")
        call.flow = FlowGraph("desk", "a", ("a", "b"), (FlowEdge("a", "go", "b"), FlowEdge("b", "back", "a")))
        call.events.append(Event(1.0, "flow", {"before": "a", "function": "go", "node": "b"}))

    def test_again(simulate):
        test_flow(simulate)
"""
FILES = {"bad": BAD, "desk": TESTS, "flow": FLOW, "other": TESTS, "stuck": STUCK}


@dataclass(frozen=True)
class Reported:
    """What a session has printed, and its report of calls."""

    printed: str
    html: str

    def results(self, file: str = "") -> list[tuple[str, str]]:
        """The calls of this file, or of all, in the report's order, and the results of their tests."""
        text = self.html.replace("<wbr>", "")
        found = re.findall(r'<h2>([^<]*)</h2><p class="facts"><span><span class="(\w+)-word">', text)
        return [(name, result) for name, result in found if file in name]

    def about(self, name: str) -> str:
        """What the report has of this call."""
        (found,) = [
            part for part in self.html.replace("<wbr>", "").split("<h2>") if part.startswith(f"{name}</h2>")
        ]
        return found


def ended(folder: Path, *options: str) -> Reported:
    """Run the tests of `FILES` in a session with these options."""
    (folder / "conftest.py").write_text(textwrap.dedent(CONFTEST))
    for name, text in FILES.items():
        (folder / f"test_{name}.py").write_text(textwrap.dedent(text))
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "--call-report=calls.html", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    nouns = pytest.RunResult.parse_summary_nouns(done.stdout.splitlines())
    outcomes = {name: number for name, number in nouns.items() if name != "warnings"}
    assert outcomes == {"passed": 11, "failed": 6, "errors": 1}, done.stdout
    return Reported(done.stdout, (folder / "calls.html").read_text())


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return ended(tmp_path_factory.mktemp("in_turn"), "-p", "no:xdist")


@pytest.fixture(scope="module")
def by_workers(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return ended(tmp_path_factory.mktemp("by_workers"), "-n", "2")


def test_the_report_has_every_call_of_the_session_with_its_result(in_turn: Reported) -> None:
    assert re.search(r"^call report: \S*calls\.html \(23 calls\)$", in_turn.printed, re.M), in_turn.printed
    assert in_turn.results("test_desk.py") == [
        ("test_desk.py::test_bad", "failed"),
        ("test_desk.py::test_good", "passed"),
        ("test_desk.py::test_many, call 1", "passed"),
        ("test_desk.py::test_many, call 2", "passed"),
        ("test_desk.py::test_many, call 3", "passed"),
        ("test_desk.py::test_two, call 1", "passed"),
        ("test_desk.py::test_two, call 2", "passed"),
    ]
    assert "the bot never used book_table(people=5)" in in_turn.about("test_desk.py::test_bad")


def test_with_workers_it_is_the_same_report(in_turn: Reported, by_workers: Reported) -> None:
    assert re.search(r"^call report: \S*calls\.html \(23 calls\)$", by_workers.printed, re.M), (
        by_workers.printed
    )
    found = by_workers.results()
    assert found == sorted(found)
    assert found == in_turn.results()
    assert len(found) == 23


def test_a_simulation_that_did_not_end_is_in_the_report_as_far_as_it_came(in_turn: Reported) -> None:
    assert in_turn.results("test_stuck.py::test_one") == [("test_stuck.py::test_one", "failed")]
    assert "had not returned" in in_turn.about("test_stuck.py::test_one")


def test_of_many_calls_the_one_that_failed_is_in_the_report_behind_the_others(in_turn: Reported) -> None:
    names = [f"test_stuck.py::test_third, call {number}" for number in (1, 2, 3)]
    assert in_turn.results("test_stuck.py::test_third") == [(name, "failed") for name in names]
    assert ["had not returned" in in_turn.about(name) for name in names] == [False, False, True]


def test_of_a_failure_the_report_tells_the_error_and_not_the_traceback(in_turn: Reported) -> None:
    names = [f"test_bad.py::test_{name}" for name in ("bad", "good_until_then", "stuck")]
    shown = [re.findall('<pre class="failure">(.*?)</pre>', in_turn.about(name), re.S) for name in names]
    assert [[text.splitlines()[0] for text in texts] for texts in shown] == [
        ["AssertionError: the bot never said &#x27;never&#x27;"],
        ["test_bad.py, in teardown: OSError: the disk is full"],
        ["SimulationError: it had not ended"],
    ]


def test_the_session_ends_with_the_edges_of_flows_that_no_call_has_walked(by_workers: Reported) -> None:
    told = "flow desk: 2 calls, 1 of 2 nodes, 1 of 2 edges walked\n  never walked: b --back--> a\n"
    assert told in by_workers.printed
    assert "never walked: b --back--" in by_workers.html


def test_a_test_marked_realtime_calls_on_the_real_clock_unless_it_says_otherwise(
    session: pytest.Pytester,
) -> None:
    session.makepyfile(
        """
        import pytest

        @pytest.mark.realtime
        def test_real(simulate, simulate_many):
            assert simulate("bot").seed == 2
            assert simulate("bot", clock="virtual").seed == 1
            assert simulate_many("bot", ["a"])[0].seed == 2

        def test_virtual(simulate):
            assert simulate("bot").seed == 1
        """
    )
    session.runpytest_subprocess("--strict-markers").assert_outcomes(passed=2)


def test_without_calls_nothing_of_pipecat_or_numpy_is_imported(session: pytest.Pytester) -> None:
    (session.path / "conftest.py").unlink()
    session.makepyfile(
        """
        import sys

        def test_nothing():
            assert not {"pipecat", "numpy", "onnxruntime", "loguru"} & set(sys.modules)

        def test_the_fixture_alone_costs_nothing_either(simulate):
            test_nothing()
        """
    )
    session.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=2)


def test_a_report_that_cannot_be_written_is_an_error_before_any_test_runs(session: pytest.Pytester) -> None:
    session.makepyfile("def test_never(): raise AssertionError('it ran')")
    for target, says in (("no/such/calls.html", "there is no folder"), (".", "is a folder")):
        result = session.runpytest_subprocess(f"--call-report={target}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*--call-report: *{says}*"])


WRONG = """
    from piopiy_pipeline.testing import Caller

    async def bot(call):
        {}["four"]

    async def greets(call):
        from tests.support.bots import voice
        agent = await voice(call, greeting="Hello!")
        await agent.start()

    def test_fails(simulate):
        simulate(bot, Caller()).assert_said("booked")

    def test_waits(simulate):
        simulate(greets, Caller().until("booked", timeout_s=1))
"""


def test_a_failure_shows_the_line_of_the_test_and_none_of_ours(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(test_desk=WRONG)
    result = pytester.runpytest_subprocess("-p", "no:xdist", "--show-capture=no")
    result.assert_outcomes(failed=2)
    shown = result.stdout.str()
    assert "simulated_call.py:" not in shown
    assert "simulation.py:" not in shown
    assert "pytest_plugin.py:" not in shown
    result.stdout.fnmatch_lines(
        [
            '>*simulate(bot, Caller()).assert_said("booked")',
            "E*the callback failed: KeyError at test_desk.py:4: 'four'; and the bot never said 'booked'",
            ">*simulate(greets, Caller().until(*",
            "E*the caller waited 1 s for the bot to say /booked/; it said 'Hello!'*",
            "FAILED test_desk.py::test_fails - AssertionError: the callback failed: KeyError at *",
            "FAILED test_desk.py::test_waits - CallerGaveUp: the caller waited 1 s for the bot to say *",
        ]
    )
