"""Compose and what it mounts: what its schema says, and that it agrees with the gateway and the documentation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from piopiy_pipeline.gateway import GatewayConfig
from tests.support.deployment import CHART, DEPLOY, ROOT, tool


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_is_as_its_specification_says() -> None:
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_gateway_takes_what_compose_gives_it(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    folder.mkdir()
    shutil.copy(DEPLOY / "make_env.sh", folder)
    subprocess.run(["sh", folder / "make_env.sh", "203.0.113.7"], check=True, capture_output=True)
    file = folder / ".env"
    assert file.stat().st_mode & 0o077 == 0
    assert subprocess.run(["sh", folder / "make_env.sh"], check=False, capture_output=True).returncode == 1
    secrets = dict(line.split("=", 1) for line in file.read_text().splitlines())
    own = [value for name, value in secrets.items() if name not in ("PRIVATE_ADDRESS", "WEBRTC_ADDRESS")]
    assert len(set(own)) == len(own)

    def filled(text: str) -> str:
        text = re.sub(r"\$\{(\w+):\+([^}]*)\}", lambda m: m[2] if secrets[m[1]] else "", text)
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: secrets[m[1]] or m[2], text)
        return re.sub(r"\$\{?(\w+)(?::\?[^}]*)?\}?", lambda m: secrets[m[1]], text)

    services = compose()["services"]
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.sip is not None
    assert (config.sip.external_host, config.sip.rtp_ports) == ("203.0.113.7", (16384, 17383))
    assert config.agents == {services["agent"]["environment"]["AGENT_ID"]: secrets["AGENT_TOKEN"]}
    assert config.cluster is not None
    assert (config.cluster.token, config.cluster.url) == (secrets["NATS_TOKEN"], "ws://203.0.113.7:7860")
    assert config.cluster.pages == []
    assert config.webrtc_ports == (17384, 18383)
    secrets["PAGES"] = '["https://calls-a.example", "https://calls-b.example"]'
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.cluster is not None
    assert config.cluster.pages == ["https://calls-a.example", "https://calls-b.example"]
    assert "--jetstream" in services["nats"]["command"], "pages and calls go on with what is kept there"
    assert [filled(port) for name in ("nats", "postgres") for port in services[name]["ports"]] == [
        "127.0.0.1:4222:4222",
        "127.0.0.1:5432:5432",
    ]
    for told in ("", "10.0.0.5=203.0.113.7"):
        secrets["WEBRTC_ADDRESS"] = told
        environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
        assert GatewayConfig.load(None, environ).webrtc_addresses == ([told] if told else [])
    secrets["PRIVATE_ADDRESS"] = "10.0.0.5"  # a second machine's gateway comes to where they listen then
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.cluster is not None
    assert config.cluster.servers == ["nats://10.0.0.5:4222"]
    assert config.database_url is not None
    assert "@10.0.0.5:5432/" in config.database_url
    assert filled(services["nats"]["ports"][0]) == "10.0.0.5:4222:4222"


@pytest.mark.parametrize(
    ("found", "address"), [("192.0.2.1 via 10.1.0.1 dev e src 10.1.0.9 uid 0", "10.1.0.9"), ("", "")]
)
def test_without_an_address_the_machine_s_own_is_taken_or_asked_for(
    found: str, address: str, tmp_path: Path
) -> None:
    shutil.copy(DEPLOY / "make_env.sh", tmp_path)
    (tmp_path / "ip").write_text(f"#!/bin/sh\necho '{found}'\n")
    (tmp_path / "ip").chmod(0o755)
    done = subprocess.run(
        ["sh", tmp_path / "make_env.sh"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is bool(address)
    if address:
        assert f"PUBLIC_ADDRESS={address}\n" in (tmp_path / ".env").read_text()
    else:
        assert "which address has this machine? sh deploy/make_env.sh ADDRESS" in done.stderr
        assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    ("given", "route", "told"),
    [
        ("203.0.113.7", "203.0.113.7 via 10.1.0.1 dev e src 10.1.0.9 uid 0", "10.1.0.9=203.0.113.7"),
        ("203.0.113.7", "local 203.0.113.7 dev lo src 203.0.113.7 uid 0", ""),  # this machine's own
        ("voice.example.org", "", ""),
    ],
)
def test_browsers_are_told_the_address_that_the_world_knows(
    given: str, route: str, told: str, tmp_path: Path
) -> None:
    shutil.copy(DEPLOY / "make_env.sh", tmp_path)
    (tmp_path / "ip").write_text(
        f"#!/bin/sh\ncase $* in *192.0.2.1) echo '192.0.2.1 dev e src 10.1.0.9' ;; *) echo '{route}' ;; esac\n"
    )
    (tmp_path / "ip").chmod(0o755)
    subprocess.run(
        ["sh", tmp_path / "make_env.sh", given],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )
    assert f"WEBRTC_ADDRESS={told}\n" in (tmp_path / ".env").read_text()


def test_files_that_compose_mounts_are_there() -> None:
    volumes = set(compose()["volumes"])
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or (DEPLOY / source).exists(), f"{name}: {source}"


def test_everything_but_the_gateway_is_reached_by_this_machine_alone() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            own = "${PRIVATE_ADDRESS:-127.0.0.1}:" if name in ("nats", "postgres") else "127.0.0.1:"
            assert port.startswith(own), f"{name}: {port}"


def test_dashboards_and_prometheus_have_files_that_can_be_read() -> None:
    for path in [*(DEPLOY / "prometheus").glob("*.yaml"), *(DEPLOY / "grafana").rglob("*.yaml")]:
        assert yaml.safe_load(path.read_text()), path
    if (promtool := shutil.which("promtool")) is not None:
        config = DEPLOY / "prometheus" / "prometheus.yaml"
        done = subprocess.run(
            [promtool, "check", "config", "--syntax-only", config],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_that_files_name_are_those_that_gateways_and_agents_have() -> None:
    there = set(re.findall(r"`(piopiy_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text()))
    there.add("piopiy_agent_calls_per_capacity")  # made by prometheus-adapter
    paths = [
        DEPLOY / "health.py",
        ROOT / "docs" / "deploy.md",
        *(path for path in CHART.rglob("*") if path.is_file()),
    ]
    for path in paths:
        named = set(re.findall(r"\bpiopiy_(?:agent|gateway)_[a-z_]+", path.read_text()))
        assert named <= there, path
