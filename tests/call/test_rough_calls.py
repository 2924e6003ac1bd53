"""What `test_provider_faults` asserts, of rougher calls: faults of every kind, beside tools, interruptions and silence.

The models are pipecat's own service for OpenAI's protocol, which reads chunks as a server would send them, in virtual
time. What else is drawn: up to three providers of each kind, faults from the greeting on or from the middle of the
call, answers begun ahead, how turns end, what the caller does meanwhile, and a tool that is slow, fails, hangs or
ends with an interruption. ``FAULT_SEEDS=500`` runs so many seeds; about 60 are part of the suite.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    CallerLine,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    SlowStart,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.scripted.faults import Fault, ProviderFailure
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_provider_faults import (
    ASKED_AT,
    ENDS_AT,
    FIRST,
    LONGEST_S,
    MARGIN_S,
    PART,
    PARTS,
    QUESTIONS,
    SEEDS,
    drawn_voice,
    longest_wait_s,
    since_last_question,
    stt_faults,
    voice_faults,
    words_of,
)
from tests.support.virtual import info

IDLE_S = 18.0
TOOL_LIMIT_S = 6.0
BROKEN_ARGUMENTS = ("[1, 2]", '"four"', '{"people": ', '{"people": 4}}', "{'people': 4}", "7")

# ---------------------------------------------------------------------- models


def chunk(**delta: Any) -> SimpleNamespace:
    """One chunk of a streamed answer, as the SDK gives it."""
    fields = {"content": None, "tool_calls": None, "audio": None, **delta}
    choice = SimpleNamespace(index=0, delta=SimpleNamespace(**fields), finish_reason=None)
    return SimpleNamespace(usage=None, model="rough", choices=[choice])


def usage_only() -> SimpleNamespace:
    usage = SimpleNamespace(
        prompt_tokens=9,
        completion_tokens=0,
        total_tokens=9,
        prompt_tokens_details=None,
        completion_tokens_details=None,
    )
    return SimpleNamespace(usage=usage, model="rough", choices=[])


def tool_call(name: str, arguments: str) -> SimpleNamespace:
    function = SimpleNamespace(name=name, arguments=arguments)
    return chunk(tool_calls=[SimpleNamespace(index=0, id="call_1", function=function)])


@dataclass(frozen=True)
class Trouble:
    """A fault of a model. `kind` is the name of one of `RoughModel`'s; `at_s` and `share` are when it comes."""

    kind: str
    at_s: float = 0.0
    share: float = 0.0
    text: str = ""
    hopeless: bool = False


class RoughModel(OpenAILLMService):
    """Answers as the plan says, with its words one by one.

    Args:
        reply: Gives the answer: a text, or the name of a tool.
        troubles: The faults, by the number of the request.
        latency_s: To the first word.
        words_per_s: How fast words come.
    """

    def __init__(
        self,
        reply: Callable[[LLMContext], str | None],
        *,
        troubles: dict[int, Trouble],
        latency_s: float,
        words_per_s: float,
    ) -> None:
        super().__init__(
            api_key="none", base_url="http://127.0.0.1:9", settings=OpenAILLMService.Settings(model="rough")
        )
        self._reply = reply
        self._troubles = troubles
        self._latency_s = latency_s
        self._words_per_s = words_per_s
        self._requests = 0

    def create_client(self, *args: Any, **kwargs: Any) -> AsyncOpenAI:
        """Without certificates, which take longer to read than the call."""
        return AsyncOpenAI(
            api_key="none", base_url="http://127.0.0.1:9", http_client=DefaultAsyncHttpxClient(verify=False)
        )

    async def get_chat_completions(self, context: LLMContext) -> Any:
        trouble = self._troubles.get(self._requests, Trouble("none"))
        self._requests += 1
        match trouble.kind:
            case "refused":
                raise ProviderFailure("HTTP status 429", 429)
            case "forbidden":
                raise ProviderFailure("HTTP status 401", 401)
            case "times out":
                await asyncio.sleep(trouble.at_s)
                raise TimeoutError("no answer")
        return self._stream(context, trouble)

    async def _stream(self, context: LLMContext, trouble: Trouble) -> AsyncIterator[Any]:
        await asyncio.sleep(self._latency_s + (trouble.at_s if trouble.kind == "slow" else 0.0))
        reply = self._reply(context)
        if trouble.kind in ("tool arguments", "unknown tool"):
            yield tool_call("book" if trouble.kind == "tool arguments" else "no_such_tool", trouble.text)
            return
        if reply is None:
            if trouble.kind in ("none", "slow"):
                yield tool_call("book", json.dumps({"people": 4}))
                yield usage_only()
                return
            reply = ""
        words = reply.split(" ") if reply else []
        if trouble.kind not in ("none", "slow"):
            words = words[: round(trouble.share * len(words))]
        for number, word in enumerate(words):
            if number:
                await asyncio.sleep(1 / self._words_per_s)
            yield chunk(content=f"{word} ")
        async for one in self._go_wrong(trouble, reply):
            yield one
        yield usage_only()

    async def _go_wrong(self, trouble: Trouble, reply: str) -> AsyncIterator[Any]:
        match trouble.kind:
            case "hangs":
                await asyncio.Event().wait()
            case "closed":
                raise ConnectionResetError("the connection was closed in the middle of the answer")
            case "no json":
                raise json.JSONDecodeError("Expecting value", "<html>502</html>", 0)
            case "usage without end":
                while True:
                    await asyncio.sleep(0.2)
                    yield usage_only()
            case "words without end":
                while True:
                    await asyncio.sleep(1 / self._words_per_s)
                    yield chunk(content="and so on. ")
            case "blank without end":
                while True:
                    await asyncio.sleep(0.2)
                    yield chunk(content=" \n")
            case "halves of pairs":
                for text in ("\ud83d", "\ude00 ", "\ud800", " ", reply, "\udfff"):
                    yield chunk(content=text)
            case "text":
                yield chunk(content=trouble.text)


def model_troubles(rng: Random) -> Trouble:
    share = rng.random()
    tool_text = '<tool_call>{"name": "book", "arguments": {"people": 4}}</tool_call>'
    return rng.choice([
        Trouble("refused", hopeless=True),
        Trouble("forbidden", hopeless=True),
        Trouble("times out", at_s=rng.uniform(1, 6), hopeless=True),
        Trouble("slow", at_s=rng.uniform(1, 6)),
        Trouble("hangs", hopeless=True),
        Trouble("hangs", share=share),
        Trouble("closed", hopeless=True),
        Trouble("closed", share=share),
        Trouble("no json", hopeless=True),
        Trouble("no json", share=share),
        Trouble("usage without end", hopeless=True),
        Trouble("blank without end", hopeless=True),
        Trouble("words without end", share=share),
        Trouble("halves of pairs"),
        Trouble("text", hopeless=True),  # nothing at all
        Trouble("text", text="<think>The caller wants a table.</think>", hopeless=True),
        Trouble("text", text="<think>One <think>and two</think> and three</think>", hopeless=True),
        Trouble("text", text=tool_text, hopeless=True),
        Trouble("tool arguments", text=rng.choice(BROKEN_ARGUMENTS)),
        Trouble("unknown tool", text="{}"),
    ])  # fmt: skip


# ---------------------------------------------------------------------- the plan of a call


@dataclass
class RoughPlan:
    """What is drawn for one call."""

    seed: int
    models: list[tuple[dict[int, Trouble], float, float]] = field(default_factory=list)
    ears: list[Transcripts] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)
    """The kinds of providers of which none ever works."""
    used: list[int] = field(default_factory=list)
    """For each use of the tool, how often the caller had asked by then."""
    context: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = Random(f"rough {self.seed}")
        self.eager = rng.random() < 0.5
        self.turns: Literal["smart", "fast"] = rng.choice(("smart", "fast"))
        self.tool = rng.choice(("", "", "quick", "slow", "fails", "hangs", "cancelled"))
        self.greets = rng.random() < 0.7
        self.caller = rng.choice(("asks", "asks", "interrupts", "pauses", "goes on", "is silent"))
        self.pause_s = rng.uniform(0.7, 4.0)
        for kind, make in (("llm", self._model), ("stt", self._ear), ("tts", self._voice)):
            broken = [make(rng) for _ in range(rng.choice((1, 2, 2, 3)))]
            if all(broken):
                self.hopeless.add(kind)

    def _model(self, rng: Random) -> bool:
        troubles: dict[int, Trouble] = {}
        broken = False
        if rng.random() < 0.6:
            trouble = model_troubles(rng)
            first = rng.choice((0, 0, 0, 1, 2))
            always = rng.random() < 0.5
            last = first + (999 if always else rng.choice((1, 1, 2)))
            troubles = dict.fromkeys(range(first, last), trouble)
            broken = always and first == 0 and trouble.hopeless
        self.models.append((troubles, rng.uniform(0, 2), rng.choice((40.0, 20.0, 8.0, 3.0, 0.7))))
        return broken

    def _faults(self, rng: Random, faults: list[Fault]) -> tuple[dict[int, Fault], bool]:
        if rng.random() < 0.4:
            return {}, False
        fault = rng.choice(faults)
        if rng.random() < 0.5:
            first = rng.choice((0, 0, 1, 2))
            always = dict.fromkeys(range(first, 99), replace(fault, times=999))
            return always, not first and fault.share == 0.0 and not isinstance(fault, SlowStart)
        return {rng.choice((0, 1, 1, 2)): replace(fault, times=rng.choice((1, 1, 2)))}, False

    def _ear(self, rng: Random) -> bool:
        faults, broken = self._faults(rng, stt_faults(rng))
        texts = [
            "a table for four",
            rng.choice(("a table for four", "a table for", "on Friday at eight and")),
        ]
        self.ears.append(Transcripts(texts=texts * 10, faults=faults, latency=rng.uniform(0, 0.5)))
        return broken

    def _voice(self, rng: Random) -> bool:
        faults, broken = self._faults(rng, voice_faults(rng))
        self.voices.append(drawn_voice(rng, faults))
        return broken

    def _reply(self, context: LLMContext) -> str | None:
        """Answer as a good model does: go on where the conversation shows that the answer stopped."""
        since = since_last_question(context.get_messages())
        heard = PART.findall(words_of(since))
        if self.tool and not heard and not any(message.get("tool_calls") for message in since):
            return None
        left = PARTS[PARTS.index(heard[-1]) + 1 :] if heard else PARTS
        return " ".join(f"This is part {part}." for part in left) or "That is all."

    async def bot(self, call: Call) -> None:
        @tool(timeout=TOOL_LIMIT_S, keep_on_interruption=self.tool != "cancelled")
        async def book(params: FunctionCallParams, people: int = 0) -> str:
            """Book a table."""
            users = sum(message.get("role") == "user" for message in params.context.get_messages())  # type: ignore[union-attr]
            self.used.append(users)
            if self.tool in ("slow", "cancelled"):
                await asyncio.sleep(self.pause_s + 1)
            elif self.tool == "hangs":
                await asyncio.Event().wait()
            elif self.tool == "fails":
                raise LookupError("no such table")
            return "booked"

        agent = VoiceAgent(
            instructions="Be brief.",
            greeting="Hello and welcome." if self.greets else None,
            call=call,
            idle_timeout_secs=IDLE_S if self.caller == "is silent" else 60,
            idle=self.caller == "is silent",
            reply_timeout_secs=5,
            tools=[book],
        )
        await agent.Action(
            stt=[ScriptedSTT(script) for script in self.ears],
            llm=[
                RoughModel(self._reply, troubles=troubles, latency_s=latency_s, words_per_s=words_per_s)
                for troubles, latency_s, words_per_s in self.models
            ],
            tts=[ScriptedTTS(script) for script in self.voices],
            eager=self.eager,
            turns=self.turns,
        )
        try:
            await agent.start()
        finally:
            assert agent.context is not None
            self.context = list(agent.context.get_messages())

    async def call_it(self, line: CallerLine) -> None:
        """Call the bot, whatever it does."""
        await line.at(ASKED_AT[0])
        await line.say(QUESTIONS[0])
        match self.caller:
            case "interrupts":  # as soon as an answer is heard, if one is
                asked_at = line.now
                while not line.bot_speaking and line.now < asked_at + 12:
                    await line.pause(0.1)
                await line.pause(self.pause_s / 4)
                await line.say(QUESTIONS[1])
            case "pauses":
                await line.pause(self.pause_s)
                await line.say(QUESTIONS[1])
            case "goes on":  # before the answer, or into it
                await line.pause(self.pause_s / 2)
                await line.say(QUESTIONS[1])
                await line.pause(self.pause_s)
                await line.say(QUESTIONS[0])
        if self.caller != "is silent":
            await line.at(ASKED_AT[1])
            await line.say(QUESTIONS[1])
        await line.at(ENDS_AT + 15)


def longest_greeting_wait_s(plan: RoughPlan, call: SimulatedCall) -> float:
    """Return the longest silence between the answer and the end of the greeting, or the caller's first words."""
    if not plan.greets:
        return 0.0
    spoken = [speech.data["start"] for speech in call.of("user_speech")] or [call.duration_s]
    greeted = [event.at for event in call.of("bot_turn")] or [call.duration_s]
    until = min(spoken[0], greeted[0])
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > 200) / call.rate
    return float(np.max(np.diff(loud[loud < until], prepend=0.0, append=until), initial=0.0))


def check(plan: RoughPlan, call: SimulatedCall) -> None:
    wait_s = max(longest_wait_s(call), longest_greeting_wait_s(plan, call))
    assert wait_s <= LONGEST_S + MARGIN_S, (
        f"{wait_s:.2f} s of silence for a caller who waits\n{call.timeline()}"
    )
    answer: list[Any] = []
    for message in [*plan.context, {"role": "user"}]:
        if message.get("role") == "user":
            said = PART.findall(words_of(answer))
            assert said == sorted(set(said), key=PARTS.index), f"said twice: {said}\n{call.timeline()}"
            answer = []
        else:
            answer.append(message)
    once = plan.tool == "cancelled" or len(plan.used) == len(set(plan.used))
    assert once, f"a tool ran twice\n{call.timeline()}"
    match call.end_reason:
        case EndReason.CALLER_HANGUP:
            lost = {"llm", "tts"} & plan.hopeless and "stt" not in plan.hopeless
            assert not lost, f"nothing is left of {plan.hopeless}, and the call goes on\n{call.timeline()}"
        case EndReason.IDLE_TIMEOUT:
            assert plan.caller == "is silent", call.timeline()
        case EndReason.ERROR:
            assert call.end_detail.startswith(("llm: ", "stt: ", "tts: ")), call.timeline()
        case _:
            raise AssertionError(call.timeline())


def run(seed: int) -> tuple[RoughPlan, SimulatedCall]:
    plan = RoughPlan(seed)
    return plan, simulate(plan.bot, plan.call_it, info=info(), seed=seed, limit_s=120)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_whatever_fails_and_whatever_the_caller_does_nobody_waits_in_silence(seed: int) -> None:
    check(*run(seed))
