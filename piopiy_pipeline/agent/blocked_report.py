"""`BlockedReport`: tells the gateway that the event loop is blocked, from another thread, over a connection of its own.

The loop's own connection is of no use then. This one blocks, and is opened when there is something to say.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from piopiy_pipeline.signaling.messages import Blocked, dump

__all__ = ["BlockedReport"]

OPEN_S = 1.0
CLOSE_S = 0.2


class BlockedReport:
    """The way to the gateway's ``/agent`` for one thread.

    Args:
        url: Returns the address of the gateway at home, as `gateway_url` does.
        token: The agent's token.
    """

    def __init__(self, url: Callable[[], str], token: str) -> None:
        self._url = url
        self._token = token
        self._connection: ClientConnection | None = None
        self._opened = ExitStack()

    def send(self, message: Blocked) -> bool:
        """Send a message. Takes `OPEN_S` at most. Returns whether it went out."""
        try:
            if self._connection is None:
                self._connection = self._opened.enter_context(
                    connect(
                        f"{self._url()}/agent",
                        additional_headers={"Authorization": f"Bearer {self._token}"},
                        compression=None,
                        proxy=None,
                        open_timeout=OPEN_S,
                        close_timeout=CLOSE_S,
                        ping_interval=None,
                    )
                )
            self._connection.send(dump(message))
        except (OSError, TimeoutError, WebSocketException):  # it is tried again with the next message
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection, if there is one. Takes `CLOSE_S` at most."""
        self._connection = None
        self._opened.close()
