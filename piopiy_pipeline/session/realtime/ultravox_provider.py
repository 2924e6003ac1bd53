"""`UltravoxProvider`: Ultravox.

Its server hears when the caller's turn ends, begins answers by itself and cuts them off; it tells its state (listening,
thinking, speaking), and when what was not played is to be dropped. It has no items and no truncation: what was heard
of an answer it is told in words, as an instruction that asks for nothing. What the bot is told to say, it says word for
word. Prompt, tools and voice are a call's from its creation on: other ones are another call.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pipecat.frames.frames import (
    LLMFullResponseEndFrame,
    LLMMessagesAppendFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.compat import ultravox_call
from piopiy_pipeline.compat.frame_taps import watch_processed
from piopiy_pipeline.compat.spoken_results import lead_unasked_results
from piopiy_pipeline.session.realtime.awaited_answer import AwaitedAnswer
from piopiy_pipeline.session.realtime.bounded_wait import POLL_S, holds_within
from piopiy_pipeline.session.realtime.proposed_turns import ProposedTurns
from piopiy_pipeline.session.realtime.realtime_provider import (
    BEHIND_CUT_S,
    CLOSE_S,
    HEARD_NO_MORE,
    KEPT,
    WORDS_S,
    RealtimeProvider,
)

__all__ = ["UltravoxProvider"]

ANSWER = "Answer the caller now."
MAX_LATE = 64
"""So many uses of tools in former calls are remembered."""
FROZEN_S = 2.0
"""So long the conversation stands still for a tool, in seconds: Ultravox gives it up after 2.5."""


class UltravoxProvider(RealtimeProvider):
    """A `RealtimeProvider`.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Called when something cannot be sent because the connection is gone.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._asked = asked
        self._lost = lost
        self._awaited = AwaitedAnswer(service, asked)
        self._begun = False
        self._state = "listening"
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._typed: list[str] = []
        self._words_said = ""  # of the answer that is being said
        self._early: deque[str] = deque(
            maxlen=KEPT
        )  # words that have come before the first audio of their answer
        self._calls: dict[str, asyncio.TimerHandle] = {}  # tools' uses whose results are to come
        self._unsent: list[tuple[str, str, str]] = []  # notes while there was no call: name, text, urgency
        self._late: deque[str] = deque(maxlen=MAX_LATE)  # uses of tools, which a later call does not know
        self._says_nothing = False  # the model was told to answer nothing
        self._words_due = False  # the server has not written down all of the caller's last turn
        self.takes_changes = self.writes_aside = ultravox_call.takes_prompts(service)
        self.tells_changes = False
        ultravox_call.prepare(service, self._send)
        ultravox_call.close_in_time(service, CLOSE_S)
        lead_unasked_results(service, partial(ultravox_call.take_in, service))
        self._turns = ProposedTurns(service, lambda: self._begun and not self.answers)
        watch_processed(service, self._append, LLMMessagesAppendFrame)

    @property
    def answers(self) -> bool:
        return self._state != "listening" or ultravox_call.responds(self._service) or self._awaited.is_due

    @property
    def owes(self) -> bool:
        return self.answers and not self._calls

    @property
    def goes_stale(self) -> bool:
        """Whether it speaks: it gives an answer that has not begun up by itself, or not at all. Then it is heard."""
        return self._state == "speaking" or ultravox_call.responds(self._service)

    @property
    def connected(self) -> bool:
        """Whether the connection stands, or was not asked for yet."""
        return not self._begun or ultravox_call.is_connected(self._service)

    @property
    def ready(self) -> bool:
        return True

    async def begin(self, context: LLMContext) -> None:
        if not self._begun:
            await self.reopen(context)

    async def reopen(self, context: LLMContext) -> None:
        await ultravox_call.leave(self._service)
        returned = ultravox_call.returned_in(context)
        known = returned | {standard_message_text(message) or "" for message in context.get_messages()}
        url = await ultravox_call.create_call(self._service, context)
        self._state, self._words_said = "listening", ""
        self._early.clear()
        self._awaited.end()
        for timer in self._calls.values():
            timer.cancel()
        self._calls.clear()
        await ultravox_call.join(self._service, url, self._read, self._early, set(self._late))
        self._begun = True
        unsent, self._unsent = self._unsent, []
        for name, text, urgency in unsent:
            if name not in known:
                await self._tell(text, urgency)
            elif name in returned and urgency != "later":
                await self._tell(ultravox_call.instruct(ANSWER), urgency)
        while self._kept:
            await self._send(self._kept.popleft())

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        if text is not None:
            self._awaited.begin()
            said = {"content": text, "uninterruptible": self.spares, "urgency": "immediate"}
            await self._send({"type": "forced_agent_message", **said})
            return
        typed, self._typed = " ".join(self._typed), []
        await self._tell(typed or ultravox_call.instruct(ANSWER), "immediate")

    async def write(self, text: str) -> None:
        self._typed.append(text)  # it is said with the question for an answer, which always follows

    async def write_aside(self, text: str) -> str | None:
        return await ultravox_call.write_beside(self._service, text)

    async def cancel(self) -> None:
        self._awaited.end()

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        await self._tell(ultravox_call.instruct(f"{HEARD_NO_MORE}{heard()}"), "later")

    def answer_lost(self) -> None:
        self._awaited.end()

    async def caller_words(self) -> None:
        if self._words_due:
            await holds_within(lambda: not self._words_due, WORDS_S)
            self._words_due = False
            await asyncio.sleep(POLL_S)  # until they have gone up the pipeline

    def renew(self, context: LLMContext, voice: str | None) -> None:
        ultravox_call.sound_like(self._service, voice)

    # ------------------------------------------------------------------ what it is told

    async def _tell(self, text: str, urgency: str) -> None:
        await self._send({"type": "user_text_message", "text": text, "urgency": urgency})

    async def _send(self, content: bytes | dict[str, Any]) -> None:
        """Send audio or a message. Audio is kept while there is no call."""
        if isinstance(content, bytes) and not self.hears:
            return
        if isinstance(content, dict) and content.get("urgency") != "later" and "text" in content:
            self._awaited.begin()  # it is answered
        if isinstance(content, dict) and ultravox_call.settles(content):
            self._asked()  # so is this, and the server tells when it begins to think
        if ultravox_call.is_connected(self._service):
            try:
                await ultravox_call.send(self._service, content)
            except ConnectionClosed:
                pass
            else:
                if isinstance(content, dict) and content["type"] == "client_tool_result":
                    self._says_nothing = content.get("agentReaction") == "listens"
                    self._returned(content["invocationId"])
                return
        if isinstance(content, bytes):
            self._kept.append(content)
        elif content["type"] == "client_tool_result":
            urgency = "later" if content.get("agentReaction") == "listens" else "soon"
            returned = ultravox_call.instruct(f"A tool has returned: {content['result']}")
            self._keep_note(content["invocationId"], returned, urgency)
        if self._begun:
            self._lost()

    async def _append(self, _service: Any, frame: LLMMessagesAppendFrame) -> None:
        """Tell what code has put into the conversation."""
        said = [one for one in frame.messages if standard_message_text(one)]
        text = " ".join(_text_of(one) for one in said)
        urgency = "immediate" if frame.run_llm else "later"
        if said and self._begun:
            await self._tell(text, urgency)
        elif said:
            self._keep_note(standard_message_text(said[-1]), text, urgency)

    def _keep_note(self, name: str, text: str, urgency: str) -> None:
        self._unsent = [*self._unsent, (name, text, urgency)][-MAX_LATE:]

    # ------------------------------------------------------------------ what it tells

    async def _read(self, text: str) -> str | None:
        """Take note of a message of the server's. Returns it as pipecat's service is to have it; None: not at all."""
        try:
            message = json.loads(text)
        except ValueError:
            return text
        match message.get("type"):
            case "state":
                await self._now_in(str(message.get("state")))
            case "playback_clear_buffer":
                await self._turns.begin()
                return None  # the beginning of the caller's turn interrupts
            case "client_tool_invocation":
                self._used(str(message.get("invocationId")))
            case "transcript" if message.get("role") == "user":
                self._words_due = False
            case "transcript" if message.get("role") == "agent" and message.get("medium") != "text":
                return self._words(message)
        return json.dumps(message)

    async def _now_in(self, state: str) -> None:
        before, self._state = self._state, state if state in ("thinking", "speaking") else "listening"
        self._awaited.goes_on()
        if self._state != "listening":
            self._says_nothing = False
        if self._state == "thinking" and not self._awaited.is_due:
            self._words_due = True
            await self._turns.end()
            self._asked()
        if self._state == "speaking":
            self._awaited.end()
        elif before == "speaking":
            self._words_said = ""
            self._early.clear()
        elif before == "thinking" and self._state == "listening" and self._turns.hears:
            await self._turns.begin()  # the caller speaks on
        elif before == "thinking" and self._state == "listening" and not self._calls:
            if self._says_nothing:
                await self._service.push_frame(LLMFullResponseEndFrame())
            else:
                self._awaited.seems_empty()

    def _used(self, invocation: str) -> None:
        self._awaited.end()
        self._late.append(invocation)
        self._calls[invocation] = asyncio.get_running_loop().call_later(FROZEN_S, self._lasts, invocation)

    def _returned(self, invocation: str) -> None:
        if (timer := self._calls.pop(invocation, None)) is not None:
            timer.cancel()

    def _lasts(self, invocation: str) -> None:
        if ultravox_call.is_connected(self._service):
            self._service.create_task(ultravox_call.unfreeze(self._service, invocation), "ultravox_tool")

    def _words(self, message: dict[str, Any]) -> str | None:
        """Return an agent's transcript with the words that are new, which are all that pipecat's service takes."""
        whole = message.get("text")
        if whole:
            message["delta"] = whole[len(self._words_said) :] if whole.startswith(self._words_said) else None
            message["text"] = None
        self._words_said += message.get("delta") or ""
        if ultravox_call.responds(self._service):
            return json.dumps(message)
        self._early.append(json.dumps(message))
        return None


def _text_of(message: Any) -> str:
    """Return a message as Ultravox is told it: the caller's words as they are, all else as an instruction."""
    text = standard_message_text(message)
    by_caller = isinstance(message, dict) and message.get("role") == "user"
    return text if by_caller else ultravox_call.instruct(text)
