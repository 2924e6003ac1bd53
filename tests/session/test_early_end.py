"""A call that ends while its callback still prepares: nothing is started for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from loguru import logger

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.signaling.messages import AgentMessage
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.recorded_caller import RecordedLink
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS


@pytest.fixture
def warned() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize("prepares_s", [0.0, 3.0])
def test_a_caller_who_leaves_while_the_callback_prepares_ends_it_at_once(
    prepares_s: float, warned: list[str]
) -> None:
    ends: list[tuple[float, CallEnd]] = []
    posted: list[AgentMessage] = []

    async def bot(call: Call) -> None:
        await asyncio.sleep(0.5 + prepares_s)
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS(), vad=False)
        end = await agent.start()
        ends.append((asyncio.get_running_loop().time(), end))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        session = Session(CallInfo("a", "c"), RecordedLink(np.zeros(160, np.int16)), post=posted.append)
        loop.call_later(0.5, session.end, EndReason.CALLER_HANGUP, "withdrawn")
        began = loop.time()
        await session.run(bot)
        [(at, end)] = ends
        assert end.reason is EndReason.CALLER_HANGUP
        assert at - began == pytest.approx(0.5 + prepares_s, abs=0.2)

    run_virtual(story, limit_s=60)
    assert warned == []
    assert [type(message).__name__ for message in posted if type(message).__name__ == "Answer"] == []
