"""The image: what hadolint says of its steps, who runs in it, and how it tells that it is well."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scripts.try_image import KNOWN, instructions
from tests.support.deployment import DEPLOY, ROOT, tool
from tests.support.loopback_certificate import certificate


def test_the_dockerfile_has_no_known_mistake() -> None:
    done = subprocess.run(
        [tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_step_of_the_image_can_be_tried_without_docker() -> None:
    steps = instructions((DEPLOY / "Dockerfile").read_text())
    assert [word for word, _ in steps].count("FROM") == 2
    assert {word for word, _ in steps} <= KNOWN
    copied = {source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]}
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{source.removeprefix('./')}" for source in copied if not source.startswith(("-", "/"))} <= {
        *kept
    }
    assert all((ROOT / line[1:]).exists() for line in kept if line.startswith("!"))


def test_the_image_runs_as_nobody_in_particular_and_is_made_in_two_stages() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert text.count("\nFROM ") == 2
    assert re.search(r"^USER (?!0|root)\d+:\d+$", last, re.MULTILINE)
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
    assert "HEALTHCHECK" in last


def test_extras_of_the_image_exist_and_none_of_them_is_gpl_by_default() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [default] = re.findall(r'^ARG EXTRAS="(.*)"$', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert set(default.split()) <= set(extras)
    assert not set(default.split()) & {"offline", "piper", "espeak"}


def health(*, script: Path = DEPLOY / "health.py", **environment: str) -> tuple[int, str]:
    """Run the health check. Returns its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, script],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("piopiy_agent_connected 1.0\npiopiy_agent_draining 0.0\n", 0),
        ("piopiy_agent_connected 0.0\npiopiy_agent_draining 1.0\n", 0),
        ("piopiy_agent_connected 0.0\npiopiy_agent_draining 0.0\n", 1),
        ("", 1),
    ],
)
def test_an_agent_is_well_when_it_is_connected_or_ends(page: str, status: int, pages: PageServer) -> None:
    pages.text = page
    found = health(PIOPIY_METRICS_PORT=f"0.0.0.0:{pages.port}")
    assert found == (status, "not connected to a gateway" if status else "well")
    assert pages.asked == ["/metrics"]


def test_a_gateway_is_well_when_it_answers(pages: PageServer) -> None:
    assert health(PIOPIY_GATEWAY_PORT=str(pages.port)) == (0, "well")
    assert pages.asked == ["/healthz"]


@pytest.mark.parametrize("told", ["variables", "file"])
def test_a_gateway_with_a_certificate_is_asked_with_tls(told: str, pages: PageServer, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, name="voice.example.org")
    pages.encrypt(chain, key)
    environment, script = {}, tmp_path / "health.py"
    settings = tmp_path / "gateway.toml"
    if told == "file":
        settings.write_text(f'port = {pages.port}\ntls_certificate = "{chain}"\ntls_key = "{key}"\n')
    else:
        environment = {"PIOPIY_GATEWAY_PORT": str(pages.port), "PIOPIY_GATEWAY_TLS_CERTIFICATE": str(chain)}
    text = (DEPLOY / "health.py").read_text()
    assert "/etc/piopiy/gateway.toml" in (DEPLOY / "Dockerfile").read_text()
    script.write_text(text.replace('"/etc/piopiy/gateway.toml"', repr(str(settings))))
    assert health(script=script, **environment) == (0, "well")
    assert pages.asked == ["/healthz"]


def test_what_answers_no_http_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = Thread(target=lambda: _say_and_close(listening, b"SSH-2.0-OpenSSH\r\n"))
        answering.start()
        status, why = health(PIOPIY_GATEWAY_PORT=str(listening.getsockname()[1]))
        answering.join()
    assert status == 1
    assert "BadStatusLine" in why


def _say_and_close(listening: socket.socket, text: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(text)


def test_an_agent_is_asked_at_the_address_at_which_it_listens(pages: PageServer) -> None:
    pages.text = "piopiy_agent_connected 1.0\n"
    with PageServer("127.0.0.9") as elsewhere:
        elsewhere.text = pages.text
        assert health(PIOPIY_METRICS_PORT=f"127.0.0.9:{elsewhere.port}") == (0, "well")
        assert elsewhere.asked == ["/metrics"]
    assert health(PIOPIY_METRICS_PORT=f"[::]:{pages.port}")[0] == 1, "nothing listens at ::1"


def test_where_nothing_listens_nothing_is_well(unused_port: int) -> None:
    assert health(PIOPIY_GATEWAY_PORT=str(unused_port))[0] == 1
    assert health(PIOPIY_METRICS_PORT=str(unused_port))[0] == 1


class PageServer:
    """Answers every GET with the same text."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.text, self.asked = "", list[str]()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(server.text.encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer((host, 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = Thread(target=self._http.serve_forever)
        self._thread.start()

    def encrypt(self, chain: Path, key: Path) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def pages() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
