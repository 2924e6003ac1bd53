"""`BlockedReport`: tells the gateway that the event loop is blocked, from another thread, over a connection of its own.

The loop's own connection is of no use then. This one blocks, and is opened when there is something to say. Whoever says
it does not wait: a gateway may be slow to answer, and the watchdog must go on looking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.signaling.liveness import WATCHDOG_QUERY
from piopiy_pipeline.signaling.messages import Blocked, dump

__all__ = ["BlockedReport"]

OPEN_S = 1.0
CLOSE_S = 0.2
KEEP_S = 1.0
"""So long a connection is kept when nothing more is said: a loop that is blocked again and again needs one only. The
gateway closes it after five seconds."""


class BlockedReport:
    """The way to the gateway's ``/agent`` for one thread.

    Args:
        gateway: Returns where the gateway at home is.
        token: The agent's token.
    """

    def __init__(self, gateway: Callable[[], GatewayAddress], token: str) -> None:
        self._gateway = gateway
        self._token = token
        self._changed = threading.Condition()
        self._message: Blocked | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, message: Blocked) -> None:
        """Have a message sent, in the place of one that still waits. It is lost if the gateway does not answer."""
        with self._changed:
            self._message = message
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="piopiy blocked report", daemon=True)
                self._thread.start()
            self._changed.notify()

    def withdraw(self) -> None:
        """Do not send what still waits, because it is over."""
        with self._changed:
            self._message = None

    def close(self) -> None:
        """Send no more, and wait for the thread, `OPEN_S` and `CLOSE_S` at most."""
        with self._changed:
            self._closed, thread = True, self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(OPEN_S + CLOSE_S)

    # ------------------------------------------------------------------ its own thread

    def _run(self) -> None:
        with ExitStack() as opened:
            connection: ClientConnection | None = None
            while self._awaits_message():
                try:
                    connection = connection or opened.enter_context(self._connect())
                    if (message := self._take()) is not None:
                        connection.send(dump(message))
                except (OSError, TimeoutError, WebSocketException, ValueError):
                    # It is tried again with the next message. A ValueError is what websockets makes of a redirect.
                    self._take()
                    connection = None
                    opened.close()

    def _awaits_message(self) -> bool:
        """Wait for a message. Returns False, and forgets this thread, if none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._message is not None or self._closed, KEEP_S)
            if self._message is None or self._closed:
                self._thread = None
            return self._thread is not None

    def _take(self) -> Blocked | None:
        with self._changed:
            message, self._message = self._message, None
            return message

    def _connect(self) -> ClientConnection:
        gateway = self._gateway()
        there: dict[str, Any] = {} if gateway.host is None else {"address": (gateway.host, gateway.port)}
        connection: ClientConnection = connect(
            f"{gateway.url}/agent?{WATCHDOG_QUERY}",  # a gateway that drains lets nobody else in
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,
            proxy=None,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            **there,
        )
        return connection
