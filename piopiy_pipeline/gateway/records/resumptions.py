"""Lets the caller of a call that was lost with its gateway go on with the conversation in a new call.

A caller who can call again by itself, such as a page, is given a resume token with the answer to its offer. The
last checkpoint of its call is a saved item until the call ends. When the gateway was killed, the item is still there:
whoever shows the token with a new offer gets the checkpoint, once, for the same agent and under the same identity.
A token is 32 random bytes and not a signed text, because what signatures are made with may not outlive a gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import Any

from loguru import logger

from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.records import Records

__all__ = ["Resumptions"]

GRANTED = 10_000
"""For how many calls a token is remembered: those that have not had a turn for the longest time are forgotten."""


class Resumptions:
    """The resume tokens of a gateway's calls, and their checkpoints.

    Args:
        records: Where checkpoints are saved.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._granted: OrderedDict[str, dict[str, str]] = OrderedDict()

    def grant(self, call_id: str, *, agent_id: str, identity: str) -> str:
        """Return a resume token for a call that begins.

        Args:
            call_id: The call.
            agent_id: The agent whom it is for.
            identity: The caller.
        """
        secret = secrets.token_urlsafe(32)
        self._granted[call_id] = {"secret": _digest(secret), "agent_id": agent_id, "identity": identity}
        if len(self._granted) > GRANTED:
            self._granted.popitem(last=False)
        return f"{call_id}.{secret}"

    def on_checkpoint(self, call_id: str, state: dict[str, Any]) -> None:
        """Save the latest checkpoint of a call, if it has a resume token."""
        grant = self._granted.get(call_id)
        if grant is not None:
            self._granted.move_to_end(call_id)
            self._records.save("checkpoint", call_id, {**grant, "state": state})

    async def take(self, token: str, *, agent_id: str, identity: str) -> dict[str, Any] | None:
        """Return the checkpoint that a token is for. Nobody gets it a second time.

        Args:
            token: The resume token.
            agent_id: The agent that is called now.
            identity: Who calls now.

        Returns:
            The checkpoint; None if there is none: the call ended properly, too long ago, was resumed
            already, or the token is not the call's.
        """
        call_id, _, secret = token.partition(".")
        shown = {"secret": _digest(secret), "agent_id": agent_id, "identity": identity}

        def fits(data: dict[str, Any]) -> bool:
            theirs = [
                hmac.compare_digest(str(data.get(name)).encode(), shown[name].encode()) for name in shown
            ]
            return all(theirs)

        try:
            data = await self._records.take_item("checkpoint", call_id, fits)
        except RecordsUnavailable as error:
            logger.error("a conversation is not resumed: {}", error)
            return None
        state = None if data is None else data.get("state")
        return state if isinstance(state, dict) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
