"""How soon is the bot silent in the page of a browser? Part of `barge_in`, which says how to run it.

A Chromium of its own for each sound opens the gateway's console and presses Talk. Its microphone is a file, which is
cleaned as a person's is (echo, noise, gain). An ear in the page (`tests/support/ear.js`) records the microphone and
what the page is given to play on one clock: the caller's ear, but for the sound card. The time is from the first
sample of the sound at the microphone to the last loud sample of the bot.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.barge_in_sounds import RATE, Sound
from tests.browser.console import talk
from tests.support.browser import chromium, listen, open_page

__all__ = ["InPage", "in_page"]

SPEAKS_AT_S = 4.0
"""After the microphone was opened: the call is there and the bot speaks."""
SETTLED_S = 2.0
"""By then the browser's jitter buffer has left behind with what it began."""
AFTER_S = 1.0
QUIET_S = 0.1
LOUD = 300
MICROPHONE_RATE = 48_000
JITTER_BUFFER = """async () => {
  const [peer] = __ear.peers;
  for (const one of (await peer.getStats()).values())
    if (one.type === "inbound-rtp" && one.kind === "audio")
      return [one.jitterBufferDelay, one.jitterBufferEmittedCount];
  return [0, 0];
}"""


@dataclass(frozen=True, slots=True)
class InPage:
    """One interruption in a page.

    Attributes:
        silent_s: Seconds from its first sample to silence; None if the bot spoke on, or did not speak.
        buffered_s: How long a sample of the bot lay in the browser's jitter buffer, in the mean of the last seconds.
    """

    silent_s: float | None
    buffered_s: float


async def in_page(sound: Sound, url: str, folder: Path) -> InPage:
    """Call the bot in a page, make a sound over its speech, and listen.

    Args:
        sound: What the caller says.
        url: Of the gateway's console, which asks for no key.
        folder: For the microphone's file.
    """
    microphone = _microphone(sound, folder / "microphone.wav")
    async with chromium(microphone) as browser:
        page = await open_page(browser, url)
        await talk(page)
        await asyncio.sleep(SETTLED_S)
        before = await page.evaluate(JITTER_BUFFER)
        await asyncio.sleep(SPEAKS_AT_S - SETTLED_S + sound.seconds + AFTER_S)
        delay_s, samples = np.subtract(await page.evaluate(JITTER_BUFFER), before)
        heard = await listen(page)
        await page.get_by_test_id("hangup").click()
    began = _first_sample(heard.microphone, sound)
    return InPage(_silent_s(heard.bot, began), float(delay_s / samples) if samples else 0.0)


def _microphone(sound: Sound, path: Path) -> Path:
    """Write what the microphone hears. A browser plays it over and over, so a long silence comes last."""
    line = np.random.default_rng(0).normal(0, 4, int((SPEAKS_AT_S + 60) * MICROPHONE_RATE))
    pcm = soxr.resample(sound.pcm.astype(np.float64), RATE, MICROPHONE_RATE)
    at = int(SPEAKS_AT_S * MICROPHONE_RATE)
    line[at : at + len(pcm)] += pcm
    soundfile.write(path, np.clip(line, -32768, 32767).astype(np.int16), MICROPHONE_RATE, subtype="PCM_16")
    return path


def _first_sample(microphone: NDArray[np.int16], sound: Sound) -> int:
    """Return where the sound begins: where it correlates best, whatever the page has made of its loudness."""
    spoken, size = sound.pcm.astype(np.float64), len(microphone) + len(sound.pcm)
    match = np.fft.irfft(
        np.fft.rfft(microphone.astype(np.float64), size) * np.conj(np.fft.rfft(spoken, size)), size
    )
    return int(match[: len(microphone)].argmax())


def _silent_s(bot: NDArray[np.int16], began: int) -> float | None:
    loud = np.flatnonzero(np.abs(bot.astype(np.int32)) > LOUD)
    before = loud[loud <= began]
    if not before.size or began - before[-1] > QUIET_S * RATE:
        return None  # it was silent already
    after = np.concatenate([[began], loud[loud > began], [len(bot)]])
    last = int(after[np.argmax(np.diff(after) > QUIET_S * RATE)])
    silent = bool((np.diff(after) > QUIET_S * RATE).any())
    return (last - began) / RATE if silent else None
