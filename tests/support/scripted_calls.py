"""A call in virtual time on a recorded line, for tests of the scripted providers alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.call import CallEnd, CallInfo, ToolUse, Turn
from piopiy_pipeline.session import Session
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.signaling.messages import AgentMessage
from piopiy_pipeline.testing.line.spoken_words import SpokenWords
from piopiy_pipeline.testing.providers import Providers
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.recorded_caller import RecordedLink

__all__ = ["AUDIO", "Heard", "Says", "call"]

AUDIO = Path(__file__).parent.parent / "audio"
RATE = 16000


@dataclass(frozen=True)
class Says:
    """The caller says a recording, at a second of the line."""

    at: float
    wav: str
    text: str


@dataclass
class Heard:
    """What was noticed of the call. Times are in seconds of the line."""

    turns: list[tuple[float, Turn]] = field(default_factory=list)
    tools: list[ToolUse] = field(default_factory=list)
    errors: list[CallError] = field(default_factory=list)
    said: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    end: CallEnd | None = None

    def texts(self, role: str) -> list[str]:
        """Return everything that this side said, turn by turn."""
        return [turn.text for _, turn in self.turns if turn.role == role]

    def speech_after(self, at: float) -> float:
        """Return the second at which the bot is next heard, from `at` on."""
        loud = np.flatnonzero(self.said[int(at * RATE) :])
        return at + float(loud[0]) / RATE


def call(
    bot: CreateSession,
    providers: Providers,
    says: Sequence[Says] = (),
    *,
    hangup_s: float = 4.0,
    seed: int = 0,
    post: Callable[[AgentMessage], None] | None = None,
    begun: Callable[[Session, RecordedLink], None] = lambda session, link: None,
) -> Heard:
    """Call `bot`; the caller hangs up `hangup_s` after the last word.

    `post` is given what the session says to a gateway, which confirms checkpoints, and `begun` the session before it
    runs.
    """

    async def scenario() -> Heard:
        loop = asyncio.get_running_loop()
        pcm = np.zeros(0, np.int16)
        words = SpokenWords()

        def spoken(start: float, end: float) -> str:
            return words(start - link.start, end - link.start)

        for each in says:
            sound = read_wav(AUDIO / each.wav, RATE)
            pcm = np.concatenate([pcm, np.zeros(int(each.at * RATE) - pcm.size, np.int16), sound])
            words.add(each.at, each.at + sound.size / RATE, each.text)
        link = RecordedLink(pcm, hangup_after_s=hangup_s)
        heard = Heard()

        async def listened(call: Any) -> None:
            call.on("user_turn", lambda turn: heard.turns.append((loop.time() - link.start, turn)))
            call.on("bot_turn", lambda turn: heard.turns.append((loop.time() - link.start, turn)))
            call.on("tool", heard.tools.append)
            call.on("error", heard.errors.append)
            await bind_callback(bot)(call)

        session = Session(
            CallInfo("a", "00000000-0000-0000-0000-000000000001"),
            link,
            post=post or (lambda _: None),
            confirmed=lambda: post is not None,
            pipeline_hook=providers.bind(spoken=spoken, seed=seed),
        )
        begun(session, link)
        heard.end = await session.run(listened)
        heard.said = link.said
        return heard

    return run_virtual(scenario, seed=seed, limit_s=120)
