"""Amazon Nova Sonic, as the events of its bidirectional stream are published (Nova 2 user guide: input and output
events, barge-in, cross-modal input, chat history).

AWS's client speaks HTTP/2 with AWS itself, and takes no other server. So this stands in the place of the client:
`NovaSonicServer.client` is what the service's `create_client` returns, and its streams take and give the events.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.realtime.answering_session import AnsweringSession
from piopiy_pipeline.testing.realtime.scripted_model import AnswerPiece, ScriptedModel
from piopiy_pipeline.testing.realtime.server_vad import ServerVad
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.testing.scripted.reply_script import Reply
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice

__all__ = ["NovaSonicServer", "NovaSonicSession"]


MAX_TEXT, MAX_HISTORY = 1024, 40 * 1024


class _NovaStream:
    """A stream as AWS's client has it, and a connection as a session of this server has it."""

    def __init__(self, make_event: Callable[[bytes], Any]) -> None:
        self._make_event = make_event
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self.session: NovaSonicSession
        self.input_stream = self.transport = self

    async def send(self, event: Any) -> None:
        """Take an event of the client's, or the text of one for it."""
        if isinstance(event, str):
            self._events.put_nowait(self._make_event(event.encode()))
        else:
            await self.session.receive(json.loads(event.value.bytes_))

    async def await_output(self) -> tuple[None, _NovaStream]:
        return None, self

    async def receive(self) -> Any:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def close(self, *_: object) -> None:
        self._events.put_nowait(None)
        await self.session.end()

    def abort(self) -> None:
        self._events.put_nowait(ConnectionResetError("the stream was lost"))


class NovaSonicSession(AnsweringSession):
    """One stream. `prompt` is what it was begun with."""

    def __init__(self, stream: Any, model: ScriptedModel) -> None:
        super().__init__(stream, model, "")
        self.prompt: dict[str, Any] = {}
        self.instructions = ""
        self.hears = False  # the audio has begun: what was said before is told
        self._contents: dict[str, dict[str, Any]] = {}
        self._vad = ServerVad(16000)
        self._rate = 24000
        self._audio_open = ""
        self._history_bytes = 0  # of what was said before, in bytes

    # ------------------------------------------------------------------ what it is sent

    async def receive(self, message: dict[str, Any]) -> None:
        ((kind, body),) = message["event"].items()
        if kind == "audioInput":
            await self.hear(base64.b64decode(body["content"]))
            return
        self.note(kind, body)
        match kind:
            case "sessionStart":
                if "inferenceConfiguration" not in body:
                    await self.fail("inferenceConfiguration is missing")
            case "promptStart":
                self.prompt = body
                self._rate = int(body["audioOutputConfiguration"]["sampleRateHertz"])
            case "contentStart":
                self._contents[body["contentName"]] = body
                if body["type"] == "AUDIO":
                    self.hears = True
                    self._vad = ServerVad(int(body["audioInputConfiguration"]["sampleRateHertz"]))
            case "textInput":
                await self._take_piece(self._contents[body["contentName"]], str(body["content"]))
            case "toolResult":
                await self._take_result(self._contents[body["contentName"]], str(body["content"]))
            case "contentEnd":
                content = self._contents.get(body["contentName"], {})
                if (text := content.pop("text", None)) is not None:
                    await self._take_text(content, text)
            case "promptEnd" | "sessionEnd":
                pass
            case _:
                await self.fail(f"unknown event {kind!r}")

    async def _take_piece(self, content: dict[str, Any], text: str) -> None:
        content["text"] = content.get("text", "") + text
        if content["role"] == "SYSTEM" or self.hears:
            return
        self._history_bytes += len(text.encode())
        if len(text.encode()) > MAX_TEXT or self._history_bytes > MAX_HISTORY:
            await self.fail("a text of the chat history has at most 1 KB, and all of it 40 KB")
        if content["role"] == "ASSISTANT" and not self._turns:
            await self.fail("the first message of the chat history must be the user's")

    async def _take_text(self, content: Mapping[str, Any], text: str) -> None:
        if content["role"] == "SYSTEM":
            self.instructions = text
            return
        noted = text.startswith("[") and text.endswith("]")  # no caller says that
        role = "system" if noted else str(content["role"]).lower()
        self._turns.append({"role": role, "content": text})
        if content["interactive"]:
            if not self.hears:
                await self.fail("text that is to be answered comes behind the beginning of the audio")
            else:
                await self._interrupt()
                self._answer()

    async def _take_result(self, content: Mapping[str, Any], result: str) -> None:
        call = str(content["toolResultInputConfiguration"]["toolUseId"])
        all_returned = self.has_returned(call, result)
        if all_returned is None:
            await self.fail(f"no such toolUseId: {call}")
        elif all_returned:
            self._answer()

    @property
    def prompt_text(self) -> str:
        return self.instructions

    async def fail(self, why: str) -> None:
        self._connection._events.put_nowait(RuntimeError(f"ValidationException: {why}"))  # type: ignore[attr-defined]

    async def hear(self, pcm: bytes) -> None:
        self.heard_s += len(pcm) / 2 / self._vad.rate
        for boundary in self._vad.hear(pcm, self._loop.time()):
            if boundary.kind == "started":
                self._speech_since = boundary.since
                await self._interrupt()
            else:
                text = self._model.understand(self._speech_since, self._loop.time())
                self._turns.append({"role": "user", "content": text})
                self._answer(text)

    # ------------------------------------------------------------------ answering

    async def _interrupt(self) -> None:
        if await self.give_up() and self._audio_open:
            await self._end_content(self._audio_open, "AUDIO", "END_TURN")
            self._audio_open = ""
            await self._text("ASSISTANT", "FINAL", '{ "interrupted" : true }', "INTERRUPTED")
            await self._usage(0)

    def _answer(self, heard: str = "") -> None:
        self._answering = self.start(self._respond(heard), "answer")

    async def _respond(self, heard: str) -> None:
        if heard:
            await asyncio.sleep(self._model.hearing_delay())
            await self._event("completionStart", completionId=f"completion-{self._model.new_number()}")
            await self._text("USER", "FINAL", heard, "PARTIAL_TURN")
        decided = await self.decide(self.tools())
        if decided is None:
            return
        response, fault = decided
        if response.text:
            await self._say(response.text, fault)
        else:
            await self.meet(fault)
        for tool in response.tools:
            call = f"call_{self._model.new_number()}"
            self._open_calls[call] = response
            content = await self._begin_content("TOOL", "TOOL")
            arguments = json.dumps(tool.arguments)
            await self._event(
                "toolUse", contentId=content, toolName=tool.name, toolUseId=call, content=arguments
            )
            await self._end_content(content, "TOOL", "TOOL_USE")
        if response.tools:
            return  # what follows is said when the results have come
        if response.turn:
            self._model.completed(response)
        await self._event("completionEnd", stopReason="END_TURN")

    async def _say(self, text: str, fault: Fault | None) -> None:
        await self._text("ASSISTANT", "SPECULATIVE", text, "PARTIAL_TURN")
        self._audio_open = await self._begin_content("AUDIO", "ASSISTANT")
        await self.speak(self._model.speak(text, fault, self._rate))
        await self.meet(fault)
        content, self._audio_open = self._audio_open, ""
        await self._end_content(content, "AUDIO", "END_TURN")
        await self._text("ASSISTANT", "FINAL", text, "END_TURN")
        await self._usage(len(text.split()))

    async def send_piece(self, piece: AnswerPiece) -> None:
        if piece.pcm:
            audio = base64.b64encode(piece.pcm).decode()
            await self._event("audioOutput", audio=True, contentId=self._audio_open, content=audio)

    # ------------------------------------------------------------------ saying

    def tools(self) -> list[dict[str, Any]]:
        """Return the functions that the model may use, as those of a chat."""
        specs = [one["toolSpec"] for one in (self.prompt.get("toolConfiguration") or {}).get("tools") or ()]
        return [
            {"type": "function", "parameters": json.loads(spec["inputSchema"]["json"]), **spec}
            for spec in specs
        ]

    @property
    def voice(self) -> str:
        """The voice that the session was begun with."""
        return str(self.prompt["audioOutputConfiguration"]["voiceId"])

    async def _text(self, role: str, stage: str, text: str, stop: str) -> None:
        content = await self._begin_content("TEXT", role, stage)
        await self._event("textOutput", contentId=content, role=role, content=text)
        await self._end_content(content, "TEXT", stop)

    async def _begin_content(self, kind: str, role: str, stage: str | None = None) -> str:
        content = f"content-{self._model.new_number()}"
        more: dict[str, Any] = (
            {"additionalModelFields": json.dumps({"generationStage": stage})} if stage else {}
        )
        await self._event("contentStart", contentId=content, type=kind, role=role, **more)
        return content

    async def _end_content(self, content: str, kind: str, stop: str) -> None:
        await self._event("contentEnd", contentId=content, type=kind, stopReason=stop)

    async def _usage(self, words: int) -> None:
        read = sum(len(str(message.get("content")).split()) for message in self.conversation())
        delta = {
            "input": {"speechTokens": 0, "textTokens": read},
            "output": {"speechTokens": words, "textTokens": 0},
        }
        await self._event("usageEvent", details={"delta": delta})

    async def _event(self, kind: str, *, audio: bool = False, **body: Any) -> None:
        place = {"sessionId": f"session-{self.number}", "promptName": self.prompt.get("promptName")}
        await self.send(kind, {"event": {kind: {**place, **body}}}, audio=audio)


class NovaSonicServer:
    """Nova Sonic, behind AWS's client. `RealtimeServer` says what the arguments are.

    Args:
        replies: What the model says and does, turn by turn.
        voice: How it sounds.
        ears: When transcripts come, and what they are.
        spoken: Tells the caller's words by time.
        faults: What a stream meets, by its number, from 1: `Refused`.
        seed: The same seed gives the same latencies.

    Example:
        ```python
        server = NovaSonicServer(["Good day."])
        llm = AWSNovaSonicLLMService(access_key_id="none", secret_access_key="none", region="us-east-1")
        llm.create_client = server.client
        ```
    """

    def __init__(
        self,
        replies: Replies | Sequence[Reply] = (),
        *,
        voice: Voice | None = None,
        ears: Transcripts | None = None,
        spoken: Spoken | None = None,
        faults: Mapping[int, Fault] | None = None,
        seed: int = 0,
    ) -> None:
        self.model = ScriptedModel(replies, voice=voice, ears=ears, spoken=spoken, seed=seed)
        self.sessions: list[NovaSonicSession] = []
        """All streams so far, the last one at the end."""
        self.address = "bedrock"
        self._faults = dict(faults or {})
        self.asked = 0
        """How many connections were asked for."""

    @property
    def session(self) -> NovaSonicSession:
        """The last session."""
        return self.sessions[-1]

    def open(self) -> NovaSonicServer:
        """Do nothing: there is no address. It is as other servers are."""
        return self

    async def stop(self) -> None:
        """End all sessions."""
        for session in self.sessions:
            await session.end()

    def client(self) -> Any:
        """Return what stands in the place of AWS's client."""
        return self

    async def invoke_model_with_bidirectional_stream(self, _request: Any) -> Any:
        """Open a stream, as AWS's client does."""
        models = import_module("aws_sdk_bedrock_runtime.models")  # AWS's own, or what stands for it
        self.asked += 1
        fault = self._faults.get(self.asked)
        if fault is not None:
            raise fault.error or ConnectionError("scripted fault")
        stream = _NovaStream(
            lambda text: models.InvokeModelWithBidirectionalStreamOutputChunk(
                value=models.BidirectionalOutputPayloadPart(bytes_=text)
            )
        )
        stream.session = NovaSonicSession(stream, self.model)
        self.sessions.append(stream.session)
        return stream
