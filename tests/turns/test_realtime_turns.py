"""Who decides on the turns of a speech-to-speech model, and what that costs."""

from __future__ import annotations

import pytest
from pipecat.audio.turn.smart_turn import local_smart_turn_v3
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.turns.realtime_turns import realtime_turns


@pytest.mark.parametrize("provider", [True, False])
def test_no_call_loads_the_model_of_pipecats_own_turn_ends(
    provider: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded wherever a list of strategies is empty, for 40 ms and 48 MB of every call."""

    def load() -> None:
        pytest.fail("it was loaded")

    monkeypatch.setattr(local_smart_turn_v3, "LocalSmartTurnAnalyzerV3", load)
    found = realtime_turns(
        OpenAIRealtimeLLMService(api_key="none"),
        provider=provider,
        turns=None,
        interruption=None,
        output=FrameProcessor(),
        vad=FrameProcessor(),
        context=LLMContext(),
    )
    assert found.strategies.start
    assert found.strategies.stop
