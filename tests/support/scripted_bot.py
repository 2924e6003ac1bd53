"""A bot as an author writes it, and callers for it, for tests of the harness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.testing import (
    Caller,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Tool,
    Transcripts,
    Voice,
)
from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["AUDIO", "BOOKING", "PROVIDERS", "booking_caller", "create_session", "words_of"]

AUDIO = Path(__file__).parent.parent / "audio"
BOOKING = [AUDIO / "booking" / name for name in ("01-people.wav", "02-when.wav", "03-yes.wav")]
PROVIDERS = Providers(
    stt=Transcripts(latency=0.3),
    llm=Replies(
        "On which day would you like to come? We are open from Tuesday to Sunday, from noon to ten.",
        (Tool("book_table", people=4, day="Friday"), "Your table is booked. Is there anything else?"),
        (Tool("hang_up"), "Thank you for calling, goodbye."),
        latency=0.4,
    ),
    tts=Voice(latency=0.15),
)


async def create_session(call_id: str, *, eager: bool | None = None) -> None:
    """Books a table; its own providers are there to be replaced. `eager` is that of `VoiceAgent.Action`."""

    async def book_table(params: FunctionCallParams, people: int, day: str) -> None:
        """Book a table."""
        await params.result_callback({"booked": True})

    async def hang_up(params: FunctionCallParams) -> None:
        """End the call."""
        await agent.hangup()
        await params.result_callback({"goodbye": True})

    agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", tools=[book_table, hang_up])
    await agent.Action(
        stt=ScriptedSTT(spoken=lambda start, end: ""),
        llm=ScriptedLLM(Replies()),
        tts=ScriptedTTS(),
        eager=eager,
    )
    await agent.start()


def words_of(recording: Path) -> str:
    """What is said in one of the recordings of this repository."""
    scenes: dict[str, list[dict[str, Any]]] = json.loads((AUDIO / "scenes.json").read_text())
    name = str(recording.relative_to(AUDIO))
    return next(str(part["text"]) for scene in scenes.values() for part in scene if part["file"] == name)


def booking_caller() -> Caller:
    """Three turns, of which the second cuts in."""
    people, when, yes = BOOKING
    return (
        Caller()
        .say(people, text=words_of(people))
        .interrupt(when, after=1.5, text=words_of(when))
        .say(yes, text=words_of(yes))
    )
