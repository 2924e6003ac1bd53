"""OpenAI's realtime server, as its events are published (API reference: Realtime client and server events, GA), and
those of providers that follow it (`server_dialects`).

What it refuses is what OpenAI refuses: a truncation behind the end of the audio, a second response beside one that
runs, an empty commit. A client that gets its bookkeeping wrong sees the error that it would see there.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from piopiy_pipeline.testing.realtime.openai_item import RealtimeItem
from piopiy_pipeline.testing.realtime.openai_response import OpenAIResponse
from piopiy_pipeline.testing.realtime.realtime_server import RealtimeServer, RealtimeSession, Truncation
from piopiy_pipeline.testing.realtime.server_dialects import GrokDialect, ServerDialect
from piopiy_pipeline.testing.realtime.server_vad import ServerVad, SpeechBoundary

__all__ = ["OpenAIRealtimeServer", "OpenAIRealtimeSession"]

RATE = 24000
POLICY_VIOLATION = 1008
LEAST_COMMIT_S = 0.1
MAX_ITEMS = 5000


@dataclass(slots=True)
class _Config:
    """What session.update has set."""

    dialect: ServerDialect
    body: dict[str, Any] = field(default_factory=dict)

    def update(self, given: Mapping[str, Any]) -> None:
        _merge(self.body, given)

    def audio(self, side: str, name: str, default: Any = None) -> Any:
        return ((self.body.get("audio") or {}).get(side) or {}).get(name, default)

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """None: the client says when a turn ends."""
        return self.dialect.turn_detection(self.body)

    @property
    def voice(self) -> Any:
        """The voice as the provider has it: its name, or what describes it."""
        return self.dialect.voice(self.body)


class OpenAIRealtimeSession(RealtimeSession):
    """One session. `items` is the conversation as the model has it.

    The methods that begin with `send_` and `fail` say what the server says.
    """

    dialect: ClassVar[ServerDialect] = ServerDialect()

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.items: dict[str, RealtimeItem] = {}
        self.config = _Config(self.dialect)
        self.response: OpenAIResponse | None = None
        """The response under way."""
        self._vad = ServerVad(RATE)
        self._events = 0
        self._speech_id = ""  # the item that the speech under way is to be
        self._speech_since = 0.0
        self._committed_s = 0.0

    # ------------------------------------------------------------------ what it is sent

    async def begin(self) -> None:
        if why := self.dialect.refuses_path(self.path):
            await self.close(POLICY_VIOLATION, why)
            return
        session = {"type": "realtime", "object": "realtime.session", "id": f"sess_{self.number}"}
        self.config.update(
            {**session, "model": self.path.partition("model=")[2], "output_modalities": ["audio"]}
        )
        await self.tell("session.created", session=self.config.body)

    async def receive(self, message: dict[str, Any]) -> None:
        kind = str(message.get("type"))
        if kind == "input_audio_buffer.append":
            await self._hear(base64.b64decode(message["audio"]))
            return
        self.note(kind, message)
        match kind:
            case "session.update":
                await self._update(message["session"])
            case "input_audio_buffer.commit":
                await self._commit_by_client()
            case "input_audio_buffer.clear":
                self._vad.forget()
                self._committed_s = self._vad.heard_s
                await self.tell("input_audio_buffer.cleared")
            case "conversation.item.create":
                await self._create(message)
            case "conversation.item.truncate":
                await self._truncate(message)
            case "conversation.item.delete":
                if self.items.pop(message["item_id"], None) is None:
                    await self.fail("item_delete_invalid_item_id", "no such item", message)
                else:
                    await self.tell("conversation.item.deleted", item_id=message["item_id"])
            case "conversation.item.retrieve":
                item = self.items.get(message["item_id"])
                if item is None:
                    await self.fail("item_retrieve_invalid_item_id", "no such item", message)
                else:
                    await self.tell("conversation.item.retrieved", item=item.body)
            case "response.create":
                await self._respond(message.get("response") or {}, message)
            case "response.cancel":
                if self.response is None:
                    await self.fail(
                        "response_cancel_not_active", "Cancellation failed: no active response", message
                    )
                elif not self.response.stubborn:
                    await self.cancel("client_cancelled")
            case _:
                await self.fail("invalid_value", f"Invalid value: {kind!r}", message)

    async def _update(self, session: dict[str, Any]) -> None:
        if why := self.dialect.refuses_session(session):
            await self.fail("invalid_value", why)
            return
        voice = self.dialect.voice(session)
        spoke = any(item.speech is not None and item.speech.sent_s for item in self.items.values())
        if spoke and voice is not None and voice != self.dialect.voice(self.config.body):
            why = "Cannot update a conversation's voice if assistant audio is present."
            await self.fail("cannot_update_voice", why)
            return
        self.config.update(session)
        if (rate := self.dialect.rates(self.config.body)[0]) != self._vad.rate:
            self._vad = ServerVad(rate)
        if detection := self.config.turn_detection:
            self._vad.silence_s = (detection.get("silence_duration_ms") or 500) / 1000
            self._vad.padding_s = (detection.get("prefix_padding_ms") or 300) / 1000
        await self.tell("session.updated", session=self.config.body)

    async def _create(self, message: dict[str, Any]) -> None:
        body = dict(message["item"])
        body.setdefault("id", f"item_{self.model.new_number()}")
        kinds = {
            "user": {"input_text", "input_audio"},
            "system": {"input_text"},
            "assistant": set(self.dialect.said),
        }
        kinds = {role: kind for role, kind in kinds.items() if role in self.dialect.roles}
        if body["type"] == "force_message" and isinstance(self.dialect, GrokDialect):
            await self._respond({}, message, say=" ".join(part["text"] for part in body["content"]))
            return
        if body["type"] == "message":
            wrong = {part["type"] for part in body.get("content") or ()} - kinds.get(
                body.get("role") or "", set()
            )
            if wrong:
                await self.fail(
                    "invalid_value", f"Invalid value: {sorted(wrong)} of {body.get('role')}", message
                )
                return
        elif body["type"] == "function_call_output" and not any(
            item.body.get("call_id") == body.get("call_id") for item in self.items.values()
        ):
            await self.fail(
                "invalid_tool_call_id",
                f"Tool call ID '{body.get('call_id')}' not found in conversation.",
                message,
            )
            return
        item = RealtimeItem({"object": "realtime.item", "status": "completed", **body})
        behind = message.get("previous_item_id")
        if behind is not None and behind not in self.items:
            await self.fail("invalid_value", f"previous_item_id {behind!r} does not exist", message)
            return
        await self.add(item)
        if behind is not None:
            later = list(self.items).index(behind) + 1
            for name in list(self.items)[later:-1]:
                self.items[name] = self.items.pop(name)

    async def _truncate(self, message: dict[str, Any]) -> None:
        item, end_ms = self.items.get(message["item_id"]), int(message["audio_end_ms"])
        self.truncations.append(Truncation(self._loop.time(), message["item_id"], end_ms))
        if item is None or item.speech is None:
            await self.fail("item_truncate_invalid_item_id", "no such answer in audio", message)
        elif end_ms > (has_ms := round(item.speech.sent_s * 1000)):
            why = f"Audio content of {has_ms}ms is already shorter than {end_ms}ms"
            await self.fail("invalid_value", why, message)
        else:
            item.speech.cut_s = end_ms / 1000
            place = {name: message[name] for name in ("item_id", "content_index", "audio_end_ms")}
            await self.tell("conversation.item.truncated", **place)

    # ------------------------------------------------------------------ hearing

    async def _hear(self, pcm: bytes) -> None:
        self.heard_s += len(pcm) / 2 / self._vad.rate
        for boundary in self._vad.hear(pcm, self._loop.time()):
            if self.config.turn_detection is not None:
                await (self._started if boundary.kind == "started" else self._stopped)(boundary)

    async def _started(self, boundary: SpeechBoundary) -> None:
        self._speech_id = f"item_{self.model.new_number()}"
        self._speech_since = boundary.since
        await self.tell(
            "input_audio_buffer.speech_started", audio_start_ms=boundary.at_ms, item_id=self._speech_id
        )
        detection = self.config.turn_detection or {}
        if self.response is not None and detection.get("interrupt_response", True) is not False:
            await self.cancel("turn_detected")

    async def _stopped(self, boundary: SpeechBoundary) -> None:
        await self.tell(
            "input_audio_buffer.speech_stopped", audio_end_ms=boundary.at_ms, item_id=self._speech_id
        )
        await self._commit(self._speech_id, self._speech_since)
        detection = self.config.turn_detection or {}
        if detection.get("create_response", True) is not False:
            await self._respond({}, {})

    async def _commit_by_client(self) -> None:
        lasts_s = self._vad.heard_s - self._committed_s
        if lasts_s < LEAST_COMMIT_S:
            why = f"buffer too small: expected at least 100ms of audio, has {lasts_s * 1000:.2f}ms"
            await self.fail("input_audio_buffer_commit_empty", f"Error committing input audio buffer: {why}")
            return
        self._vad.forget()
        await self._commit(f"item_{self.model.new_number()}", self._loop.time() - lasts_s)

    async def _commit(self, item_id: str, since: float) -> None:
        self._committed_s = self._vad.heard_s
        heard = self.model.understand(since, self._loop.time())
        previous = next(reversed(self.items), None)
        await self.tell("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        body = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "user",
            "status": "completed",
        }
        await self.add(
            RealtimeItem({**body, "content": [{"type": "input_audio", "transcript": None}]}, heard)
        )
        if self.dialect.transcription(self.config.body) is not None:
            self.start(self._transcribe(item_id, heard), "transcript")

    async def _transcribe(self, item_id: str, heard: str) -> None:
        await asyncio.sleep(self.model.hearing_delay())
        fault = self.model.hearing.next()
        place: dict[str, Any] = {"item_id": item_id, "content_index": 0}
        if fault is not None and fault.error is not None:
            error = {"type": "server_error", "code": None, "message": str(fault.error)}
            await self.tell("conversation.item.input_audio_transcription.failed", **place, error=error)
            return
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
        words = heard.split()
        for n, word in enumerate(words):
            delta = word if n == 0 else f" {word}"
            await self.tell("conversation.item.input_audio_transcription.delta", **place, delta=delta)
        await self.tell(
            "conversation.item.input_audio_transcription.completed", **place, transcript=" ".join(words)
        )

    # ------------------------------------------------------------------ answering

    async def _respond(
        self, asked: Mapping[str, Any], message: Mapping[str, Any], say: str | None = None
    ) -> None:
        if why := self.dialect.refuses_response(asked):
            await self.fail("unknown_parameter", why, message)
            return
        if self.response is not None:
            await self.fail(
                "conversation_already_has_active_response",
                "Conversation already has an active response in progress",
                message,
            )
            return
        say = self.dialect.exact_text(asked) if say is None else say
        self.response = OpenAIResponse(self, self.model, asked, say)
        self.response.begin()

    async def cancel(self, reason: str) -> None:
        """End the response under way."""
        response, self.response = self.response, None
        if response is not None:
            await response.cancel(reason)

    def conversation(self) -> list[dict[str, Any]]:
        """Return what the model knows, as messages of a chat: truncated answers as far as they were heard."""
        instructions = str(self.config.body.get("instructions") or "")
        found: list[dict[str, Any]] = [{"role": "system", "content": instructions}]
        for item in self.items.values():
            found += item.messages()
        return found

    # ------------------------------------------------------------------ saying

    @property
    def model(self) -> Any:
        """The model behind the server."""
        return self._model

    async def tell(self, kind: str, *, audio: bool = False, **body: Any) -> None:
        """Send an event. Its name and form may be the provider's own."""
        for name, said in self.dialect.as_told(kind, body):
            self._events += 1
            event_id = f"event_{self.number}_{self._events}"
            await self.send(name, {"type": name, "event_id": event_id, **said}, audio=audio)

    async def add(self, item: RealtimeItem, *, done: bool = True) -> None:
        """Put an item at the end of the conversation."""
        previous = next(reversed(self.items), None)
        self.items[item.id] = item
        if len(self.items) > MAX_ITEMS:
            del self.items[next(iter(self.items))]
        await self.tell("conversation.item.added", previous_item_id=previous, item=item.body)
        if done:
            await self.tell("conversation.item.done", previous_item_id=previous, item=item.body)

    async def fail(self, code: str, why: str, message: Mapping[str, Any] | None = None) -> None:
        """Send an error event. The session goes on, as OpenAI's does."""
        kind = "server_error" if code == "server_error" else "invalid_request_error"
        error = {"type": kind, "code": code, "message": why, "event_id": (message or {}).get("event_id")}
        await self.tell("error", error=error)


class OpenAIRealtimeServer(RealtimeServer[OpenAIRealtimeSession]):
    """OpenAI's realtime API. See `RealtimeServer` for the arguments.

    Example:
        ```python
        server = await OpenAIRealtimeServer(["Good day.", (Tool("book", people=4), "Booked.")]).start()
        llm = OpenAIRealtimeLLMService(api_key="none", base_url=server.url)
        ```
    """

    session_class = OpenAIRealtimeSession
    path = "/v1/realtime"


def _merge(old: dict[str, Any], new: Mapping[str, Any]) -> None:
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(name), dict) and name != "turn_detection":
            _merge(old[name], value)
        else:
            old[name] = json.loads(json.dumps(value))
