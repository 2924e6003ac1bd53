"""Ultravox, as its API is published (docs: Create Call, WebSocket Integration, Protocol & Data Messages).

A call is created over HTTP with its prompt, tools and what was said before, and joined once, over a WebSocket: audio is
binary, everything else JSON. The server decides on turns. Of an answer that was cut off, it takes to be heard what may
have been played since it began.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from aiohttp import web
from websockets.asyncio.server import Server

from piopiy_pipeline.testing.realtime.answering_session import POLICY_VIOLATION, AnsweringSession
from piopiy_pipeline.testing.realtime.realtime_server import RealtimeServer
from piopiy_pipeline.testing.realtime.scripted_model import AnswerPiece, HeldSpeech
from piopiy_pipeline.testing.realtime.server_vad import ServerVad
from piopiy_pipeline.testing.scripted.faults import Fault, Refused
from piopiy_pipeline.testing.scripted.reply_script import ScriptedResponse
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop

__all__ = ["UltravoxServer", "UltravoxSession"]

FIELDS = {
    "systemPrompt", "temperature", "model", "voice", "externalVoice", "languageHint", "initialMessages", "joinTimeout",
    "maxDuration", "timeExceededMessage", "inactivityMessages", "selectedTools", "medium", "recordingEnabled",
    "firstSpeakerSettings", "transcriptOptional", "initialOutputMedium", "vadSettings", "experimentalSettings",
    "metadata", "initialState", "dataConnection", "callbacks",
}  # fmt: skip
"""What a call is created with."""
AGENT_FIELDS = {
    "templateContext", "initialMessages", "metadata", "medium", "joinTimeout", "maxDuration", "recordingEnabled",
    "initialOutputMedium", "firstSpeakerSettings", "experimentalSettings", "initialState", "callbacks",
}  # fmt: skip
"""What a call with an agent is created with, whose prompt and tools are its own."""
REACTIONS = {"speaks", "listens", "speaks-once"}
"""What the model does with a tool's result."""
ROLES = {"MESSAGE_ROLE_USER": "user", "MESSAGE_ROLE_AGENT": "assistant"}


class UltravoxSession(AnsweringSession):
    """One call that was joined. `body` is what it was created with."""

    server: UltravoxServer

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.body: dict[str, Any] = {}
        self.state = "idle"
        self._vad = ServerVad(48000)
        self._rate = 48000
        self._speaks_until = 0.0
        self._begun = 0.0
        self._spared = False
        self._soon: deque[str | None] = deque()  # what is said next; None: what the model decides
        self._ordinal = 0

    # ------------------------------------------------------------------ what it is sent

    async def begin(self) -> None:
        body = self.server.created.pop(self.path.rpartition("/")[2], None)
        if body is None:
            await self.close(POLICY_VIOLATION, "no such call, or it was joined before")
            return
        self.body = body
        medium = body["medium"]["serverWebSocket"]
        self._vad = ServerVad(int(medium["inputSampleRate"]))
        self._rate = int(medium.get("outputSampleRate") or medium["inputSampleRate"])
        for message in body.get("initialMessages") or ():
            self._turns.append(_message(ROLES[message["role"]], message["text"]))
        await self._tell("call_started", callId=f"call-{self.number}")
        if "user" in (body.get("firstSpeakerSettings") or {"agent": {}}):
            await self._now("listening")
        else:
            self._answer(None)

    async def hear(self, pcm: bytes) -> None:
        self.heard_s += len(pcm) / 2 / self._vad.rate
        for boundary in self._vad.hear(pcm, self._loop.time()):
            if boundary.kind == "started":
                self._speech_since = boundary.since
                await self._interrupt()
            else:
                text = self._model.understand(self._speech_since, self._loop.time())
                self._turns.append({"role": "user", "content": text})
                self.start(self._transcribe(text), "transcript")
                await self._follow(None, "soon")

    async def receive(self, message: dict[str, Any]) -> None:
        kind = str(message.get("type"))
        self.note(kind, message)
        match kind:
            case "user_text_message":
                self._turns.append(_message("user", message["text"]))
                await self._follow(None, message.get("urgency", "soon"))
            case "forced_agent_message":
                if message.get("urgency", "soon") == "later":
                    await self.close(POLICY_VIOLATION, "urgency must be immediate or soon")
                    return
                self._spared = bool(message.get("uninterruptible"))
                await self._follow(str(message.get("content", "")), message.get("urgency", "soon"))
            case "client_tool_result":
                await self._take_result(message)
            case "set_output_medium" | "ping":
                pass
            case "hang_up":
                await self.close(1000, "the client has hung up")
            case _:
                await self.close(POLICY_VIOLATION, f"unknown message {kind!r}")

    async def _follow(self, say: str | None, urgency: str) -> None:
        if urgency == "later":
            return
        if urgency == "immediate":
            await self._cut()
        if self._answering is None or self._answering.done():
            self._answer(say)
        else:
            self._soon.append(say)

    async def _take_result(self, message: Mapping[str, Any]) -> None:
        call = str(message["invocationId"])
        all_returned = self.has_returned(call, str(message.get("result")))
        if all_returned is None:
            await self._tell("debug", message=f"no such invocation: {call}")
            return
        if (reaction := message.get("agentReaction", "speaks")) not in REACTIONS:
            await self.close(POLICY_VIOLATION, f"unknown agentReaction {reaction!r}")
        elif all_returned and reaction == "listens":
            await self._now("listening")
        elif all_returned:
            self._answer(None)

    # ------------------------------------------------------------------ answering

    async def _interrupt(self) -> None:
        """Cut the answer off, because the caller speaks."""
        if self._spared and self.state == "speaking":
            return
        await self._cut()

    async def _cut(self) -> None:
        if not await self.give_up():
            return
        if self.state == "speaking":
            last = next(turn for turn in reversed(self._turns) if isinstance(turn, HeldSpeech))
            last.cut_s = min(last.sent_s, self._loop.time() - self._begun)
            await self._tell("playback_clear_buffer")
        await self._now("listening")

    def _answer(self, say: str | None) -> None:
        self._answering = self.start(self._respond(say), "answer")

    async def _respond(self, say: str | None) -> None:
        response: ScriptedResponse = ScriptedResponse(0, say or "", ())
        fault: Fault | None = None
        if say is None:
            await self._now("thinking")
            decided = await self.decide(self.tools())
            if decided is None:
                return
            response, fault = decided
        if response.text and self.body.get("initialOutputMedium") == "MESSAGE_MEDIUM_TEXT":
            await self._write(response.text)
        elif response.text:
            await self._say(response.text, fault)
        else:
            await self.meet(fault)
        if response.tools:
            for tool in response.tools:
                call = f"call_{self._model.new_number()}"
                self._open_calls[call] = response
                place = {"toolName": tool.name, "invocationId": call, "parameters": dict(tool.arguments)}
                await self._tell("client_tool_invocation", **place)
            return  # what follows is said when the results have come
        if response.turn:
            self._model.completed(response)
        self._spared = False
        await self._now("listening")
        if self._soon:
            self._answer(self._soon.popleft())

    async def _say(self, text: str, fault: Fault | None) -> None:
        await self._now("speaking")
        self._begun, self._ordinal = self._loop.time(), self._ordinal + 1
        speech = self._model.speak(text, fault, self._rate)
        await self.speak(speech)
        await self.meet(fault)
        await self._words(final=True, text=text)
        left_s = self._begun + speech.held.sent_s - self._loop.time()
        await asyncio.sleep(max(0.0, left_s))  # it speaks until it was played

    async def send_piece(self, piece: AnswerPiece) -> None:
        if piece.words:
            await self._words(delta=piece.words)
        if piece.pcm:
            await self._connection.send(piece.pcm)

    async def _write(self, text: str) -> None:
        await self._now("speaking")
        self._ordinal += 1
        self._turns.append({"role": "assistant", "content": text})
        for word in text.split():
            await self._words(delta=f"{word} ", medium="text")
        await self._words(final=True, text=text, medium="text")

    async def _words(
        self, *, final: bool = False, text: str | None = None, delta: str | None = None, medium: str = "voice"
    ) -> None:
        place = {"role": "agent", "medium": medium, "ordinal": self._ordinal}
        await self._tell("transcript", **place, text=text, delta=delta, final=final)

    async def _transcribe(self, text: str) -> None:
        await asyncio.sleep(self._model.hearing_delay())
        fault = self._model.hearing.next()
        if (fault is None or fault.error is None) and text:
            self._ordinal += 1
            place = {"role": "user", "medium": "voice", "ordinal": self._ordinal}
            await self._tell("transcript", **place, text=text, delta=None, final=True)

    # ------------------------------------------------------------------ saying

    @property
    def prompt_text(self) -> str:
        return str(self.body.get("systemPrompt") or "")

    def tools(self) -> list[dict[str, Any]]:
        """Return the functions that the model may use, as those of a chat."""
        return [
            {
                "type": "function",
                "name": tool["modelToolName"],
                "description": tool.get("description"),
                "parameters": {
                    "properties": {one["name"]: one["schema"] for one in tool["dynamicParameters"]},
                    "required": [one["name"] for one in tool["dynamicParameters"] if one.get("required")],
                },
            }
            for tool in (one["temporaryTool"] for one in self.body.get("selectedTools") or ())
        ]

    @property
    def voice(self) -> str:
        """The voice that the call was created with."""
        return str(self.body.get("voice"))

    async def _now(self, state: str) -> None:
        if state != self.state:
            self.state = state
            await self._tell("state", state=state)

    async def _tell(self, kind: str, **body: Any) -> None:
        await self.send(kind, {"type": kind, **body})


class UltravoxServer(RealtimeServer[UltravoxSession]):
    """Ultravox. See `RealtimeServer` for the arguments; a fault of a connection is one of the call's creation.

    Example:
        ```python
        server = await UltravoxServer(["Good day."]).start()
        llm = UltravoxRealtimeLLMService(params=OneShotInputParams(api_key="none"))
        llm.api_url = server.api_url
        ```
    """

    session_class = UltravoxSession

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.created: dict[str, dict[str, Any]] = {}
        """Calls that nobody has joined yet."""
        self.api_url = ""
        """Where calls are created."""
        self._api: asyncio.AbstractServer | None = None
        self._http: web.Server | None = None

    def open(self) -> Self:
        super().open()
        if isinstance(asyncio.get_running_loop(), VirtualLoop):
            self._place: dict[str, Any] = {"host": self.address.partition(":")[0], "port": 8080}
            self.api_url = f"http://{self._place['host']}:8080"
        else:
            sock = socket.create_server(("127.0.0.1", 0))
            self.api_url, self._place = f"http://127.0.0.1:{sock.getsockname()[1]}", {"sock": sock}
        return self

    async def _listen(self, **place: Any) -> Server:
        self._http = web.Server(self._create)
        self._api = await asyncio.get_running_loop().create_server(self._http, **self._place)
        return await super()._listen(**place)

    async def stop(self) -> None:
        await super().stop()
        if self._api is not None and self._http is not None:
            self._api.close()
            await self._http.shutdown(1.0)

    async def _create(self, request: web.BaseRequest) -> web.Response:
        self.asked += 1
        fault = self._faults.get(self.asked)
        if isinstance(fault, Refused):
            return web.Response(status=fault.status, text=f"scripted fault: {fault.status}")
        if not request.headers.get("X-Api-Key"):
            return web.Response(status=401, text="Missing or invalid API key")
        known = AGENT_FIELDS if request.path.startswith("/api/agents/") else FIELDS
        body = await request.json()
        if unknown := set(body) - known:
            return web.Response(status=400, text=f"unknown field {min(unknown)!r}")
        if "inputSampleRate" not in ((body.get("medium") or {}).get("serverWebSocket") or {}):
            return web.Response(status=400, text="medium.serverWebSocket.inputSampleRate is required")
        call = f"call-{self.asked}"
        self.created[call] = body
        return web.json_response({"callId": call, "joinUrl": f"{self.url}/calls/{call}"}, status=201)

    def _refuse(self, connection: Any, request: Any) -> None:
        """Refuse nobody: calls are refused when they are created."""

    async def _serve(self, connection: Any) -> None:
        session: Any = self.session_class(
            connection, self.model, connection.request.path if connection.request else ""
        )
        session.server = self
        self.sessions.append(session)
        await session.run()


def _message(role: str, text: str) -> dict[str, Any]:
    """Return a message as the model takes it: what stands in such brackets, nobody has said (docs: Guiding Agents)."""
    instructs = text.startswith("<instruction>") and text.endswith("</instruction>")
    return {"role": "system" if instructs else role, "content": text}
