"""One response of OpenAI's realtime server: its events in their published order, and what can go wrong in it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from piopiy_pipeline.testing.realtime.openai_item import RealtimeItem
from piopiy_pipeline.testing.realtime.scripted_model import (
    CHUNK_S,
    Endless,
    HeldSpeech,
    ModelSpeech,
    ScriptedModel,
    verbatim,
)
from piopiy_pipeline.testing.scripted.faults import Disconnects, Fault, Garbage, Stalls, TimesOut
from piopiy_pipeline.testing.scripted.reply_script import ScriptedResponse, ScriptOver, Tool

__all__ = ["OpenAIResponse"]


class OpenAIResponse:
    """Answers what the conversation is at its beginning.

    Args:
        session: The `OpenAIRealtimeSession`.
        model: Its model.
        asked: The `response` of the client's ``response.create``.
        say: What it says, without the model; None: the model decides.
    """

    def __init__(
        self, session: Any, model: ScriptedModel, asked: Mapping[str, Any], say: str | None = None
    ) -> None:
        self.id = f"resp_{model.new_number()}"
        self._session = session
        self._model = model
        self._instructions = asked.get("instructions")
        self._exact = say
        dialect, config = session.dialect, session.config.body
        modalities = dialect.modalities(asked) or dialect.modalities(config) or ("audio",)
        self._rate = dialect.rates(config)[1]
        self._aside = asked.get("conversation") == "none"  # no part of the conversation
        self._input = asked.get("input") or []
        self._in_audio = "audio" in modalities
        self._open: tuple[RealtimeItem, int] | None = None  # the item under way with its index
        self._output: list[dict[str, Any]] = []
        self._words = 0
        self._reason = ""
        self.stubborn = False
        """Whether it goes on when it is cancelled."""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to answer."""
        self._task = self._session.start(self._answer(), "response")

    async def cancel(self, reason: str) -> None:
        """Stop here, and say why."""
        self._reason = reason
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_item("incomplete")
        details = {"type": "cancelled", "reason": reason}
        await self._done("cancelled", details)

    async def _answer(self) -> None:
        await self._session.tell("response.created", response=self._body("in_progress"))
        try:
            response, fault = self._response()
        except ScriptOver as error:
            await self._failed(str(error))
            return
        self.stubborn = isinstance(fault, Endless) and fault.stubborn
        delay = fault.delay_s if fault is not None else 0.0
        await asyncio.sleep(delay if isinstance(fault, TimesOut) else self._model.latency(response) + delay)
        if _refuses(fault):
            assert fault is not None
            await self._failed(str(fault.error))
            return
        if response.text:
            await self._say(response.text, fault)
        elif fault is not None:
            await self._meet(fault)
        for tool in response.tools:
            await self._use(tool)
        if response.turn:
            self._model.completed(response)
        await self._done("completed")

    def _response(self) -> tuple[ScriptedResponse, Fault | None]:
        if self._exact is not None:
            return ScriptedResponse(0, self._exact, ()), None
        if self._aside:
            question = [message for body in self._input for message in RealtimeItem(body).messages()]
            return self._model.respond(question or [{"role": "user", "content": self._instructions}])
        messages = self._session.conversation()
        asked = self._instructions if self._instructions is not None else _last_instruction(messages)
        if (text := verbatim(asked)) is not None:
            return ScriptedResponse(0, text, ()), None
        return self._model.respond(messages, self._session.config.body.get("tools") or ())

    # ------------------------------------------------------------------ what it says

    async def _say(self, text: str, fault: Fault | None) -> None:
        speech = self._model.speak(text, fault, self._rate)
        kind = "output_audio" if self._in_audio else "output_text"
        item = await self._open_item({"type": "message", "role": "assistant", "content": []}, speech.held)
        place = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": len(self._output),
            "content_index": 0,
        }
        await self._session.tell("response.content_part.added", **place, part={"type": kind})
        self._words += len(text.split())
        await (self._in_sound if self._in_audio else self._in_text)(speech, place)
        if fault is not None:
            await self._meet(fault)
        await self._close_item("completed")

    async def _in_sound(self, speech: ModelSpeech, place: dict[str, Any]) -> None:
        tell, first = self._session.tell, True
        for piece in speech.pieces():
            if not first and (speed := self._model.voice.speed) is not None:
                await asyncio.sleep(CHUNK_S / speed)
            first = False
            if piece.words:
                await tell("response.output_audio_transcript.delta", **place, delta=piece.words)
            if piece.pcm:
                delta = base64.b64encode(piece.pcm).decode()
                await tell("response.output_audio.delta", audio=True, **place, delta=delta)

    async def _in_text(self, speech: ModelSpeech, place: dict[str, Any]) -> None:
        for piece in speech.pieces():
            if speech.text_speed is not None:
                await asyncio.sleep(CHUNK_S / speech.text_speed)
            if piece.words:
                await self._session.tell("response.output_text.delta", **place, delta=piece.words)

    async def _use(self, tool: Tool) -> None:
        call_id, arguments = f"call_{self._model.new_number()}", json.dumps(tool.arguments)
        item = await self._open_item(
            {"type": "function_call", "name": tool.name, "call_id": call_id, "arguments": ""}, None
        )
        place = {
            "response_id": self.id, "item_id": item.id, "output_index": len(self._output), "call_id": call_id
        }  # fmt: skip
        await self._session.tell("response.function_call_arguments.delta", **place, delta=arguments)
        item.body["arguments"] = arguments
        await self._session.tell(
            "response.function_call_arguments.done", **place, name=tool.name, arguments=arguments
        )
        await self._close_item("completed")

    # ------------------------------------------------------------------ items

    async def _open_item(self, body: dict[str, Any], held: HeldSpeech | None) -> RealtimeItem:
        item_id = f"item_{self._model.new_number()}"
        whole = {"id": item_id, "object": "realtime.item", "status": "in_progress", **body}
        item = RealtimeItem(whole)
        if self._in_audio:
            item.speech = held
        else:
            item.in_text = held
        self._open = (item, len(self._output))
        await self._session.tell(
            "response.output_item.added", response_id=self.id, output_index=len(self._output), item=item.body
        )
        if not self._aside:
            await self._session.add(item, done=False)
        return item

    async def _close_item(self, status: str) -> None:
        found, self._open = self._open, None
        if found is None:
            return
        item, index = found
        tell, body = self._session.tell, item.body
        body["status"] = status
        if body["type"] == "message":
            place = {"response_id": self.id, "item_id": item.id, "output_index": index, "content_index": 0}
            if item.speech is not None:
                part = {"type": "output_audio", "transcript": item.speech.text}
                await tell("response.output_audio.done", **place)
                await tell("response.output_audio_transcript.done", **place, transcript=item.speech.text)
            else:
                part = {"type": "output_text", "text": item.text()}
                await tell("response.output_text.done", **place, text=item.text())
            body["content"] = [part]
            await tell("response.content_part.done", **place, part=part)
        if not self._aside:
            await tell("conversation.item.done", previous_item_id=None, item=body)
        self._output.append(body)
        await tell("response.output_item.done", response_id=self.id, output_index=index, item=body)

    # ------------------------------------------------------------------ its end

    async def _meet(self, fault: Fault) -> None:
        match fault:
            case Disconnects():
                self._session.drop()
                await asyncio.Event().wait()  # until the session's end cancels this
            case Garbage():
                await self._session.send_nonsense()
            case Stalls():
                await asyncio.Event().wait()

    async def _failed(self, why: str) -> None:
        error = {"type": "server_error", "code": "server_error", "message": why}
        await self._done("failed", {"type": "failed", "error": error})

    async def _done(self, status: str, details: dict[str, Any] | None = None) -> None:
        if self._session.response is self:
            self._session.response = None
        await self._session.tell("response.done", response=self._body(status, details))

    def _body(self, status: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.id, "object": "realtime.response", "status": status, "output": self._output,
            "status_details": details, "output_modalities": ["audio" if self._in_audio else "text"],
        }  # fmt: skip
        if status != "in_progress":
            read = sum(len(str(message.get("content")).split()) for message in self._session.conversation())
            body["usage"] = {
                "total_tokens": read + self._words, "input_tokens": read, "output_tokens": self._words,
                "input_token_details": {"text_tokens": read, "audio_tokens": 0, "cached_tokens": 0},
                "output_token_details": {"text_tokens": self._words, "audio_tokens": 0},
            }  # fmt: skip
        return body


def _refuses(fault: Fault | None) -> bool:
    """Return whether a fault leaves nothing of the answer but an error."""
    return (
        fault is not None
        and fault.error is not None
        and fault.share == 0
        and not isinstance(fault, Disconnects | Garbage)
    )


def _last_instruction(messages: list[dict[str, Any]]) -> str | None:
    """Return the last message of the conversation, if it tells the model what to say and is not the caller's."""
    last = messages[-1]
    return str(last.get("content")) if last.get("role") == "system" and len(messages) > 1 else None
