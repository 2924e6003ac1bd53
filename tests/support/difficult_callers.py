"""Callers who are hard to listen to: recordings, and bots that ask or explain while they are heard.

Who pauses in the middle of what they say, who says "mhm" or coughs through an explanation, and who interrupts. The
same callers call in virtual time (`tests/call/test_difficult_callers.py`), over a telephone and in a browser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.call import Turn
from piopiy_pipeline.services.providers import build, chosen
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.offline import AUDIO
from tests.support.services import ScriptedLLM

__all__ = [
    "COUGH",
    "EXPLANATION",
    "LISTENING",
    "MHM",
    "MISHEARD",
    "NO_WAIT",
    "PAUSING",
    "RATE",
    "ExplainingBot",
    "Pausing",
    "joined",
    "missing_words",
    "plain",
]

RATE = 16_000
"""Of the recordings, in Hz."""
MARGIN = RATE // 5
"""Samples of silence around each of them."""
SOUNDS = AUDIO.parent / "turns" / "recordings"
COUGH, MHM = SOUNDS / "cough.wav", SOUNDS / "mhm.wav"
LISTENING = (MHM, *sorted((AUDIO / "listening").glob("*.wav")))
NO_WAIT = AUDIO / "no_wait" / "01-no_wait.wav"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EXPLANATION = (
    "We have a table by the window, from which you can see the river and the old bridge. We also have a terrace "
    "under the trees, which is quiet in the evening, and dogs are welcome there."
)
"""About nine seconds."""
MISHEARD = 3
"""So many words of the explanation, of 35, a recogniser may have otherwise where nothing is missing."""


@dataclass(frozen=True, slots=True)
class Pausing:
    """A caller who answers a question in two halves.

    Attributes:
        question: What the bot asks.
        halves: The recordings, below ``tests/audio``.
        before: A pattern of what is understood of the first half.
        after: The same of the second.
    """

    question: str
    halves: tuple[str, str]
    before: str
    after: str

    def heard_in(self, text: str) -> bool:
        """Return whether both halves were understood."""
        words = " ".join(
            DIGITS[int(word)] if word.isdigit() else word for word in plain(re.sub(r"\d", r" \g<0> ", text))
        )
        return all(re.search(pattern, words) for pattern in (self.before, self.after))


PAUSING = {
    "number": Pausing(
        "What is your phone number, please?",
        ("pauses/01-number.wav", "pauses/02-number_goes_on.wav"),
        "one five",
        "one two nine",
    ),
    "human number": Pausing(
        "What is your phone number, please?",
        ("human/01-number.wav", "human/02-number_goes_on.wav"),
        "one five",
        "one two nine",
    ),
    "address": Pausing(
        "And what is your address?",
        ("pauses/03-address.wav", "pauses/04-address_goes_on.wav"),
        "station road",
        "springfield",
    ),
    "and": Pausing(
        "How can I help you?",
        ("pauses/05-and.wav", "pauses/06-and_goes_on.wav"),
        "table on friday",
        "daughter",
    ),
}
"""Who pauses in the middle of a phone number, of an address, and behind an "and"."""


def joined(*parts: Path | str | float) -> NDArray[np.int16]:
    """Return recordings (paths, or names below ``tests/audio``) with seconds of silence between them, at `RATE`.

    The silence that the recordings have around them is taken away, and there is some around the whole.
    """
    edge = np.zeros(MARGIN, np.int16)
    pieces = [edge]
    for part in parts:
        if isinstance(part, float):
            pieces.append(np.zeros(int(part * RATE), np.int16))
        else:
            pieces.append(_speech(AUDIO / part))
    return np.concatenate([*pieces, edge])


def _speech(path: Path) -> NDArray[np.int16]:
    pcm = read_wav(path, RATE)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 30)
    return pcm[loud[0] : loud[-1] + 1]


@dataclass
class ExplainingBot:
    """A bot with the offline ears and voice, which asks or explains as soon as it is called.

    Args:
        line: What it says first.
        stt: Makes its ears. None: those that are chosen.
        tts: Makes its voice. None: the one that is chosen.
        options: More arguments of `Action`.
        cleans: Whether it asks the gateway for a clean sound.

    Attributes:
        whole: Whether `line` was heard to its end, of each call.
        contexts: The messages of each call, when it was over.
        backchannels: What callers said who listened.
        llm: The model. It thanks for whatever is said, also where an answer is begun ahead and given up.
    """

    line: str
    stt: Any = None
    tts: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    cleans: bool = False
    whole: list[bool] = field(default_factory=list)
    contexts: list[list[Any]] = field(default_factory=list)
    backchannels: list[Turn] = field(default_factory=list)
    llm: ScriptedLLM = field(default_factory=lambda: ScriptedLLM(["Thank you."] * 20))

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle_timeout_secs=None)
        stt: STTService = self.stt() if self.stt else build("stt", chosen("stt"))
        tts: TTSService = self.tts() if self.tts else build("tts", chosen("tts"))
        await agent.Action(stt=stt, llm=self.llm, tts=tts, **self.options)
        if self.cleans:
            agent.clean_sound()

        async def speak(_: object) -> None:
            self.whole.append(await agent.say(self.line))

        agent.on("answered", speak)
        agent.on("backchannel", self.backchannels.append)
        await agent.start()
        assert agent.context is not None
        self.contexts.append(list(agent.context.get_messages()))

    def said(self, role: str) -> list[str]:
        """Return the messages of a role, of the last call."""
        return [str(message["content"]) for message in self.contexts[-1] if message["role"] == role]


def plain(text: str) -> list[str]:
    """Return the words of a text in lower case, without marks."""
    return re.findall(r"[a-z0-9']+", text.lower().replace("-", " "))


def missing_words(wanted: str, heard: str | Sequence[str]) -> list[str]:
    """Return the words of a text that were not heard, in order."""
    words = plain(wanted)
    found = plain(heard if isinstance(heard, str) else " ".join(heard))
    matcher = SequenceMatcher(None, words, found, autojunk=False)
    kept = {n for block in matcher.get_matching_blocks() for n in range(block.a, block.a + block.size)}
    return [word for n, word in enumerate(words) if n not in kept]
