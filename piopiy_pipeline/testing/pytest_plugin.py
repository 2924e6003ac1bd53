"""The pytest plugin, which is active as soon as the package is installed: simulated calls in tests, and their
report.

    def test_books_a_table(simulate):
        call = simulate(Path("bot.py"), Caller().say(Path("book.wav")))
        call.assert_tool("book_table", people=4)

- `simulate` and `simulate_many` do what those of `piopiy_pipeline.testing` do; their calls are in the report.
- ``@pytest.mark.realtime`` runs the calls of a test on the real clock, so they take their time.
- ``--call-report=FILE.html`` writes one page about all calls of the session, and says which edges of flows no call has
  walked.

The plugin is loaded in every test session of everybody who has the package, so it imports nothing before a
test asks for a call. With pytest-xdist the workers write their calls to a folder of the main process.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from piopiy_pipeline.testing.report.html_report import Outcome, Section
    from piopiy_pipeline.testing.report.simulated_call import Calls, SimulatedCall

__tracebackhide__ = True  # the line of a test that fails is shown, and not those in here
__all__ = ["pytest_addoption", "pytest_configure", "simulate", "simulate_many"]

OPTION = "--call-report"
FOLDER = "piopiy_call_reports"  # the key under which xdist hands the folder to a worker
_MODULES = re.compile(r"^piopiy_pipeline\.(?:\w+\.)*(?=\w+(?::|$))", re.MULTILINE)
"""Those before the name of an exception's class."""
_CALLS = pytest.StashKey[list["SimulatedCall"]]()
_FAILURE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("piopiy", "simulated calls").addoption(
        OPTION,
        metavar="FILE.html",
        type=Path,
        help="write one HTML page about all simulated calls to FILE.html",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "realtime: the simulated calls of this test run against the wall clock, and it says why"
    )
    target: Path | None = config.getoption(OPTION)
    if target is None:
        return
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.pluginmanager.register(_Collector(Path(worker[FOLDER]), prefix=str(worker["workerid"])))
        return
    target = config.invocation_params.dir / target
    if target.is_dir():
        raise pytest.UsageError(f"{OPTION}: {target} is a folder; give the name of a file")
    if not target.parent.is_dir():
        raise pytest.UsageError(f"{OPTION}: there is no folder {target.parent}")
    config.pluginmanager.register(_Reporter(target))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave more of the line for what an error of this package says, where pytest sums up the failures."""
    report = yield
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = _without_modules(crash.message)
    return report


def _without_modules(message: str) -> str:
    return _MODULES.sub("", message)


@pytest.fixture
def simulate(request: pytest.FixtureRequest) -> Callable[..., SimulatedCall]:
    """Simulate a call, as `piopiy_pipeline.testing.simulate` does. A test may simulate several calls."""

    def run(*args: Any, **options: Any) -> SimulatedCall:
        from piopiy_pipeline.testing.simulation import simulate as one_call

        with _Noted(request) as noted:
            call = one_call(*args, **noted.options(options))
            noted.calls.append(call)
        return call

    return run


@pytest.fixture
def simulate_many(request: pytest.FixtureRequest) -> Callable[..., Calls]:
    """Simulate several calls at the same time, as `piopiy_pipeline.testing.simulate_many` does."""

    def run(*args: Any, **options: Any) -> Calls:
        from piopiy_pipeline.testing.simulation import simulate_many as many_calls

        with _Noted(request) as noted:
            calls = many_calls(*args, **noted.options(options))
            noted.calls.extend(calls)
        return calls

    return run


class _Noted:
    """Keeps the calls of one test for the report, also a call that did not come to its end."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._real = request.node.get_closest_marker("realtime") is not None
        self._wanted = request.config.getoption(OPTION) is not None
        self._stash = request.node.stash
        self.calls: list[SimulatedCall] = []

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"clock": "real"} | given if self._real else given

    def __enter__(self) -> _Noted:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # SimulationError has one, the caller who waited in vain, and what a bot has asserted. It comes last, because
        # the failure is shown with the last call; before it are those that had ended when it failed.
        self.calls.extend(getattr(error, "other_calls", ()))
        unfinished = getattr(error, "call", None)
        if unfinished is not None:
            self.calls.append(unfinished)
        if self._wanted:
            self._stash.setdefault(_CALLS, []).extend(self.calls)


class _Collector:
    """Turns the calls of each test into sections of the report, when the test is over."""

    def __init__(self, folder: Path, *, prefix: str) -> None:
        self.folder = folder
        self._prefix = prefix
        self._count = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and _FAILURE not in item.stash:
            # Only the error and its place; the terminal shows the whole traceback.
            where = f"{item.location[0]}, in {report.when}: " if report.when != "call" else ""
            error = call.excinfo.exconly() if call.excinfo else report.longreprtext
            item.stash[_FAILURE] = where + _without_modules(error)
        if report.when == "teardown" and (calls := item.stash.get(_CALLS, [])):
            failure = item.stash.get(_FAILURE, "")
            self._keep(item.nodeid, calls, "failed" if failure else "passed", failure)
            calls.clear()
        return report

    def _keep(self, test: str, calls: list[SimulatedCall], outcome: Outcome, failure: str) -> None:
        from piopiy_pipeline.testing.report.html_report import section

        for number, call in enumerate(calls, 1):
            name = test if len(calls) == 1 else f"{test}, call {number}"
            # The failure is shown once, with the last call, because the test stopped there.
            shown = failure if number == len(calls) else ""
            made = section(call, name=name, outcome=outcome, failure=shown)
            self._count += 1
            file = self.folder / f"{self._prefix}-{self._count:06d}.json"
            file.write_text(made.to_json(), encoding="utf-8")

    def sections(self) -> Iterable[Section]:
        """Return all sections in the folder, sorted by the names of their tests."""
        from piopiy_pipeline.testing.report.html_report import Section

        made = (
            Section.from_json(file.read_text(encoding="utf-8")) for file in sorted(self.folder.glob("*.json"))
        )
        return sorted(made, key=lambda section: section.name.partition(", call ")[0])


class _Reporter(_Collector):
    """Collects sections in the main process, and writes the page at the end of the session."""

    def __init__(self, target: Path) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="piopiy-call-report-")), prefix="main")
        self.target = target
        self._outcome = ""
        self._flows: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker that is about to start where the sections go."""
        node.workerinput[FOLDER] = str(self.folder)

    @pytest.hookimpl(trylast=True)  # behind xdist, which waits for its workers here
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from piopiy_pipeline.testing.report.flow_walks import walks_of
        from piopiy_pipeline.testing.report.html_report import write_report

        sections = list(self.sections())
        self._flows = [line for walks in walks_of(each.flow for each in sections) for line in walks.lines()]
        try:
            write_report(self.target, sections)
        except OSError as error:
            self._outcome = f"the call report could not be written: {error}"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        else:
            calls = "1 call" if len(sections) == 1 else f"{len(sections)} calls"
            self._outcome = f"call report: {self.target} ({calls})"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in (self._outcome, *self._flows):
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
