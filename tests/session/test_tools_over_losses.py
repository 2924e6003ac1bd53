"""A booking bot loses its agent at any moment of a call: never two tables in silence, and never long silence.

Whole calls in virtual time. The tool books half way through its run, so that a loss before, in and after it leaves
each of the things there can be: nothing booked, a table that nobody knows of, and a result. The caller answers the
bot's question, whether to book again, with yes: a second table after that is the caller's wish.

A few calls each time; with ``LOSSES_EXAMPLES=60`` some 250, and others each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.tools import ToolParams, tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bot_kinds import ONE
from tests.support.scripted_bot import BOOKING, words_of

pytestmark = pytest.mark.usefixtures("either_bot")

PEOPLE, _, YES = BOOKING
CONFIRMS = "Your table for four is booked. We look forward to seeing you."
ASKS = "I do not know whether that has worked. Shall I book it?"
EXAMPLES = int(os.environ.get("LOSSES_EXAMPLES", "0"))
MODEL_S, VOICE_S = 0.4, 0.15
SILENCE_S, MORE_S = 2.5, 1.6
"""The longest silence that a caller may hear in a call without a loss, and how much longer each loss in it may make it:
the next agent begins after 0.25 s, and fills a silence after 1.2 s anew.
"""


@dataclass
class Restaurant:
    """A server with tables. If it is idempotent, it does the work of one key once."""

    latency_s: float
    idempotent: bool
    began: list[str] = field(default_factory=list)
    booked: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    wished: int = 0
    """How often the caller has wished for a table."""

    async def book(self, key: str) -> None:
        self.began.append(key)
        await asyncio.sleep(self.latency_s / 2)
        if not self.idempotent or key not in self.booked:
            self.booked.append(key)
        await asyncio.sleep(self.latency_s / 2)
        self.returned.append(key)


def result_in(message: dict[str, Any]) -> str:
    """Return the result of a tool in a message: the tool's own, or a note of one that an agent before had begun."""
    content = str(message.get("content"))
    is_note = '"status": "finished"' in content
    return content.replace("\\", "") if message.get("role") == "tool" or is_note else ""


def answer(context: LLMContext) -> str | Tool:
    """What the model says: it books when it is asked to, and asks where it does not know."""
    messages: list[Any] = [message for message in context.get_messages() if isinstance(message, dict)]
    results = [(n, said) for n, m in enumerate(messages) if (said := result_in(m))]
    wishes = [n for n, message in enumerate(messages) if message.get("role") == "user"]
    if any('"booked"' in result for _, result in results):
        return CONFIRMS
    if not wishes:
        return "How can I help you?"
    if not results or results[-1][0] < wishes[-1]:
        return Tool("book_table", people=4)
    return ASKS


def stubborn(context: LLMContext) -> str | Tool:
    """The same, of a model that books again whatever it is told, until it is refused."""
    said = answer(context)
    last: Any = context.get_messages()[-1]
    refused = "Not run" in str(last.get("content"))
    return Tool("book_table", people=4) if said == ASKS and not refused else said


def book(
    restaurant: Restaurant, losses: Sequence[AgentLoss], *, models: int = 1, is_stubborn: bool = False
) -> SimulatedCall:
    """Call, book a table, and lose the agents."""

    @tool(idempotent=restaurant.idempotent)
    async def book_table(params: ToolParams, people: int) -> dict[str, Any]:
        """Book a table."""
        await restaurant.book(params.idempotency_key)
        return {"booked": True, "people": people}

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", tools=[book_table], call=call)
        llms = [ScriptedLLM(Replies()) for _ in range(models)]
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""),
            llm=llms if models > 1 else llms[0],
            tts=ScriptedTTS(),
            llm_first_token_secs=MODEL_S / 2,
        )
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        for _ in range(8):
            restaurant.wished += 1
            await line.say(
                PEOPLE if restaurant.wished == 1 else YES,
                text=words_of(PEOPLE) if restaurant.wished == 1 else "Yes please.",
            )
            if "seeing you" in await line.heard():
                return

    providers = Providers(
        stt=Transcripts(latency=0.3),
        llm=Replies(otherwise=stubborn if is_stubborn else answer, latency=MODEL_S),
        tts=Voice(latency=VOICE_S),
    )
    return simulate(bot, caller, providers=providers, losses=losses, limit_s=120)


def longest_silence_s(call: SimulatedCall) -> float:
    """How long neither side was to be heard, at most."""
    frame = call.rate // 50
    size = len(call.bot_audio) // frame * frame
    loud = (
        np.abs(call.bot_audio[:size].astype(np.int32)) + np.abs(call.caller_audio[:size].astype(np.int32))
        > 300
    )
    heard = np.flatnonzero(loud.reshape(-1, frame).any(axis=1))
    return float(np.diff(heard).max()) * 0.02


def check(call: SimulatedCall, restaurant: Restaurant) -> None:
    call.assert_ended("caller_hangup")
    shown = f"{restaurant}\n{call.timeline()}"
    unknown = (
        set(restaurant.began) > set(restaurant.returned)
        if restaurant.idempotent
        else len(restaurant.began) > len(restaurant.returned)
    )
    asked = call.said.count("Shall I book")
    # never twice in silence: each further table was asked for, and wished
    assert len(restaurant.booked) <= restaurant.wished, shown
    assert len(restaurant.booked) <= 1 + asked, shown
    # what is not known is said
    if unknown and not restaurant.idempotent:
        assert asked, shown
    if not unknown:
        assert len(restaurant.booked) == 1, shown
    assert not (asked and restaurant.idempotent), shown
    # and it comes to its end
    call.assert_said("seeing you")
    assert longest_silence_s(call) < SILENCE_S + MORE_S * len(call.of("agent_lost")), shown


MOMENTS = st.one_of(
    st.builds(AgentLoss, st.just("user_turn"), st.floats(0, 8).map(lambda s: round(s, 2))),
    st.builds(
        AgentLoss,
        st.sampled_from(["transcript", "llm_started", "tool", "tool_result", "bot_audio", "agent_resumed"]),
        st.floats(0, 2).map(lambda s: round(s, 2)),
    ),
    st.builds(AgentLoss, st.just("answered"), st.floats(0, 15).map(lambda s: round(s, 2))),
)


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize("idempotent", [False, True])
@settings(
    max_examples=EXAMPLES or 12,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    losses=st.lists(MOMENTS, min_size=1, max_size=3),
    latency_s=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    is_stubborn=st.booleans(),
)
@example(losses=[AgentLoss("tool", 0.2)], latency_s=1.0, is_stubborn=False)
@example(losses=[AgentLoss("tool", 0.8)], latency_s=1.0, is_stubborn=True)
@example(losses=[AgentLoss("tool_result", 0.0)], latency_s=1.0, is_stubborn=False)
@example(losses=[AgentLoss("tool_result", 1.5)], latency_s=0.3, is_stubborn=True)
def test_no_table_is_booked_twice_in_silence(
    models: int,
    idempotent: bool,
    losses: list[AgentLoss],
    latency_s: float,
    is_stubborn: bool,
    either_bot: str,
) -> None:
    if either_bot == ONE and models > 1:
        pytest.skip("a model that hears and speaks stands alone")
    restaurant = Restaurant(latency_s, idempotent)
    call = book(restaurant, losses, models=models, is_stubborn=is_stubborn)
    event(f"{len(restaurant.began)} runs, {len(restaurant.returned)} returned")
    check(call, restaurant)
