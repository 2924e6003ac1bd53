"""A bot that collects values in whole simulated calls, and what a caller says to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from piopiy_pipeline.collect import Collected, NotCollected
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.line.callers import CallerCoroutine
from piopiy_pipeline.testing.scripted.reply_script import Reply
from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["VOICE", "Form", "collected_in", "say", "says", "value_of"]

VOICE = Path(__file__).parent.parent / "audio" / "booking" / "03-yes.wav"
"""Sounds like speech: what is said is what the scripted STT is told."""
Form = Callable[[Call], Awaitable[Any]]


def say(*texts: str) -> Caller:
    """Return a caller who says these, one after the other, each when it is their turn. ``#12`` presses keys."""
    return says(Caller(), *texts)


def says(caller: Caller, *texts: str) -> Caller:
    """Return a caller who goes on with these."""
    for text in texts:
        caller = caller.press(text[1:]) if text.startswith("#") else caller.say(VOICE, text=text)
    return caller


def collected_in(
    form: Form,
    caller: Caller | CallerCoroutine,
    *,
    replies: Sequence[Reply] = (),
    otherwise: Reply | None = None,
    losses: Sequence[AgentLoss] = (),
    language: str | None = None,
    tools: Sequence[Any] = (),
    dtmf: Any = "event",
    latency: float = 0.1,
    by: Literal["voice", "text"] = "voice",
    action: Mapping[str, Any] | None = None,
) -> tuple[list[Any], SimulatedCall]:
    """Have a caller fill in a form. Returns what `form` has returned or raised, by instance, and the call."""
    outcomes: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, tools=tools, dtmf=dtmf)

        async def fill_in(_: object) -> None:
            try:
                outcomes.append(await form(call))
            except NotCollected as error:
                outcomes.append(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                outcomes.append(error)
                raise

        agent.on("answered", fill_in)
        stt, tts = ScriptedSTT(spoken=lambda start, end: ""), ScriptedTTS()
        if language is not None:
            tts._settings.language = language
        await agent.Action(stt=stt, llm=ScriptedLLM(Replies()), tts=tts, **(action or {}))
        await agent.start()

    providers = Providers(
        stt=Transcripts(latency=latency),
        llm=Replies(*replies, otherwise=otherwise, latency=0.3),
        tts=Voice(latency=0.1),
    )
    call = simulate(bot, caller, providers=providers, losses=losses, limit_s=400, by=by)
    return outcomes, call


def value_of(outcomes: Sequence[Any]) -> Any:
    """Return the value of the last form that has ended."""
    last = outcomes[-1]
    assert isinstance(last, Collected), last
    return last.value
