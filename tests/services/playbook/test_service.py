"""The playbook in pipecat's chain: words that stream, tools that are really called, a context that holds both."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipecat.frames.frames import Frame, LLMFullResponseEndFrame, LLMMessagesAppendFrame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.llm_service import FunctionCallParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.services.playbook.service import PlaybookLLMService
from tests.support.offline import Chain, Sink

PLAYBOOK = Path(__file__).parents[3] / "examples" / "front_desk.yaml"


def _run(*turns: str, with_tools: bool = True) -> tuple[list[dict[str, Any]], list[str], int]:
    """A conversation in text: the bookings, what the bot said, and how many frames of text it took."""
    bookings: list[dict[str, Any]] = []

    async def book_table(params: FunctionCallParams, people: int, day: str, time: str) -> None:
        """Book a table."""
        bookings.append({"people": people, "day": day, "time": time})
        await params.result_callback({"booked": True})

    async def run() -> tuple[list[str], int]:
        context = LLMContext(tools=[book_table] if with_tools else [])
        strategies = UserTurnStrategies(
            start=[VADUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy()]
        )
        user, assistant = LLMContextAggregatorPair(
            context, user_params=LLMUserAggregatorParams(user_turn_strategies=strategies)
        )
        said: list[str] = []
        count = 0
        spoken = Sink()  # the assistant's aggregator lets no word through
        async with Chain(user, PlaybookLLMService(PLAYBOOK), spoken, assistant) as chain:
            for number, turn in enumerate(turns):
                message: Any = {"role": "user", "content": turn}
                await chain.send(LLMMessagesAppendFrame(messages=[message], run_llm=True))
                # A turn with a tool in it has two responses: the call, and what its result leads to.
                await spoken.until(_responses(2 if number else 1))
                texts = [frame.text for frame in spoken.frames if isinstance(frame, LLMTextFrame)]
                said.append("".join(texts))
                count = len(texts)
                spoken.frames = []
        return said, count

    said, count = asyncio.run(run())
    return bookings, said, count


def _responses(count: int) -> Callable[[list[Frame]], bool]:
    return lambda frames: sum(isinstance(frame, LLMFullResponseEndFrame) for frame in frames) >= count


def test_streams_its_words_one_by_one() -> None:
    _, said, count = _run("when are you open")
    assert said[0].startswith("We are open")
    assert count == len(said[0].split())


def test_calls_a_real_tool_once_and_answers_with_its_result() -> None:
    bookings, said, _ = _run("a table for four on friday at seven", "yes")
    assert bookings == [{"people": 4, "day": "Friday", "time": "19:00"}]
    assert said == [
        "A table for four, Friday at seven. Is that right?",
        "A table for four, Friday at seven, is booked. Anything else?",
    ]


def test_a_tool_that_nobody_registered_is_said_to_have_failed() -> None:
    bookings, said, _ = _run("a table for four on friday at seven", "yes", with_tools=False)
    assert bookings == []
    assert "could not write that down" in said[1]
