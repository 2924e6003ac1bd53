"""`FlowWorker`: what pipecat's `FlowManager` puts its frames into, in the place of the pipeline's worker.

A flow manager sends frames and no more: what a node says, the messages and tools of a node, the request to the model,
the end. Here each of them takes the way that the same thing takes in any call: what is said is waited for until it was
heard, the end waits for the goodbye, and the conversation and its tools change at once and together, so that a
checkpoint never has one without the other. All other frames go into the pipeline as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.flows.actions import ActionFinishedFrame, FunctionActionFrame
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMMessagesAppendFrame,
    LLMMessagesUpdateFrame,
    LLMRunFrame,
    LLMSetToolsFrame,
    LLMUpdateSettingsFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.session.model.language_note import with_language_note
from piopiy_pipeline.session.model.system_message import system_message

__all__ = ["FlowWorker", "SpokenFlow"]


@dataclass(frozen=True, slots=True)
class SpokenFlow:
    """How a model that speaks itself follows a flow: frames in the pipeline do not pass it in their order.

    Attributes:
        follow: Brings its session in line with a node. Takes the messages before the node.
        respond: Has it speak.
        until_said: Waits until it has given all answers that it was asked for, in bounded time.
        caller_words: Waits until the conversation has what the caller has said, in bounded time.
    """

    follow: Callable[[Sequence[Any]], Awaitable[None]]
    respond: Callable[[], Awaitable[None]]
    until_said: Callable[[], Awaitable[None]]
    caller_words: Callable[[], Awaitable[None]]


class FlowWorker:
    """Takes the frames of one flow.

    Args:
        worker: The pipeline's worker.
        context: The conversation.
        say: Says a text behind what the model was asked for. Returns when it is on its way.
        hang_up: Ends the call when the caller has heard what is on its way.
        set_role: Tells the bot what it is from now on.
        tools_changed: Is given the tools of a node that is entered, and returns all that the model may use there.
        entered: Called when the conversation and the tools are those of the node.
        note: Returns what the model has to know of the caller's language, whatever the node leaves behind.
        speech: How a model that speaks itself follows; None: the chain has a model of text.
    """

    def __init__(
        self,
        worker: PipelineWorker,
        context: LLMContext,
        *,
        say: Callable[[str, bool], Awaitable[object]],
        hang_up: Callable[[], None],
        set_role: Callable[[str], None],
        tools_changed: Callable[[ToolsSchema | None], ToolsSchema | None],
        entered: Callable[[], None],
        note: Callable[[], str] = lambda: "",
        speech: SpokenFlow | None = None,
    ) -> None:
        self._worker = worker
        self._context = context
        self._say = say
        self._hang_up = hang_up
        self._set_role = set_role
        self._tools_changed = tools_changed
        self._entered = entered
        self._note = note
        self._speech = speech
        self._before: tuple[Any, ...] | None = None  # the conversation before the node that is being entered

    def __getattr__(self, name: str) -> Any:
        """Return what else an author's action may want of the worker."""
        return getattr(self._worker, name)

    def set_reached_downstream_filter(self, types: tuple[type[Frame], ...]) -> None:
        """Have `on_frame_reached_downstream` called for these as well."""
        self._worker.add_reached_downstream_filter(types)

    def event_handler(self, event_name: str) -> Callable[[Callable[..., Any]], Any]:
        """Add an event handler, as a decorator. See pipecat's worker."""
        decorator: Callable[[Callable[..., Any]], Any] = self._worker.event_handler(event_name)
        return decorator

    async def queue_frames(
        self, frames: Iterable[Frame], direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        """Take frames in order."""
        for frame in frames:
            await self.queue_frame(frame, direction)

    async def queue_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Do what the frame asks for, or pass it into the pipeline."""
        match frame:
            case TTSSpeakFrame():
                await self._say(frame.text, frame.append_to_context is not False)
            case EndFrame():
                self._hang_up()
            case LLMUpdateSettingsFrame(delta=delta) if delta is not None and _instruction_of(delta):
                self._change_begins()
                self._set_role(_instruction_of(delta))
            case LLMMessagesAppendFrame(run_llm=run) if not run:
                self._change_begins()
                self._context.add_messages(frame.messages)
            case LLMMessagesUpdateFrame(run_llm=run) if not run:
                self._change_begins()
                kept = system_message(self._context)
                messages = ([] if kept is None else [kept]) + list(frame.messages)
                self._context.set_messages(with_language_note(messages, self._note()))
            case LLMSetToolsFrame(tools=tools):
                schema = self._tools_changed(tools if isinstance(tools, ToolsSchema) else None)
                if schema is None:
                    self._context.set_tools()
                else:
                    self._context.set_tools(schema)
                self._entered()
                before, self._before = self._before or (), None
                if self._speech is not None:
                    await self._speech.follow(before)
            case LLMRunFrame() if self._speech is not None:
                await self._speech.respond()  # what comes behind it here, comes behind it there
            case _:
                if isinstance(frame, (ActionFinishedFrame, FunctionActionFrame)):
                    frame.interruptible = False  # the flow waits for it to arrive, and would wait for ever
                    if self._speech is not None:
                        await self._speech.until_said()
                await self._worker.queue_frame(frame, direction)

    def _change_begins(self) -> None:
        if self._before is None:
            self._before = tuple(self._context.get_messages())


def _instruction_of(delta: Any) -> str:
    instruction = getattr(delta, "system_instruction", None)
    return instruction if isinstance(instruction, str) else ""
