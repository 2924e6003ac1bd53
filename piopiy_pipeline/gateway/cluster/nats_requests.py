"""`NatsRequests`: carries out requests of operators that other gateways have relayed over NATS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from loguru import logger
from nats.aio.msg import Msg

from piopiy_pipeline.gateway.cluster.console_messages import RelayedAnswer, RelayedRequest
from piopiy_pipeline.gateway.cluster.directory import DirectoryMember
from piopiy_pipeline.signaling.json_messages import ProtocolError, dump, parser

__all__ = ["NatsRequests", "failure"]

MOST_REQUESTS = 64
"""So many requests of operators at other gateways are carried out at a time."""

_parse: Callable[[bytes], RelayedRequest] = parser(RelayedRequest)


class NatsRequests:
    """The requests that are being carried out, until `close`: one that takes its time holds none up.

    Args:
        respond: Answers a message. It does not fail.
        most_bytes: Returns how long an answer may be.
    """

    def __init__(
        self, respond: Callable[[Msg, bytes], Awaitable[None]], most_bytes: Callable[[], int]
    ) -> None:
        self._respond = respond
        self._most_bytes = most_bytes
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, member: DirectoryMember, message: Msg) -> None:
        """Have a request carried out beside the others. One too many is refused."""
        if len(self._tasks) >= MOST_REQUESTS:
            busy = failure(503, "too many requests of other gateways: ask again")
            await self._respond(message, dump(busy).encode())
            return
        task = asyncio.create_task(self._carry_out(member, message), name="relayed request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Carry out nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, member: DirectoryMember, message: Msg) -> None:
        try:
            answer = dump(await member.on_request(_parse(message.data))).encode()
        except ProtocolError as error:
            logger.warning("another gateway's request cannot be read: {}", error)
            return
        except Exception:
            logger.exception("another gateway's request could not be carried out")
            answer = dump(failure(500, "internal error of the gateway that has it: see its log")).encode()
        if len(answer) > self._most_bytes():
            text = "the answer is too long to be sent from gateway to gateway: ask the gateway that has it"
            answer = dump(failure(502, text)).encode()
        await self._respond(message, answer)


def failure(status: int, text: str) -> RelayedAnswer:
    """Return the answer to a request that was not carried out.

    Args:
        status: The HTTP status.
        text: Why, and what to do.
    """
    return RelayedAnswer(
        status=status, headers={"content-type": "application/json"}, body=json.dumps({"error": text})
    )
