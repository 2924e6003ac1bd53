"""How a watchdog's word goes out while the gateway answers late or not at all: real threads, a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from piopiy_pipeline.agent.blocked_report import CLOSE_S, OPEN_S, BlockedReport
from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.signaling.messages import Blocked
from tests.support.one_name import NAME, OneName

pytestmark = pytest.mark.realtime
GENEROUS_S = 20.0


def word(blocked_s: float) -> Blocked:
    return Blocked(agent_id="desk", instance_id="desk-1", call_id="call-1", blocked_s=blocked_s, limit_s=10.0)


class LateGateway:
    """A server that answers when it may, and notes what is said."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.may_answer = threading.Event()
        self.refuses: HTTPStatus | None = None
        self.asked = threading.Semaphore(0)
        self.heard: list[float] = []
        self.connections = 0
        self.hears = threading.Condition()
        self._server = serve(self._on_connection, host, port, process_request=self._on_request)
        self.port = self._server.socket.getsockname()[1]
        self.address = GatewayAddress(f"ws://{host}:{self.port}")
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked.release()
        self.may_answer.wait(GENEROUS_S)
        if self.refuses is None:
            return None
        response = connection.respond(self.refuses, "")
        response.headers["Location"] = "ws://[nowhere"
        return response

    def _on_connection(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            for text in connection:
                with self.hears:
                    self.heard.append(Blocked.model_validate_json(text).blocked_s)
                    self.hears.notify_all()
        except ConnectionClosed:
            pass

    def hear(self, *blocked_s: float) -> bool:
        """Wait until these have been heard, and nothing else."""
        with self.hears:
            return self.hears.wait_for(lambda: self.heard == list(blocked_s), GENEROUS_S)

    def close(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join(GENEROUS_S)


@pytest.fixture
def gateway() -> Iterator[LateGateway]:
    gateway = LateGateway()
    yield gateway
    gateway.close()


@pytest.fixture
def report(gateway: LateGateway) -> Iterator[BlockedReport]:
    report = BlockedReport(lambda: gateway.address, "token")
    yield report
    report.close()


def report_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "piopiy blocked report"]


def test_who_tells_does_not_wait_and_the_latest_word_is_what_the_gateway_hears(
    gateway: LateGateway, report: BlockedReport
) -> None:
    report.send(word(0.3))
    assert gateway.asked.acquire(timeout=GENEROUS_S)
    report.send(word(0.4))
    report.send(word(0.9))
    assert not gateway.heard, "it has not waited for an answer"
    gateway.may_answer.set()
    assert gateway.hear(0.9)
    report.send(word(1.4))
    assert gateway.hear(0.9, 1.4)
    assert gateway.connections == 1


def test_what_is_over_before_it_goes_out_is_not_said(gateway: LateGateway, report: BlockedReport) -> None:
    report.send(word(0.3))
    assert gateway.asked.acquire(timeout=GENEROUS_S)
    report.withdraw()
    gateway.may_answer.set()
    report.send(word(0.5))
    assert gateway.hear(0.5)


@pytest.mark.parametrize("status", [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.FOUND])
def test_what_a_gateway_refuses_is_said_with_the_next_word(
    gateway: LateGateway, report: BlockedReport, status: HTTPStatus
) -> None:
    gateway.refuses = status
    gateway.may_answer.set()
    report.send(word(0.3))
    assert gateway.asked.acquire(timeout=GENEROUS_S)
    gateway.refuses = None
    end = time.monotonic() + GENEROUS_S
    while not gateway.heard and time.monotonic() < end:
        report.send(word(0.4))
    assert set(gateway.heard) == {0.4}


def test_of_several_gateways_with_one_name_the_one_at_home_is_told(
    gateway: LateGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = LateGateway("127.0.0.2", gateway.port)
    OneName(monkeypatch, "127.0.0.1", "127.0.0.2")
    address = GatewayAddress(f"ws://{NAME}:{gateway.port}", "127.0.0.2")
    report = BlockedReport(lambda: address, "token")
    gateway.may_answer.set()
    home.may_answer.set()
    try:
        report.send(word(0.3))
        assert home.hear(0.3)
        assert not gateway.heard
    finally:
        report.close()
        home.close()


def test_its_thread_ends_although_the_gateway_does_not_answer(
    gateway: LateGateway, report: BlockedReport
) -> None:
    report.send(word(0.3))
    assert gateway.asked.acquire(timeout=GENEROUS_S)
    began = time.monotonic()
    report.close()
    assert time.monotonic() - began < OPEN_S + CLOSE_S + 1.0
    for thread in report_threads():
        thread.join(GENEROUS_S)
    assert not report_threads()
    report.send(word(0.4))
    assert not report_threads(), "it says no more"
