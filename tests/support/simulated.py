"""A simulated call that was never simulated: what the report and the plugin are tested with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.call import EndReason, ToolUse
from piopiy_pipeline.latency import LatencyParts
from piopiy_pipeline.testing.report.simulated_call import Event, SimulatedCall, TurnResult

__all__ = ["booking_call"]

RATE = 16000
AUDIO = Path(__file__).parents[1] / "audio" / "booking"
PARTS = LatencyParts(silence=0.22, stt=0.03, turn=0.02, llm=0.24, tts=0.09, playout=0.02)

CALLER = [
    "I would like to book a table for four people.",
    "On Friday at seven in the evening.",
    "Yes please.",
]
BOT = [
    "Welcome to the Blue Door. How can I help you?",
    "For which day and time?",
    "A table for four on Friday at seven. Is that",
    "Your table is booked.",
]


def booking_call(*, slower: float = 0.0, lost: tuple[int, ...] = (), name: str = "booking") -> SimulatedCall:
    """A call of about 18 s with three answers, a tool, and a barge-in. The bot's voice is a warbling tone."""
    length = 20 * RATE
    caller, bot = np.zeros(length, np.int16), np.zeros(length, np.int16)
    events = [Event(0.0, "answered")]
    turns: list[TurnResult] = []

    def speak(at: float, text: str, *, interrupted: bool = False) -> float:
        size = int(len(text) / 15 * RATE)
        begin = int(at * RATE)
        bot[begin : begin + size] = _warble(size)[: length - begin]
        events.append(Event(at, "bot_audio"))
        events.append(Event(at + size / RATE, "bot_stopped"))
        events.append(Event(at + size / RATE, "bot_turn", {"text": text, "interrupted": interrupted}))
        return at + size / RATE

    now = speak(0.1, BOT[0])
    turns.append(TurnResult(0, "", BOT[0], (), False, 0.0, 0.0, 0.1, None))
    for number, file in enumerate(sorted(AUDIO.glob("*.wav"))[:3], 1):
        pcm = read_wav(file, RATE)
        bounds = speech_bounds(pcm, RATE)
        assert bounds is not None
        at = now + (-0.4 if number == 3 else 0.6)
        caller[int(at * RATE) : int(at * RATE) + pcm.size] = pcm
        start, end = at + bounds.start / RATE, at + bounds.end / RATE
        text = CALLER[number - 1]
        parts = replace(PARTS, llm=PARTS.llm + slower * number)
        answer = end + parts.voice_to_voice
        events.append(Event(start, "user_speech", {"start": start, "end": end, "name": file.name}))
        events.append(Event(start + 0.12, "vad_started"))
        if number == 3:
            events.append(Event(start + 0.14, "interruption"))
        events.append(Event(end + parts.silence, "vad_stopped"))
        heard = end + parts.silence + parts.stt
        events.append(Event(heard, "transcript"))
        events.append(Event(heard + parts.turn, "user_turn", {"text": text}))
        tools: tuple[ToolUse, ...] = ()
        if number == 3:
            tools = (ToolUse("book_table", {"people": 4, "day": "Friday", "time": "19:00"}, {"ok": True}),)
            arguments = {"name": tools[0].name, "arguments": tools[0].arguments}
            events.append(Event(answer - 0.2, "tool", arguments))
        now = speak(answer, BOT[number], interrupted=number == 2)
        turns.append(TurnResult(number, text, BOT[number], tools, number == 2, start, end, answer, parts))
    events += [
        Event(n * 0.02, "packet_lost", {"direction": "to_bot" if n % 3 else "to_caller", "seq": n})
        for n in lost
    ]
    duration = now + 0.5
    events.append(Event(duration, "end", {"reason": "agent_hangup", "detail": "the bot hung up"}))
    size = int(duration * RATE)
    return SimulatedCall(
        turns=turns,
        events=sorted(events, key=lambda event: event.at),
        end_reason=EndReason.AGENT_HANGUP,
        end_detail="the bot hung up",
        caller_audio=caller[:size],
        bot_audio=bot[:size],
        rate=RATE,
        seed=1,
        duration_s=duration,
        wall_s=0.21,
        name=name,
    )


def _warble(size: int) -> NDArray[np.int16]:
    at = np.arange(size) / RATE
    tone = 7000 * np.sin(2 * np.pi * 180 * at) * np.abs(np.sin(2 * np.pi * 2.2 * at))
    pcm: NDArray[np.int16] = np.rint(tone).astype(np.int16)
    return pcm
