"""`piopiy gateway` as a process: what it prints, and what ends it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from piopiy_pipeline.cli import main
from tests.support.commands import Command

WAIT_S = 40.0


@contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[Command]:
    """The process on a free port, with one agent and its data in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIOPIY_")}
    own = {
        "PIOPIY_GATEWAY_AGENTS": json.dumps({"front_desk": "token"}),
        "PIOPIY_GATEWAY_API_KEYS": json.dumps(["key"]),
        "PIOPIY_GATEWAY_DATA_FOLDER": str(folder),
        **variables,
    }
    with Command("gateway", "--port", "0", *arguments, environment=environment | own) as process:
        yield process


def test_it_prints_where_it_is_and_ends_with_a_signal(tmp_path: Path) -> None:
    with running(tmp_path, "--webrtc-workers", "0", "--record", "--clean-sound", "both") as process:
        url = process.stdout.readline().split()[1]
        console = process.stdout.readline().split()[1]
        assert console == url.replace("ws://", "http://") + "/"
        answer = httpx.get(
            f"{console}api/info", headers={"Authorization": "Bearer key"}, timeout=WAIT_S, trust_env=False
        )
        assert [one["agent_id"] for one in answer.json()["agents"]] == ["front_desk"]
        assert httpx.get(f"{console}api/calls", timeout=WAIT_S, trust_env=False).status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    assert list(tmp_path.glob("*.sqlite3"))


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", r"127\.0\.0\.1"), ("0.0.0.0", r"127\.0\.0\.1"), ("::1", r"\[::1\]")]
)
def test_it_prints_where_telephones_reach_it(tmp_path: Path, host: str, shown: str) -> None:
    sip = json.dumps({"host": host, "port": 0})
    with running(tmp_path, "--webrtc-workers", "0", PIOPIY_GATEWAY_SIP=sip) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        assert re.fullmatch(rf"phones   sip:{shown}:[1-9]\d+\n", lines[2]), lines


def test_records_that_cannot_be_kept_are_one_line_and_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with running(tmp_path / "file" / "folder", "--webrtc-workers", "0") as process:
        _, error = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1
        assert error.splitlines()[-1].startswith("piopiy: ")
        assert str(tmp_path / "file") in error.splitlines()[-1]
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (("--clean-sound", "all"), {}, "--clean-sound all: it is one of off, noise, echo, both"),
        (("--config", ""), {}, "--config is empty: give the path of a TOML file, or leave it out"),
        (("--log-format", ""), {}, "--log-format: '' is neither text nor json"),
        (("--webrtc-ports", "5-1"), {}, "--webrtc-ports '5-1': it is a range from 1024 to 65535"),
        ((), {"PIOPIY_GATEWAY_RING_S": "0", "PIOPIY_GATEWAY_SETUP_S": "0"}, "; PIOPIY_GATEWAY_"),
        (("--webrtc-workers", "65"), {}, "64"),  # the sentence is typer's or pydantic's
        ((), {"PIOPIY_GATEWAY_AGENTS": "{}"}, "the gateway has no agents"),
        ((), {"PIOPIY_GATEWAY_TLS_KEY": "key.pem"}, "give both or neither"),
        ((), {"PIOPIY_GATEWAY_CONSOLE": "open", "PIOPIY_GATEWAY_HOST": "0.0.0.0"}, "not on host '0.0.0.0'"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], variables: dict[str, str], says: str, tmp_path: Path
) -> None:
    with running(tmp_path, *arguments, **variables) as process:
        _, error = process.communicate(timeout=WAIT_S)
        assert process.returncode == 2
        assert says in error
        assert "Traceback" not in error


@pytest.mark.parametrize("ends", ["the call", "a second signal"])
def test_a_signal_drains_and_the_end_comes_with_the_last_call_or_a_second_signal(
    tmp_path: Path, ends: str
) -> None:
    variables = {"PIOPIY_GATEWAY_CALLER_KEYS": '["caller"]', "PIOPIY_GATEWAY_RING_S": "300"}
    with running(tmp_path, "--webrtc-workers", "0", "--drain-s", "600", **variables) as process:
        url = process.stdout.readline().split()[1]
        headers = {"Authorization": "Bearer caller"}
        http = url.replace("ws://", "http://")
        with connect(f"{url}/call/front_desk", additional_headers=headers, proxy=None) as line:
            line.send('{"event": "start", "rate": 16000}')
            line.recv(timeout=WAIT_S)  # it rings, for five minutes
            process.send_signal(signal.SIGTERM)
            for _ in range(1000):
                ready = httpx.get(f"{http}/readyz", timeout=WAIT_S, trust_env=False)
                if ready.status_code == 503:
                    break
            assert ready.status_code == 503
            assert process.poll() is None
            if ends == "a second signal":
                process.send_signal(signal.SIGTERM)
                assert process.wait(WAIT_S) == 0
        assert process.wait(WAIT_S) == 0


def test_a_gateway_is_drained_from_the_command_line_and_takes_calls_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--webrtc-workers", "0") as process:
        url = process.stdout.readline().split()[1]
        assert main(["drain", "--gateway", url, "--api-key", "key"]) == 0
        assert capsys.readouterr().out == "drains, 0 calls in progress\n"
        assert main(["drain", "--gateway", url, "--api-key", "key", "--off"]) == 0
        assert capsys.readouterr().out == "takes calls, 0 calls in progress\n"
        assert main(["drain", "--gateway", url, "--api-key", "wrong"]) == 1
        assert "refuses it: this bearer token is no API key" in capsys.readouterr().err
    assert main(["drain", "--gateway", url]) == 1
    assert "--gateway" in capsys.readouterr().err
