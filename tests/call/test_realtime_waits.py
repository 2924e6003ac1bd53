"""When an answer of a speech-to-speech model is waited for: from its provider being asked on, and no longer."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.testing import Caller, SimulatedCall, Tool
from tests.support.realtime_calls import Case
from tests.support.realtime_providers import UltravoxCase
from tests.support.virtual import PEOPLE, texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
DONE = "It is done."


def called(kind: type[Case], tool_s: float) -> SimulatedCall:
    async def slow(params: FunctionCallParams) -> None:
        """Take some time."""
        await asyncio.sleep(tool_s)
        await params.result_callback({"done": True})

    case = kind([Tool("slow"), DONE], DONE, texts=["a table please"])
    return case.call(Caller().say(PEOPLE).pause(30), agent={"tools": [slow], "idle": False, "filler": None})


@pytest.mark.parametrize("tool_s", [0.0, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("kind", [Case, GeminiCase, UltravoxCase])
def test_an_answer_that_is_complete_is_waited_for_no_more(kind: type[Case], tool_s: float) -> None:
    """The context that the aggregator sends behind the bot's speech asks for nothing new."""
    call = called(kind, tool_s)
    call.assert_no_error()
    if kind is not UltravoxCase:  # its model speaks while a tool runs, and answers the result as well
        assert texts(call, "bot").count(DONE) == 1, call.timeline()
