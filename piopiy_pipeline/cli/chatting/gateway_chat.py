"""A chat with an agent that is connected to a gateway, over ``/chat/{agent_id}``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.target import CONNECT_S, Target, no_gateway

if TYPE_CHECKING:
    from piopiy_pipeline.cli.chatting.typed_conversation import TypedConversation

__all__ = ["GatewayChat"]


class GatewayChat:
    """One chat. It is the `ChatPeer` of a conversation.

    Args:
        target: The gateway, the agent and the caller's key.
        metadata: What the callback gets as its metadata.
        conversation: Is told what comes.
    """

    not_ready = "the agent has not answered"
    closing = False
    """A gateway does not tell that the bot has hung up: it refuses what is written then."""

    def __init__(
        self, target: Target, metadata: dict[str, Any] | None, conversation: TypedConversation
    ) -> None:
        self.answered = asyncio.Event()
        """Set when the bot is ready."""
        self._target = target
        self._metadata = metadata
        self._conversation = conversation
        self._unsent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(maxsize=64)
        self._leaving = False

    async def run(self) -> CallEnd:
        """Chat until the end.

        Raises:
            Failed: There is no connection, or the gateway has refused something.
        """
        loop = asyncio.get_running_loop()
        url = f"{self._target.url}/chat/{quote(self._target.agent_id, safe='')}"
        try:
            async with connect(
                url,
                open_timeout=CONNECT_S,
                compression=None,
                proxy=None if self._target.is_loopback else True,
            ) as socket:
                start = {"event": "start", "token": self._target.key, "metadata": self._metadata}
                await socket.send(json.dumps(start))
                sending = asyncio.create_task(self._send_all(socket), name="chat::send")
                began = loop.time()
                try:
                    return await self._receive(socket, began)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
        except InvalidStatus as error:
            body = bytes(error.response.body or b"").decode("utf-8", "replace")
            said = " ".join(body.split())[:200]
            raise Failed(
                f"{self._target.url} takes no chats ({error.response.status_code}: {said})"
            ) from None
        except TimeoutError:
            raise Failed(f"{self._target.url} did not answer within {CONNECT_S:g} s") from None
        except (OSError, WebSocketException) as error:
            raise no_gateway(self._target, error) from None

    def begin(self) -> None:
        """Do nothing: the gateway tells the bot that somebody is there."""

    def write(self, text: str) -> None:
        self._post(event="text", text=text)

    def stop(self) -> None:
        self._post(event="stop")

    def press(self, keys: str) -> None:
        self._post(event="dtmf", digits=keys)

    def leave(self) -> None:
        self._leaving = True
        self._post(event="hangup")

    def _post(self, **event: Any) -> None:
        if not self._unsent.full():
            self._unsent.put_nowait(event)

    async def _send_all(self, socket: ClientConnection) -> None:
        while (event := await self._unsent.get()) is not None:
            await socket.send(json.dumps(event))

    async def _receive(self, socket: ClientConnection, began: float) -> CallEnd:
        loop, conversation = asyncio.get_running_loop(), self._conversation
        try:
            async for message in socket:
                event = json.loads(message)
                match event.get("event"):
                    case "answered":
                        self.answered.set()
                    case "words":
                        conversation.on_words(event["text"])
                    case "writing":
                        kind = "bot-llm-started" if event["on"] else "bot-llm-stopped"
                        conversation.on_message({"type": kind})
                    case "collecting":
                        conversation.on_event("collection", {"outcome": "begun" if event["on"] else "over"})
                    case "turn" if event["role"] == "user":
                        conversation.on_event("user_turn", {"text": event["text"]})
                    case "turn" if event["role"] == "bot":
                        turn = {"text": event["text"], "interrupted": event["interrupted"]}
                        conversation.on_event("bot_turn", turn)
                    case "tool":
                        used = {"number": event["id"], "name": event["name"] or "a tool"}
                        conversation.on_event("tool", used | {"arguments": event["arguments"] or {}})
                    case "tool_result":
                        result = event["result"] or ("cancelled" if event["cancelled"] else "done")
                        used = {"number": event["id"], "name": event["name"] or "a tool", "result": result}
                        conversation.on_event("tool_result", used)
                    case "refused":
                        conversation.on_event("error", {"stage": "chat", "message": event["detail"]})
                    case "fault":
                        raise Failed(f"{self._target.url} has ended the chat: {event['detail']}")
                    case "ended":
                        return CallEnd(
                            EndReason(event["reason"]), event.get("detail", ""), loop.time() - began
                        )
        except ConnectionClosed:
            pass
        if self._leaving:
            return CallEnd(EndReason.CALLER_HANGUP, "the gateway did not confirm it", loop.time() - began)
        lost = f"the connection to {self._target.url} was lost: the gateway is gone, or the network"
        return CallEnd(EndReason.GATEWAY_LOST, lost, loop.time() - began)
