"""An agent whose calls speak without a pause, but for those that name a fault: each goes wrong in its own way.

As a program (``python -m tests.support.faulty_agent``) it is an agent in a process of its own. ``{"fault": name}`` in
a caller's metadata, or a number that ends with ``-name``, chooses one of `FAULTS`. A call that was resumed speaks,
unless ``again`` is in its metadata: what has happened once need not happen twice. With REALTIME_URL in the
environment, the calls that speak are with a model that hears and speaks, at a server of the test's. What the agent
tells goes to stdout, one JSON object a line, and ``census`` on its stdin is answered.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSSpeakFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import ask, serve_census, voice
from tests.support.chaos_agent import LONG, OwnToneTTS, tell
from tests.support.realtime_agent import model as realtime_model
from tests.support.services import Reply, ScriptedSTT

__all__ = ["FAULTS", "create_session"]

REPLY_S = float(os.environ.get("REPLY_S", "1"))
"""How long a model, a voice or a tool may take here, in seconds."""
SORRY = "Sorry."
"""Short, because it is said before a call ends."""


class EndlessTTS(OwnToneTTS):
    """Goes on with its tone for ever, as fast as it is let."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        while True:
            async for frame in super().run_tts(LONG, context_id):
                yield frame
            await asyncio.sleep(0)


class RaisingStage(FrameProcessor):
    """Fails at the model's request."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSSpeakFrame | LLMTextFrame):
            raise ZeroDivisionError("a stage's mistake")
        await self.push_frame(frame, direction)


class FloodingStage(FrameProcessor):
    """Pushes audio as fast as the loop turns, from the first question on."""

    def __init__(self) -> None:
        super().__init__()
        self._flooding: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, LLMContextFrame) and self._flooding is None:
            self._flooding = self.create_task(self._flood(), "flood")

    async def _flood(self) -> None:
        while True:
            await self.push_frame(OutputAudioRawFrame(b"\1\0" * 320, 16000, 1))

    async def cleanup(self) -> None:
        if self._flooding is not None:
            await self.cancel_task(self._flooding)
        await super().cleanup()


# ---------------------------------------------------------------------- what tools do


async def _never_returns(params: FunctionCallParams) -> None:
    """Look something up."""
    await asyncio.Event().wait()


async def _gives_no_result(params: FunctionCallParams) -> None:
    """Look something up."""


async def _raises(params: FunctionCallParams) -> None:
    """Look something up."""
    raise LookupError("no such table")


async def _sys_exit(params: FunctionCallParams) -> None:
    """Look something up."""
    sys.exit(7)


async def _sleeps(params: FunctionCallParams) -> None:
    """Look something up."""
    tell(event="blocks")
    time.sleep(10)  # noqa: ASYNC251  on purpose


async def _os_exit(params: FunctionCallParams) -> None:
    """Look something up."""
    os._exit(7)


async def _segfaults(params: FunctionCallParams) -> None:
    """Look something up."""
    ctypes.string_at(0)


# ---------------------------------------------------------------------- bots


async def _bot(call: Call, tts: type[OwnToneTTS] = OwnToneTTS, **options: Any) -> VoiceAgent:
    own = tts(float(os.environ["TONE_HZ"]))
    return await voice(
        call, tts=own, reply_timeout_secs=REPLY_S, tool_timeout_secs=REPLY_S, error_line=SORRY, **options
    )


async def _speech_to_speech(call: Call) -> VoiceAgent:
    agent = VoiceAgent(instructions="Be brief.", reply_timeout_secs=REPLY_S, call=call)
    await agent.Action(llm=realtime_model())
    return agent


async def _asks(call: Call, tool: Callable[..., Awaitable[None]]) -> VoiceAgent:
    tool.__name__ = "look_up"
    replies: list[Reply] = [("look_up", {}), LONG]
    agent = await _bot(call, replies=replies, tools=[tool])
    ask(agent)
    return agent


async def _model(call: Call, options: dict[str, Any]) -> VoiceAgent:
    """A real client of the endpoint that the caller names."""
    agent = VoiceAgent(instructions="Be brief.", reply_timeout_secs=REPLY_S, error_line=SORRY, call=call)
    settings = OpenAILLMService.Settings(model="test")
    llm = OpenAILLMService(api_key="none", base_url=options["url"], settings=settings)
    await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=OwnToneTTS(float(os.environ["TONE_HZ"])))
    ask(agent)
    return agent


async def _in_a_stage(call: Call, stage: FrameProcessor) -> VoiceAgent:
    agent = await _bot(call, replies=[LONG], extra=stage)
    ask(agent)
    return agent


async def _floods(call: Call, options: dict[str, Any]) -> VoiceAgent:
    agent = await _bot(call, replies=[LONG])
    agent.pipeline.insert("flood", FloodingStage(), before="llm", wants_audio=False)
    ask(agent)
    return agent


async def _raises_in_a_handler(call: Call, options: dict[str, Any]) -> VoiceAgent:
    agent = await _bot(call, greeting=LONG)

    async def fail(_: object) -> None:
        raise ZeroDivisionError("a handler's mistake")

    agent.on("answered", fail)
    return agent


async def _raises_in_the_callback(call: Call, options: dict[str, Any]) -> VoiceAgent:
    agent = await _bot(call, greeting=LONG)
    answered = asyncio.Event()
    agent.on("answered", lambda _: answered.set())
    running = asyncio.create_task(agent.start())
    await answered.wait()
    del running
    raise LookupError("no such order")


async def _speaks(call: Call, options: dict[str, Any]) -> VoiceAgent:
    """Speak for ever, with one sentence ready behind the one that is heard."""
    agent = await (_speech_to_speech(call) if "REALTIME_URL" in os.environ else _bot(call))

    async def speak(_: object) -> None:
        while await agent.say(LONG):  # False when the call has ended
            pass

    agent.on("answered", speak)
    agent.on("answered", speak)
    return agent


def _tool(tool: Callable[..., Awaitable[None]]) -> Callable[[Call, dict[str, Any]], Awaitable[VoiceAgent]]:
    return lambda call, _: _asks(call, tool)


async def _with_tts(call: Call, tts: type[OwnToneTTS]) -> VoiceAgent:
    agent = await _bot(call, tts, replies=[LONG])
    ask(agent)
    return agent


FAULTS: dict[str, Callable[[Call, dict[str, Any]], Awaitable[VoiceAgent]]] = {
    "raises_in_the_callback": _raises_in_the_callback,
    "raises_in_a_handler": _raises_in_a_handler,
    "raises_in_a_stage": lambda call, _: _in_a_stage(call, RaisingStage()),
    "raises_in_a_tool": _tool(_raises),
    "sys_exit_in_a_tool": _tool(_sys_exit),
    "tool_never_returns": _tool(_never_returns),
    "tool_gives_no_result": _tool(_gives_no_result),
    "model": _model,
    "endless_voice": lambda call, _: _with_tts(call, EndlessTTS),
    "floods": _floods,
    "sleeps": _tool(_sleeps),
    "os_exit": _tool(_os_exit),
    "segfaults": _tool(_segfaults),
}


async def create_session(call: Call, metadata: dict[str, Any] | None) -> None:
    """Run the bot that the metadata, or the number that was dialled, names."""
    options = metadata or {}
    name = options.get("fault") or (call.info.to_number or "").partition("-")[2]
    bot = FAULTS.get(name, _speaks) if not call.resumed or "again" in options else _speaks
    agent = await bot(call, options)
    call.state["instances"] = [*call.state.get("instances", []), os.getpid()]

    def on_error(error: Any) -> None:
        tell(event="error", call_id=call.info.call_id, stage=error.stage, message=error.message)

    agent.on("error", on_error)
    agent.on("answered", lambda _: tell(event="answered", call_id=call.info.call_id))
    end = await agent.start()
    tell(event="end", call_id=call.info.call_id, fault=name, reason=end.reason, detail=end.detail)


async def _main() -> None:
    agent = Agent(
        os.environ["AGENT_ID"],
        os.environ["AGENT_TOKEN"],
        create_session,
        capacity=int(os.environ["CAPACITY"]),
        blocked_call_s=float(os.environ.get("BLOCKED_CALL_S", "10")),
    )
    with serve_census(agent):
        tell(event="begins", instance_id=agent.instance_id)
        await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
