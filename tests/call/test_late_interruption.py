"""An interruption that a failure has sent takes long to come to the model: what the model is asked meanwhile is lost
with it, and it is asked again. Whole calls in virtual time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import Frame, InterruptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, Replies, ScriptedLLM, SimulatedCall, Tool, simulate
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, info, texts

pytestmark = pytest.mark.usefixtures("either_bot")

BOOKED = "The table is booked."
FAILS_S = 0.5
TOOL_S = 2.0
"""The tool returns, and its result asks the model, when the interruption has been given up waiting for."""
THINKS_S = 4.0


class SlowStage(FrameProcessor):
    """Holds up the interruption behind a failure, as a machine does that has no time for it."""

    def __init__(self, hold_s: float) -> None:
        super().__init__()
        self.armed = False
        self._hold_s = hold_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if self.armed and isinstance(frame, InterruptionFrame):
            self.armed = False
            await asyncio.sleep(self._hold_s)
        await self.push_frame(frame, direction)


def call_with(hold_s: float, before: str) -> SimulatedCall:
    """Return a call whose voice fails while a tool runs; the interruption behind that is held up before this stage."""
    slow, tts = SlowStage(hold_s), ToneTTS()

    def reply(context: Any) -> Any:
        has_booked = any(message["role"] == "tool" for message in context.get_messages())
        return BOOKED if has_booked else Tool("book")

    async def bot(call: Call) -> None:
        @tool()
        async def book(params: FunctionCallParams) -> str:
            """Book a table."""
            await asyncio.sleep(FAILS_S)
            slow.armed = True
            await tts.push_error("the voice broke")
            await asyncio.sleep(TOOL_S - FAILS_S)
            return "booked"

        agent = VoiceAgent(instructions="Be brief.", call=call, tools=[book], idle=False, filler=None)
        llm = ScriptedLLM(Replies(otherwise=reply, latency=THINKS_S))
        await agent.Action(stt=ScriptedSTT(["a table"]), llm=llm, tts=tts)
        agent.pipeline.insert("slow", slow, before=before, wants_audio=False)
        await agent.start()

    return simulate(bot, Caller().say(PEOPLE).pause(40), info=info())


@pytest.mark.parametrize("hold_s", [0.0, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("before", ["llm", "tts", "transport_out"])
@pytest.mark.three_services("the voice fails")
def test_what_a_late_interruption_cuts_off_is_asked_again_and_heard_once(before: str, hold_s: float) -> None:
    call = call_with(hold_s, before)
    assert texts(call, "bot").count(BOOKED) == 1, call.timeline()
