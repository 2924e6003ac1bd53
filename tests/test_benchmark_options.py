"""Options of the benchmarks: a mistake is one sentence before anything is measured, and `--help` explains each."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from benchmarks import (
    admission,
    churn,
    collecting,
    density,
    first_audio,
    fleet,
    hearing,
    isolation,
    soak,
    spoken_text,
    turn_end,
    vad,
)

MAINS = {"vad": vad.main, "density": density.main}
WRITE = {
    "density": (density.main, ["--plot", "--profile"]),
    "first_audio": (first_audio.main, ["--profile"]),
    "fleet": (fleet.main, ["--json", "--plot"]),
    "hearing": (hearing.main, ["--failures"]),
    "soak": (soak.main, ["--log"]),
    "turn_end": (turn_end.main, ["--json", "--plot", "--failures"]),
}
"""What writes files when all is measured, minutes later."""


@pytest.mark.parametrize("name", MAINS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seconds", "0"], "--seconds: expected 0.5 to 3600 seconds, not '0'"),
        (["--seconds", "0.01"], "--seconds: expected 0.5 to 3600 seconds"),
        (["--seconds", "nan"], "--seconds: expected 0.5 to 3600 seconds"),
        (["--seconds", "inf"], "--seconds: expected 0.5 to 3600 seconds"),
        (["--calls", "1", "0"], "--calls: expected a whole number from 1 on, not '0'"),
        (["--repeats", "-1"], "--repeats: expected a whole number from 1 on"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(
    name: str,
    options: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [name, *options])
    with pytest.raises(SystemExit, match="2"):
        MAINS[name]()
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stock-python", "/bin/false"], "--stock-python: /bin/false is no Python that runs"),
        (["--livekit-python", "/nonexistent/python"], "is no Python that runs"),
        (["--at-most", "0.13", "--side", "ours"], "--at-most needs both sides"),
    ],
)
def test_what_density_needs_later_is_looked_at_first(
    options: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["density", *options])
    with pytest.raises(SystemExit, match="2"):
        density.main()
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", WRITE)
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main, options = WRITE[name]
    for option in options:
        monkeypatch.setattr("sys.argv", [name, option, "/nonexistent/x"])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert f"{option}: /nonexistent/x cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "options", "says"),
    [
        (
            churn.main,
            ["--progress", "0"],
            "--progress: expected a whole number from 1 on",
        ),  # it was without end
        (admission.main, ["--per-second", "0"], "--per-second: expected a number above 0, not '0'"),
        (isolation.main, ["--at-once", "0"], "--at-once: expected a whole number from 1 on"),
    ],
)
def test_what_would_never_end_or_begin_is_refused(
    main: Callable[[], int],
    options: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("main", [collecting.main, spoken_text.main])
def test_help_is_no_measurement(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "python -m benchmarks." in capsys.readouterr().out


def test_an_older_run_that_cannot_be_read_is_told_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fleet", "--beside", "/nonexistent/fleet.json"])
    with pytest.raises(SystemExit, match="2"):
        fleet.main()
    assert "--beside: /nonexistent/fleet.json cannot be read" in capsys.readouterr().err


def test_an_interpreter_needs_the_module() -> None:
    from argparse import ArgumentTypeError

    from benchmarks.benchmark_options import interpreter_with

    assert interpreter_with("json")(sys.executable) == sys.executable
    with pytest.raises(ArgumentTypeError, match="has no module no_such_module"):
        interpreter_with("no_such_module")(sys.executable)
