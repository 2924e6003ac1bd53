"""`AnsweringSession`: a session of a provider that answers turn by turn, and whose answers have no names.

Gemini Live, Nova Sonic and Ultravox are of this kind: each begins an answer when the caller's turn is over, gives it up
when the caller speaks, and waits for the results of tools. What is said of it on the wire, a protocol says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from piopiy_pipeline.testing.realtime.realtime_server import RealtimeSession
from piopiy_pipeline.testing.realtime.scripted_model import (
    CHUNK_S,
    AnswerPiece,
    HeldSpeech,
    ModelSpeech,
    verbatim,
)
from piopiy_pipeline.testing.scripted.faults import Disconnects, Fault, Garbage, Refused, Stalls, TimesOut
from piopiy_pipeline.testing.scripted.reply_script import ScriptedResponse, ScriptOver

__all__ = ["INTERNAL_ERROR", "POLICY_VIOLATION", "AnsweringSession"]

POLICY_VIOLATION, INTERNAL_ERROR = 1008, 1011


class AnsweringSession(RealtimeSession):
    """The conversation, and the one answer that may be under way."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._turns: list[dict[str, Any] | HeldSpeech] = []
        self._speech_since = 0.0
        self._answering: asyncio.Task[None] | None = None
        self._open_calls: dict[str, ScriptedResponse] = {}

    @property
    def prompt_text(self) -> str:
        """The instructions that the client has given."""
        raise NotImplementedError

    async def send_piece(self, piece: AnswerPiece) -> None:
        """Send a stretch of what the model says."""
        raise NotImplementedError

    async def fail(self, why: str) -> None:
        """End the session with an error."""
        await self.close(INTERNAL_ERROR, why[:120])

    def conversation(self) -> list[dict[str, Any]]:
        """Return what the model knows, as messages of a chat: of its answers, what was sent and not cut off."""
        found: list[dict[str, Any]] = [{"role": "system", "content": self.prompt_text}]
        found += [
            {"role": "assistant", "content": turn.text} if isinstance(turn, HeldSpeech) else turn
            for turn in self._turns
        ]
        return found

    # ------------------------------------------------------------------ for protocols

    async def give_up(self) -> bool:
        """Give the answer under way up, and return whether there was one."""
        task, self._answering = self._answering, None
        if task is None or task.done():
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True

    async def decide(
        self, tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[ScriptedResponse, Fault | None] | None:
        """Wait as long as the model thinks, and return what it answers. None: it fails, and the session was ended."""
        messages = self.conversation()
        last = messages[-1]
        fault: Fault | None = None
        if last["role"] == "user" and (text := verbatim(str(last["content"]))) is not None:
            response = ScriptedResponse(0, text, ())
        else:
            try:
                response, fault = self._model.respond(messages, tools)
            except ScriptOver as error:
                await self.fail(str(error))
                return None
        delay = fault.delay_s if fault is not None else 0.0
        await asyncio.sleep(delay if isinstance(fault, TimesOut) else self._model.latency(response) + delay)
        if isinstance(fault, Refused | TimesOut):
            await self.fail(str(fault.error))
            return None
        return response, fault

    async def speak(self, speech: ModelSpeech) -> None:
        """Put speech into the conversation, and send its pieces as fast as the voice is."""
        self._turns.append(speech.held)
        first = True
        for piece in speech.pieces():
            if not first and (speed := self._model.voice.speed) is not None:
                await asyncio.sleep(CHUNK_S / speed)
            first = False
            await self.send_piece(piece)

    async def meet(self, fault: Fault | None) -> None:
        """Have a fault happen that comes in the middle of an answer."""
        match fault:
            case Disconnects():
                self.drop()
                await asyncio.Event().wait()  # until the session's end cancels this
            case Garbage():
                await self.send_nonsense()
            case Stalls():
                await asyncio.Event().wait()

    def has_returned(self, call: str, result: str) -> bool | None:
        """Put a tool's result into the conversation, and return whether it was the last that was waited for. None: no
        tool with this identifier was used.
        """
        response = self._open_calls.pop(call, None)
        if response is None:
            return None
        self._turns.append({"role": "tool", "tool_call_id": call, "content": result})
        if self._open_calls:
            return False
        self._model.completed(response)
        return True
