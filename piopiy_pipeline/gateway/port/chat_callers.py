"""Lets those in who chat: whose token is good, for which agent, and who they are."""

from __future__ import annotations

import asyncio
import hmac
import uuid
from typing import TYPE_CHECKING

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens, check_metadata
from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.port.chat_leg import ChatLeg
from piopiy_pipeline.signaling.chat_events import ChatStart
from piopiy_pipeline.signaling.messages import ProtocolError

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.port.listening import AcceptedWebSocket

__all__ = ["ChatCallers"]


class ChatCallers:
    """Makes calls of connections on ``/chat/{agent_id}``.

    Args:
        switchboard: Takes the calls.
        caller_keys: The keys of programs.
        may_watch: Whether who chats by one of these keys is told the detail of an end.
        tokens: Verifies client tokens.
        failures: Counts wrong ones.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        *,
        caller_keys: tuple[str, ...],
        may_watch: bool,
        tokens: ClientTokens,
        failures: FailureLimiter,
    ) -> None:
        self._switchboard = switchboard
        self._caller_keys = caller_keys
        self._may_watch = may_watch
        self._tokens = tokens
        self._failures = failures

    def open(self, connection: AcceptedWebSocket, agent_id: str) -> None:
        """Take over a connection, after its handshake. Its first message has the token."""
        ChatLeg(connection, place=lambda leg, start: self._place(connection, agent_id, leg, start))

    def _place(self, connection: AcceptedWebSocket, agent_id: str, leg: ChatLeg, start: ChatStart) -> None:
        now = asyncio.get_running_loop().time()
        try:
            info = self._info(agent_id, start)
        except AccessError as error:
            if error.status == 401:
                self._failures.failed(connection.host, now)
            raise ProtocolError(error.text) from None
        leg.tells_details = self._may_watch and _is_one_of(start.token, self._caller_keys)
        connection.connections.admit(connection.transport)
        if self._switchboard.drain.on:
            raise ProtocolError(self._switchboard.drain.refusal)
        self._switchboard.place(info, leg, now)

    def _info(self, agent_id: str, start: ChatStart) -> CallInfo:
        call_id = str(uuid.uuid4())
        if _is_one_of(start.token, self._caller_keys):
            check_metadata(start.metadata)
            return CallInfo(
                agent_id=agent_id,
                call_id=call_id,
                from_number=start.from_number,
                metadata=start.metadata,
                kind="text",
            )
        claims = self._tokens.verify(start.token, agent_id=agent_id)
        self._tokens.check_fresh(claims)
        if claims.metadata is None:
            check_metadata(start.metadata)
        return CallInfo(
            agent_id=agent_id,
            call_id=call_id,
            from_number=claims.identity,
            to_number=claims.to_number or agent_id,
            metadata=start.metadata if claims.metadata is None else claims.metadata,
            kind="text",
        )


def _is_one_of(token: str, keys: tuple[str, ...]) -> bool:
    presented = token.encode(errors="replace")
    return sum(hmac.compare_digest(key.encode(), presented) for key in keys) > 0
