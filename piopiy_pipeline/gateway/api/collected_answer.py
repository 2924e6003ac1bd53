"""`CollectedAnswer`: the answer of an ASGI application that is asked from within, as a whole.

Tested with those who ask: `relay` and `rest_v3`.
"""

from __future__ import annotations

import asyncio

from piopiy_pipeline.gateway.api.request_limits import Message, Receive

__all__ = ["CollectedAnswer"]


class CollectedAnswer:
    """The answer of an ASGI application, as a whole."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def receive_of(self, body: bytes) -> Receive:
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                await asyncio.Event().wait()  # until the answer is there: nobody hangs up before
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return receive

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in message.get("headers", ())}
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
