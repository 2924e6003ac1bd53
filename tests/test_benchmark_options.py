"""Options of the benchmarks: a mistake is one sentence before anything is measured, and `--help` explains each."""

from __future__ import annotations

import sys

import pytest

from benchmarks import density, vad

MAINS = {"vad": vad.main, "density": density.main}


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
        (["--plot", "/nonexistent/x.svg"], "--plot: /nonexistent/x.svg cannot be written"),
        (["--profile", "/nonexistent/x"], "--profile: /nonexistent/x cannot be written"),
        (["--stock-python", "/bin/false"], "--stock-python: /bin/false is no Python that runs"),
        (["--livekit-python", "/nonexistent/python"], "is no Python that runs"),
    ],
)
def test_what_density_needs_later_is_looked_at_first(
    options: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["density", *options])
    with pytest.raises(SystemExit, match="2"):
        density.main()
    assert says in capsys.readouterr().err


def test_an_interpreter_needs_the_module() -> None:
    from argparse import ArgumentTypeError

    from benchmarks.benchmark_options import interpreter_with

    assert interpreter_with("json")(sys.executable) == sys.executable
    with pytest.raises(ArgumentTypeError, match="has no module no_such_module"):
        interpreter_with("no_such_module")(sys.executable)
