"""A real Chromium with a recorded voice as its microphone, and an ear in its pages.

async with chromium(spoken(folder / "mic.wav", 4.0, "booking/01-people.wav", 3.0)) as browser:
    page = await open_page(browser, url)
    ...
    heard = await listen(page)          # what the page's microphone and the bot said, on one clock
    assert speech_s(heard.bot) > 2.0

The browser is Debian's, or whatever Chrome is installed: no download. Everything stays on this machine:
the browser may use its loopback addresses for a call, beside those of its own network interfaces.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, async_playwright, expect

from piopiy_pipeline.processors.silero import load_model, window_shape
from piopiy_pipeline.services.tts.speech_synthesis import synthesize

__all__ = [
    "RATE",
    "Heard",
    "chromium",
    "find_chromium",
    "listen",
    "open_page",
    "sounds",
    "speech_s",
    "spoken",
]

RATE = 16_000
"""The sample rate of what an ear hears, in Hz."""
AUDIO = Path(__file__).parent.parent / "audio"
EAR = Path(__file__).with_name("ear.js")
WAIT_MS = 40_000
"""The longest wait for anything in a page, unless it is said."""
_MICROPHONE_RATE = 48_000
_MICROPHONE_GAIN = 0.25
"""Recordings of -23 dBFS come from the microphone 12 dB softer, as voices come from real ones. Chromium's gain control
makes the first words of a page 13 dB louder. As loud as the recordings are, these were clipped, and misheard."""
expect.set_options(timeout=WAIT_MS)
_FRAME_S = 0.01
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-features=MediaRouter,OptimizationHints,Translate",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
)

Pcm = NDArray[np.int16]


def find_chromium() -> str:
    """Return the path of the browser. Skips the test if there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


@asynccontextmanager
async def chromium(
    microphone: Path | None = None, *, allowed: bool = True, loopback: bool = True, limit_s: float = 240.0
) -> AsyncIterator[Browser]:
    """Run a browser of its own, which is ended in every case, after `limit_s` with `TimeoutError`.

    `microphone` is a WAV of 48 kHz mono as `spoken` makes it: it begins when a page opens the microphone.
    None: a beep a second. `allowed` answers the question whether a page may have it. `loopback`: whether
    calls may use this machine's loopback addresses, which browsers leave out.
    """
    flags = [*_FLAGS]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    if loopback:
        flags.append("--allow-loopback-in-peer-connection")
    # The real question would wait for a person; what refuses it is the same code as a person's "Block".
    flags.append("--use-fake-ui-for-media-stream" if allowed else "--deny-permission-prompts")
    path = find_chromium()
    async with asyncio.timeout(limit_s), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=flags, timeout=30_000)
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, url: str, **context: Any) -> Page:
    """Open a page with an ear in it, in a fresh profile. `context` is Playwright's (viewport, color_scheme,
    ...).
    """
    profile = await browser.new_context(**context)
    profile.set_default_timeout(WAIT_MS)
    await profile.add_init_script(path=EAR)
    page = await profile.new_page()
    await page.goto(url)
    return page


def spoken(path: Path, *parts: float | str) -> Path:
    """Write a microphone's WAV to `path`: seconds of silence, and recordings (under tests/audio) or sentences to say.

    A browser plays it over and over: so there is a long silence after the last part.
    """
    pieces: list[NDArray[np.float32]] = []
    for part in [*parts, 60.0]:
        if isinstance(part, str) and not part.endswith(".wav"):
            said = synthesize(part, RATE).astype(np.float32) / 32768
            pieces.append(soxr.resample(said, RATE, _MICROPHONE_RATE).astype(np.float32))
        elif isinstance(part, str):
            pcm, rate = soundfile.read(AUDIO / part, dtype="float32")
            pieces.append(soxr.resample(pcm, rate, _MICROPHONE_RATE).astype(np.float32))
        else:
            pieces.append(np.zeros(int(part * _MICROPHONE_RATE), np.float32))
    soundfile.write(path, _MICROPHONE_GAIN * np.concatenate(pieces), _MICROPHONE_RATE, subtype="PCM_16")
    return path


@dataclass(frozen=True, slots=True)
class Heard:
    """What a page's microphone recorded and what it was given to play: int16 of shape [samples] at `RATE`."""

    microphone: Pcm
    bot: Pcm

    def save(self, path: Path) -> None:
        """Write both as a stereo WAV: the caller on the left, the bot on the right."""
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([self.microphone, self.bot], axis=1), RATE)


async def listen(page: Page) -> Heard:
    """Return everything that the ear in this page has heard so far."""
    sides = await page.evaluate("__ear.take()")
    microphone, bot = (np.frombuffer(base64.b64decode(side), "<i2").astype(np.int16) for side in sides)
    return Heard(microphone, bot)


def sounds(pcm: Pcm, *, gap_s: float = 0.3, above_dbfs: float = -45.0) -> list[tuple[float, float]]:
    """Return the stretches with sound in seconds, exact to 10 ms. Pauses under `gap_s` are part of a stretch."""
    frame = int(_FRAME_S * RATE)
    count = pcm.size // frame
    power = np.mean((pcm[: count * frame].reshape(count, frame) / 32768.0) ** 2, axis=1)
    stretches: list[tuple[float, float]] = []
    for i in np.flatnonzero(power > 10 ** (above_dbfs / 10)):
        begin, end = float(i) * _FRAME_S, float(i + 1) * _FRAME_S
        if stretches and begin - stretches[-1][1] < gap_s:
            stretches[-1] = stretches[-1][0], end
        else:
            stretches.append((begin, end))
    return stretches


def speech_s(pcm: Pcm) -> float:
    """Return how many seconds somebody speaks in it, as a detector of human voices (Silero) hears it."""
    shape = window_shape(RATE)
    model = load_model()
    state = model.fresh_state()
    context = bytes(shape.context_bytes)
    data = pcm.astype("<i2").tobytes()
    spoken_s = 0.0
    for at in range(0, len(data) - shape.window_bytes + 1, shape.window_bytes):
        window = data[at : at + shape.window_bytes]
        (score,), _, state = model.score(shape, [context, window], state)
        context = window[-shape.context_bytes :]
        spoken_s += shape.seconds if score > 0.5 else 0.0
    return spoken_s
