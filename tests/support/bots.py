"""Bots that go wrong, each in its own way, and one that does not. The metadata of the call chooses among
them.

As a program (``python -m tests.support.bots``) it is an agent in a process of its own, for tests that
block its loop, count what it holds, or kill it. What it tells goes to stdout, one JSON object a line;
the word ``census`` on its stdin is answered with what the process holds at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.processors.vad_engine import shared_engine
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bot_kinds import use_bot_of_test
from tests.support.services import Reply, ScriptedLLM, ScriptedSTT, ToneTTS

__all__ = ["BOTS", "LONG", "ask", "create_session", "hang_up_when_answered", "serve_census", "voice"]

LONG = "We have a table by the window and another one out on the terrace under the old lime trees where it is quiet"
"""6.4 s of a tone, without a pause."""


async def voice(
    call: Call,
    *,
    replies: list[Reply] | None = None,
    texts: list[str] | None = None,
    llm: Any = None,
    tts: Any = None,
    extra: FrameProcessor | None = None,
    **options: Any,
) -> VoiceAgent:
    """Make a bot that follows a script, ready to `start()`. The stage `extra` is between the LLM and the TTS."""
    agent = VoiceAgent(instructions="Be brief.", call=call, **options)
    await agent.Action(
        stt=ScriptedSTT(texts or []), llm=llm or ScriptedLLM(replies or []), tts=tts or ToneTTS()
    )
    if extra is not None:
        agent.pipeline.insert("extra", extra, after="llm", wants_audio=False)
    return agent


def ask(agent: VoiceAgent) -> None:
    """Make the model answer as soon as the call is answered, before the caller says anything."""

    async def run(_: object) -> None:
        await agent.pipeline["user_context"].queue_frame(LLMRunFrame())

    agent.on("answered", run)


def hang_up_when_answered(agent: VoiceAgent) -> None:
    """Say hello, and hang up."""

    async def hang_up(_: object) -> None:
        await agent.hangup()

    agent.on("answered", hang_up)


class SwallowsEnd(FrameProcessor):
    """A stage that hangs pipelines, because it does not pass the end on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, EndFrame):
            await self.push_frame(frame, direction)


class CleanupHangs(FrameProcessor):
    """A client that waits for a server's goodbye, which never comes."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        await super().cleanup()
        await asyncio.Event().wait()


class SwallowsCancel(FrameProcessor):
    """Does what ``except BaseException: pass`` around a wait does: it ignores its cancellation, three times."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, LLMFullResponseStartFrame):
            for _ in range(3):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:  # on purpose: see the docstring
                    continue


class ErrorsInALoop(FrameProcessor):
    """A reconnect without a pause: it reports errors as fast as the loop turns."""

    def __init__(self) -> None:
        super().__init__()
        self._looping: asyncio.Task[None] | None = None
        self.pushed = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, LLMFullResponseStartFrame) and self._looping is None:
            self._looping = self.create_task(self._loop(), "errors")

    async def _loop(self) -> None:
        while True:
            self.pushed += 1
            await self.push_error("cannot connect")
            await asyncio.sleep(0)

    async def cleanup(self) -> None:
        if self._looping is not None:
            await self.cancel_task(self._looping)
        await super().cleanup()


class SlowModel:
    """A constructor that loads something big, and blocks the loop."""

    def __init__(self, seconds: float) -> None:
        time.sleep(seconds)


async def _talks(call: Call, options: dict[str, Any]) -> CallEnd:
    agent = await voice(call, greeting=options.get("text", LONG))
    return await agent.start()


async def _answers_at_length(call: Call, options: dict[str, Any]) -> CallEnd:
    agent = await voice(call, greeting="Hello.", texts=["a table please"], replies=[LONG])
    return await agent.start()


async def _raises(call: Call, options: dict[str, Any]) -> None:
    raise LookupError("no such customer")


async def _raises_later(call: Call, options: dict[str, Any]) -> None:
    agent = await voice(call, greeting=LONG)
    answered = asyncio.Event()
    agent.on("answered", lambda _: answered.set())
    running = asyncio.create_task(agent.start())
    await answered.wait()
    del running
    raise LookupError("no such order")


async def _returns(call: Call, options: dict[str, Any]) -> None:
    await voice(call, greeting=LONG)


async def _blocks(call: Call, options: dict[str, Any]) -> CallEnd:
    SlowModel(options.get("seconds", 3.0))
    agent = await voice(call, greeting="Hello.")
    hang_up_when_answered(agent)
    return await agent.start()


async def _stalls(call: Call, options: dict[str, Any]) -> CallEnd:
    """Speak, and block the loop meanwhile."""
    agent = await voice(call, greeting=LONG)

    def answered(_: object) -> None:
        asyncio.get_running_loop().call_later(options.get("after", 1.0), time.sleep, options["seconds"])

    agent.on("answered", answered)
    return await agent.start()


async def _answers(call: Call, options: dict[str, Any], **voice_options: Any) -> CallEnd:
    agent = await voice(call, **{"reply_timeout_secs": 1, "error_line": "Sorry.", **voice_options})
    ask(agent)
    return await agent.start()


async def _llm_fails(call: Call, options: dict[str, Any]) -> CallEnd:
    return await _answers(call, options, replies=[RuntimeError("429"), RuntimeError("429")])


async def _llm_hangs(call: Call, options: dict[str, Any]) -> CallEnd:
    return await _answers(call, options, replies=[None, None])


async def _openai(call: Call, options: dict[str, Any]) -> CallEnd:
    """Use a real client of an endpoint that the caller names."""
    agent = VoiceAgent(instructions="Be brief.", error_line="Sorry.", reply_timeout_secs=2, call=call)
    llm = OpenAILLMService(
        api_key="none", base_url=options["url"], settings=OpenAILLMService.Settings(model="test")
    )
    await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ToneTTS())
    ask(agent)
    return await agent.start()


async def _tts_fails(call: Call, options: dict[str, Any]) -> CallEnd:
    return await _answers(call, options, tts=ToneTTS(fail_first=99))


async def _errors_in_a_loop(call: Call, options: dict[str, Any]) -> CallEnd:
    return await _answers(call, options, extra=ErrorsInALoop(), idle_timeout_secs=3)


async def _swallows_cancel(call: Call, options: dict[str, Any]) -> CallEnd:
    agent = await voice(call, idle_timeout_secs=1)
    agent.pipeline.insert("extra", SwallowsCancel(), after="llm", wants_audio=False)
    ask(agent)
    return await agent.start()


async def _swallows_end(call: Call, options: dict[str, Any]) -> CallEnd:
    agent = await voice(call, extra=SwallowsEnd(), greeting="Hello.")
    hang_up_when_answered(agent)
    return await agent.start()


async def _cleanup_hangs(call: Call, options: dict[str, Any]) -> CallEnd:
    agent = await voice(call, extra=CleanupHangs(), greeting="Hello.")
    hang_up_when_answered(agent)
    return await agent.start()


async def _tool_hangs(call: Call, options: dict[str, Any]) -> CallEnd:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await asyncio.Event().wait()

    return await _answers(call, options, replies=[("look_up", {})], tools=[look_up], idle_timeout_secs=1)


async def _swallows_cancel_for_ever(call: Call, options: dict[str, Any]) -> CallEnd:
    """``except BaseException: continue`` in a loop that reconnects to something."""
    agent = await voice(call, greeting="Hello.")
    running = asyncio.ensure_future(agent.start())
    while True:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue
    return await running


async def _thread_for_ever(call: Call, options: dict[str, Any]) -> CallEnd:
    """Work in a thread that nothing can stop."""
    agent = await voice(call, greeting="Hello.")
    working = asyncio.get_running_loop().run_in_executor(None, _work_for_ever)
    working.add_done_callback(lambda _: None)
    return await agent.start()


def _work_for_ever() -> None:
    threading.Event().wait()


BOTS: dict[str, Callable[[Call, dict[str, Any]], Awaitable[CallEnd | None]]] = {
    "talks": _talks,
    "answers_at_length": _answers_at_length,
    "raises": _raises,
    "raises_later": _raises_later,
    "returns": _returns,
    "blocks": _blocks,
    "stalls": _stalls,
    "llm_fails": _llm_fails,
    "llm_hangs": _llm_hangs,
    "openai": _openai,
    "tts_fails": _tts_fails,
    "errors_in_a_loop": _errors_in_a_loop,
    "swallows_cancel": _swallows_cancel,
    "swallows_cancel_for_ever": _swallows_cancel_for_ever,
    "thread_for_ever": _thread_for_ever,
    "swallows_end": _swallows_end,
    "cleanup_hangs": _cleanup_hangs,
    "tool_hangs": _tool_hangs,
}


async def create_session(call: Call, metadata: dict[str, Any]) -> None:
    """Run the bot that the caller's metadata names."""
    end = await BOTS[metadata["bot"]](call, metadata)
    if end is not None:
        _tell(event="end", bot=metadata["bot"], reason=end.reason, detail=end.detail)


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _census(agent: Agent) -> dict[str, Any]:
    gc.collect()
    return {
        "calls": agent.active,
        "tasks": sorted(map(_task_name, asyncio.all_tasks())),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "fds": len(list(Path("/dev/fd").iterdir())),
        "vad_streams": shared_engine().streams,
    }


def _task_name(task: asyncio.Task[Any]) -> str:
    """Return a task's name, or that of its function if it was given none."""
    name = task.get_name()
    return getattr(task.get_coro(), "__qualname__", name) if name.startswith("Task-") else name


@contextlib.contextmanager
def serve_census(agent: Agent) -> Iterator[None]:
    """Answer ``census`` on stdin with what this process holds, until the end of the block."""

    def on_command() -> None:
        if "census" in os.read(0, 4096).decode():
            _tell(event="census", **_census(agent))

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), on_command)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin.fileno())


async def _main() -> None:
    agent = Agent(
        os.environ["AGENT_ID"],
        os.environ["AGENT_TOKEN"],
        create_session,
        capacity=int(os.environ["CAPACITY"]),
    )

    with serve_census(agent):
        await agent.connect()


if __name__ == "__main__":
    use_bot_of_test()
    asyncio.run(_main())
