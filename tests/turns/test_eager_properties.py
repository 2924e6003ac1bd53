"""Whatever a caller does: never two answers, in the context or on the line, and no tool twice. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Replies, Tool, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.virtual import PEOPLE, YES, info
from tests.turns.test_eager_turns import CountingLLM, CountingTTS
from tests.turns.test_held_turn_start import COUGH, MHM, NO_WAIT

PARTS = {"people": PEOPLE, "yes": YES, "cough": COUGH, "mhm": MHM, "no wait": NO_WAIT}
acts = st.tuples(
    st.sampled_from(sorted(PARTS)), st.sampled_from([0.05, 0.15, 0.3, 0.45, 0.6, 0.8, 1.2, 2.5, 4.0])
)


def reply(context: Any) -> Any:
    """Use a tool in every other turn of the conversation, and say the words that were heard."""
    messages = context.get_messages()
    if messages[-1]["role"] == "tool":
        return f"Done {messages[-1]['content'].strip(chr(34))}. What else?"
    users = [message["content"] for message in messages if message["role"] == "user"]
    if len(users) % 2 == 0:
        return Tool("note", words=users[-1])
    return f"You said {users[-1]}. Is that right?"


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    script=st.lists(acts, min_size=1, max_size=6),
    latency=st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.5]),
    words_per_s=st.sampled_from([None, 6.0]),
    stt_latency=st.sampled_from([0.0, 0.25, 0.5]),
    says_at=st.sampled_from([None, 3.0, 3.7, 5.0]),
    turns=st.sampled_from(["smart", "fast", 0.8]),
)
def test_one_answer_to_each_turn(
    script: list[tuple[str, float]],
    latency: float,
    words_per_s: float | None,
    stt_latency: float,
    says_at: float | None,
    turns: Any,
) -> None:
    llm = CountingLLM(Replies(otherwise=reply, latency=latency, words_per_s=words_per_s))
    tts = CountingTTS()
    noted: list[tuple[str, int]] = []
    contexts: list[list[Any]] = []
    told: list[str] = []
    budgets: list[Any] = []

    async def note(params: Any, words: str) -> str:
        """Note something.

        Args:
            words: What.
        """
        users = [m for m in params.context.get_messages() if m["role"] == "user"]
        noted.append((words, len(users)))
        assert users[-1]["content"] == words, "the tool ran before the turn was over"
        return words

    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", call=call, tools=[note], idle=False, error_line=None, filler=None
        )
        number = iter(range(100))
        heard = (f"words {next(number)}" for _ in range(100))
        stt = ScriptedSTT(Transcripts(texts=heard, latency=stt_latency))
        await agent.Action(stt=stt, llm=llm, tts=tts, eager=True, turns=turns)
        agent.on("error", lambda error: told.append(str(error)))
        if says_at is not None:

            async def say(_: object) -> None:
                await asyncio.sleep(says_at)
                await agent.say("By the way.")

            agent.on("answered", say)
        await agent.start()
        assert agent.context is not None
        contexts.append(agent.context.get_messages())
        budgets.append(agent.pipeline.eager.budget)  # type: ignore[union-attr]

    async def caller(line: CallerLine) -> None:
        await line.pause(0.3)
        for name, pause_s in script:
            await line.say(PARTS[name])
            await line.pause(pause_s)
        await line.pause(25)

    call = simulate(bot, caller, info=info())
    (context,), (budget,) = contexts, budgets
    assert not told
    # no tool twice, and each in the turn that it belongs to
    assert len(noted) == len(set(noted))
    # an answer in the context was heard, and what was heard is in the context
    heard = [turn.bot for turn in call.turns if turn.bot]
    written = [m["content"] for m in context if m["role"] == "assistant" and m.get("content")]
    assert "".join(" ".join(written).split()) == "".join(" ".join(heard).split())
    # each turn of the caller has one whole answer at most
    answers: list[str] = []
    for message in context:
        if message["role"] == "user":
            answers.clear()
        elif message["role"] == "assistant" and message.get("content"):
            text = message["content"].strip()
            if text.endswith(("right?", "else?")):
                answers.append(text)
        assert len(answers) <= 1, context
    # what the caller said is there once, and in order
    said = " ".join(m["content"] for m in context if m["role"] == "user").split()
    numbers = [int(word) for word in said if word.isdecimal()]
    assert numbers == sorted(set(numbers))
    # the last turn was answered
    if numbers and (turn := call.turns[-1]).number:
        assert turn.bot
    assert budget.begun == budget.used + budget.wasted
    assert budget.wasted <= 2 + 0.3 * budget.turns
