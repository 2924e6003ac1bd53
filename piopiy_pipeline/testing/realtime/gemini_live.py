"""Google's Gemini Live server, as its messages are published (Live API reference: BidiGenerateContent).

It differs from OpenAI's where that matters to a client: there is no truncation, so that after an interruption the
model knows all that was sent; any content that a client sends interrupts an answer; a tool's result is answered by
itself; the conversation is kept for a client that comes back with its handle; nothing tells when the caller's turn
begins or ends; and instructions, tools and voice are those of the set-up to the session's end.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any

from piopiy_pipeline.testing.realtime.answering_session import POLICY_VIOLATION, AnsweringSession
from piopiy_pipeline.testing.realtime.realtime_server import RealtimeServer
from piopiy_pipeline.testing.realtime.scripted_model import RATE, AnswerPiece, packed_messages
from piopiy_pipeline.testing.realtime.server_vad import ServerVad
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.testing.scripted.reply_script import ScriptedResponse, Tool

__all__ = ["GeminiLiveServer", "GeminiLiveSession"]


class GeminiLiveSession(AnsweringSession):
    """One session. `setup` is what the client has asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.setup: dict[str, Any] = {}
        self._vad: ServerVad | None = None
        self._activity_since: float | None = None  # the client says when the caller speaks
        self._awaits_input = False

    # ------------------------------------------------------------------ what it is sent

    async def receive(self, message: dict[str, Any]) -> None:
        message = _snake_keys(message)
        kind = next(iter(message), "")
        body = message.get(kind)
        sound = (
            kind == "realtime_input"
            and isinstance(body, dict)
            and ("audio" in body or "media_chunks" in body)
        )
        if not sound:
            self.note(kind, message)
        if not self.setup and kind != "setup":
            await self.close(POLICY_VIOLATION, "setup must be the first message")
            return
        match kind:
            case "setup":
                await self._begin_session(message["setup"])
            case "client_content":
                await self._take_content(message["client_content"])
            case "realtime_input":
                await self._take_input(message["realtime_input"])
            case "tool_response":
                await self._take_results(message["tool_response"]["function_responses"])
            case _:
                await self.close(POLICY_VIOLATION, f"Invalid JSON payload received. Unknown name {kind!r}")

    async def _begin_session(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        handle = (setup.get("session_resumption") or {}).get("handle")
        if handle is not None:
            self._turns = self._model.kept.setdefault(handle, [])
        await self.send("setupComplete", {"setupComplete": {}})
        if "session_resumption" in setup:
            handle = handle or f"handle_{self._model.new_number()}"
            self._model.kept[handle] = self._turns
            update = {"newHandle": handle, "resumable": True}
            await self.send("sessionResumptionUpdate", {"sessionResumptionUpdate": update})

    async def _take_content(self, content: Mapping[str, Any]) -> None:
        await self._interrupt()
        for turn in content.get("turns") or ():
            text = " ".join(str(part.get("text", "")) for part in turn.get("parts") or ())
            role = "assistant" if turn.get("role") == "model" else "user"
            packed = packed_messages(text) if role == "user" else None
            self._turns += packed or [{"role": role, "content": text}]
        if content.get("turn_complete"):
            if "gemini-3" in str(self.setup.get("model")):
                self._awaits_input = True  # it answers only when something else comes in
            else:
                await self._answer()

    async def _take_input(self, given: Mapping[str, Any]) -> None:
        for blob in [*(given.get("media_chunks") or ()), *([given["audio"]] if "audio" in given else ())]:
            await self._hear(base64.urlsafe_b64decode(blob["data"]), str(blob.get("mime_type")))
        if "text" in given:
            if text := given["text"].strip():
                self._turns.append({"role": "user", "content": text})
            if text or self._awaits_input:
                self._awaits_input = False
                await self._answer()
        if "activity_start" in given:
            self._activity_since = self._loop.time()
            await self._interrupt()
        if "activity_end" in given and self._activity_since is not None:
            since, self._activity_since = self._activity_since, None
            await self._heard(since)

    async def _take_results(self, results: list[dict[str, Any]]) -> None:
        response: ScriptedResponse | None = None
        for result in results:
            response = self._open_calls.pop(str(result.get("id")), response)
            content = str(result.get("response"))
            self._turns.append({"role": "tool", "tool_call_id": result.get("id"), "content": content})
        if response is not None and not self._open_calls:
            self._model.completed(response)
            if any(_is_to_be_answered(result) for result in results):
                await self._answer()

    # ------------------------------------------------------------------ hearing

    @property
    def _detection(self) -> dict[str, Any]:
        config = self.setup.get("realtime_input_config") or {}
        return config.get("automatic_activity_detection") or {}

    async def _hear(self, pcm: bytes, mime_type: str) -> None:
        rate = re.search(r"rate=(\d+)", mime_type)
        if not mime_type.startswith("audio/pcm") or rate is None:
            await self.close(POLICY_VIOLATION, f"unsupported input: {mime_type!r}")
            return
        if self._vad is None or self._vad.rate != int(rate[1]):
            self._vad = ServerVad(int(rate[1]))
            self._vad.silence_s = (self._detection.get("silence_duration_ms") or 500) / 1000
        self.heard_s += len(pcm) / 2 / self._vad.rate
        for boundary in self._vad.hear(pcm, self._loop.time()):
            if self._detection.get("disabled"):
                continue
            if boundary.kind == "started":
                self._speech_since = boundary.since
                await self._interrupt()
            else:
                await self._heard(self._speech_since)

    async def _heard(self, since: float) -> None:
        text = self._model.understand(since, self._loop.time())
        self._turns.append({"role": "user", "content": text})
        if "input_audio_transcription" in self.setup:
            self.start(self._transcribe(text), "transcript")
        await self._answer()

    async def _transcribe(self, text: str) -> None:
        await asyncio.sleep(self._model.hearing_delay())
        fault = self._model.hearing.next()
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
        if fault is None or fault.error is None:
            for n, word in enumerate(text.split()):
                await self._content(inputTranscription={"text": word if n == 0 else f" {word}"})

    # ------------------------------------------------------------------ answering

    async def _interrupt(self) -> None:
        if await self.give_up():
            await self._content(interrupted=True)
            await self._turn_complete(0)

    async def _answer(self) -> None:
        await self._interrupt()
        self._answering = self.start(self._respond(), "answer")

    async def _respond(self) -> None:
        decided = await self.decide(self.tools())
        if decided is None:
            return
        response, fault = decided
        words = 0
        if response.text:
            words = await self._say(response.text, fault)
        await self.meet(fault)
        if response.tools:
            await self._use(response)
            return  # what follows is said when the results have come
        if response.turn:
            self._model.completed(response)
        await self._content(generationComplete=True)
        await self._turn_complete(words)

    async def _say(self, text: str, fault: Fault | None) -> int:
        await self.speak(self._model.speak(text, fault))
        return len(text.split())

    async def send_piece(self, piece: AnswerPiece) -> None:
        config = self.setup.get("generation_config") or {}
        if config.get("response_modalities") == ["TEXT"]:
            await self._content(modelTurn={"role": "model", "parts": [{"text": piece.words}]})
            return
        if piece.pcm:
            blob = {"mimeType": f"audio/pcm;rate={RATE}", "data": base64.b64encode(piece.pcm).decode()}
            await self._content(audio=True, modelTurn={"role": "model", "parts": [{"inlineData": blob}]})
        if piece.words and "output_audio_transcription" in self.setup:
            await self._content(outputTranscription={"text": piece.words})

    async def _use(self, response: ScriptedResponse) -> None:
        calls = []
        for tool in response.tools:
            call_id = f"call_{self._model.new_number()}"
            self._open_calls[call_id] = response
            calls.append({"id": call_id, "name": tool.name, "args": dict(tool.arguments)})
            self._turns.append({"role": "assistant", "tool_calls": [_as_call(call_id, tool)]})
        await self.send("toolCall", {"toolCall": {"functionCalls": calls}})

    # ------------------------------------------------------------------ saying

    @property
    def prompt_text(self) -> str:
        parts = (self.setup.get("system_instruction") or {}).get("parts") or []
        return " ".join(str(part.get("text")) for part in parts)

    def tools(self) -> list[dict[str, Any]]:
        """Return the functions that the model may use, as those of a chat."""
        return [
            {"type": "function", "parameters": one.get("parameters_json_schema"), **one}
            for tool in self.setup.get("tools") or ()
            for one in tool.get("function_declarations") or ()
        ]

    @property
    def voice(self) -> str:
        """The voice that the client has asked for."""
        speech = (self.setup.get("generation_config") or {}).get("speech_config") or {}
        found = (speech.get("voice_config") or {}).get("prebuilt_voice_config") or {}
        return str(found.get("voice_name"))

    async def go_away(self, left_s: float = 10.0) -> None:
        """Tell the client that the session ends soon, as Google does after ten minutes."""
        await self.send("goAway", {"goAway": {"timeLeft": f"{left_s:g}s"}})

    async def _content(self, *, audio: bool = False, **content: Any) -> None:
        await self.send(next(iter(content)), {"serverContent": content}, audio=audio)

    async def _turn_complete(self, words: int) -> None:
        read = sum(len(str(message.get("content")).split()) for message in self.conversation())
        usage = {"promptTokenCount": read, "responseTokenCount": words, "totalTokenCount": read + words}
        await self.send("turnComplete", {"serverContent": {"turnComplete": True}, "usageMetadata": usage})


class GeminiLiveServer(RealtimeServer[GeminiLiveSession]):
    """Google's Gemini Live. See `RealtimeServer` for the arguments.

    Google's client insists on TLS. A server within a virtual loop does without; on a socket it needs a certificate
    (`tls`), and the client that of who has signed it (the variable ``SSL_CERT_FILE``).

    Example:
        ```python
        server = await GeminiLiveServer(["Good day."]).start()
        llm = GeminiLiveLLMService(api_key="none", http_options=HttpOptions(base_url=server.url))
        ```
    """

    session_class = GeminiLiveSession

    @property
    def url(self) -> str:
        """The ``base_url`` for Google's client."""
        return f"https://{self.address}"


def _is_to_be_answered(result: Mapping[str, Any]) -> bool:
    """Return whether the model speaks to what a tool has returned. `SILENT`, it takes it in and says nothing."""
    response = result.get("response")
    inside = response.get("scheduling") if isinstance(response, Mapping) else None
    return "SILENT" not in (result.get("scheduling"), inside)


def _as_call(call_id: str, tool: Tool) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": tool.name, "arguments": str(tool.arguments)},
    }


def _snake_keys(found: Any) -> Any:
    """Return a message with its keys in one spelling: Google takes both ``clientContent`` and ``client_content``."""
    if isinstance(found, dict):
        return {
            re.sub(r"(?<=[a-z])[A-Z]", lambda m: f"_{m[0].lower()}", k): _snake_keys(v)
            for k, v in found.items()
        }
    return [_snake_keys(one) for one in found] if isinstance(found, list) else found
