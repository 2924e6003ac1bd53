"""`CaptureLog`: what is noted of one call, on its way to the disk.

The parts that listen (`capture_link`, `provider_taps`, `call_capture`) write into this log, so none of
them has to know the others. Notes go to the disk about once a second, in a worker thread. When the disk
fails or falls behind, the capture ends, and the call goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger

from piopiy_pipeline.capture.content import jsonable, text_bytes
from piopiy_pipeline.capture.format import BOT, CALLER, EVENTS, EXCHANGES, Kind, Meta, StageLine, speech_file
from piopiy_pipeline.capture.played import HeardSpeech, PlayedSpeech
from piopiy_pipeline.capture.writer import CaptureBatch, CaptureWriter
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.offload import Lane

__all__ = ["TOLERANCE_S", "Arrivals", "CaptureLog", "utc_now"]

EVERY_S = 1.0
"""How often the notes go to the disk."""
LINE_BYTES = 200
"""What a line takes in memory besides its texts."""
AT_ONCE_BYTES = 256 * 1024
"""A batch of this size is written at once."""
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""A disk that is this far behind will not catch up, so the capture is given up to protect the memory."""
CLOSE_S = 60.0
"""How long writing the rest may take at the end of the call."""
TOLERANCE_S = 0.06
"""Audio that comes this much earlier or later than its samples say begins a new run."""

_lane: Lane | None = None


def _disk() -> Lane:
    """Return the threads that write the captures of all calls. A call that waits for the disk delays no other."""
    global _lane
    if _lane is None:
        _lane = Lane("capture", threads=2, ordered=False)
    return _lane


class Arrivals:
    """Notes when the caller's audio arrived: one event for each run of samples that keep their pace.

    Without I/O. The samples themselves are written one after the other, as they come.

    Args:
        rate: The sample rate of the caller's audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.samples = 0
        """How many samples have arrived."""
        self._rate = rate
        self._offset: float | None = None

    def add(self, samples: int, now: float) -> float | None:
        """Count samples that have arrived.

        Args:
            samples: How many samples have arrived.
            now: When the last of them arrived, in seconds since the answer.

        Returns:
            When the first of these samples was due, if a new run begins with it; else None.
        """
        begins = now - samples / self._rate
        offset = begins - self.samples / self._rate
        self.samples += samples
        if self._offset is not None and abs(offset - self._offset) <= TOLERANCE_S:
            return None
        self._offset = offset
        return begins


class CaptureLog:
    """Takes the notes of one call and writes them. All methods but `close` return at once.

    Args:
        writer: Writes the file; its methods run in a worker thread.
        meta: What is known of the call. `set_rates` and `set_stages` complete it.
    """

    def __init__(self, writer: CaptureWriter, meta: Meta) -> None:
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._writer = writer
        self._meta = meta
        self._batch = CaptureBatch()
        self._begun = False
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._problem = ""
        self._closed = False
        self._arrivals = Arrivals(meta.caller_rate)
        self._played = PlayedSpeech(meta.bot_rate)
        self._speech: dict[str, int] = {}
        self._requests = 0

    # ------------------------------------------------------------------ what the call is

    def set_rates(self, *, caller_rate: int, bot_rate: int) -> None:
        """Set the sample rates of both directions in Hz, before the call is answered."""
        self._update(caller_rate=caller_rate, bot_rate=bot_rate)
        self._arrivals = Arrivals(caller_rate)
        self._played = PlayedSpeech(bot_rate)

    def set_stages(self, stages: list[StageLine]) -> None:
        """Set what the chain of the call is made of."""
        self._update(stages=stages)

    def set_version(self, version: int) -> None:
        """Set the version of the format, if what will be noted needs a later one than the first."""
        self._update(version=version)

    def _update(self, **values: Any) -> None:
        self._meta = self._meta.model_copy(update=values)

    # ------------------------------------------------------------------ written by the media link

    def answered(self) -> None:
        """Note that the call is answered. All times count from now."""
        self._zero = self._loop.time()
        self._update(started_at=utc_now())
        self.event("answered")

    def caller_audio(self, pcm: bytes) -> None:
        """Audio of the caller has arrived: PCM16 mono at the caller's rate."""
        position = self._arrivals.samples
        at = self._arrivals.add(len(pcm) // 2, self.now())
        if at is not None:
            self.event("caller_audio", {"position": position}, at=at)
        self._audio(CALLER, self._meta.caller_rate, -1, pcm)

    def bot_audio(self, pcm: bytes) -> None:
        """Take speech that the bot has sent: PCM16 mono at the bot's rate."""
        self._played.sent(pcm)

    def clearing(self, epoch: int) -> None:
        """Note that the agent has asked the playout to drop what was not played; what follows is of `epoch`."""
        self._played.clearing(epoch)
        self.event("interruption")

    def played(self, epoch: int, position: int, dry: bool) -> None:
        """Note a report of the playout, that `position` samples of `epoch` were played."""
        self._heard(self._played.played(epoch, position, dry, self.now()))

    def cleared(self, epoch: int, position: int) -> None:
        """Note that the playout was emptied, at `position` samples of the epoch before `epoch`."""
        self._heard(self._played.cleared(epoch, position, self.now()))

    def held(self, epoch: int, position: int) -> None:
        """Note that the playout holds the speech, at `position` samples of `epoch`."""
        self._heard(self._played.held(epoch, position, self.now()))
        self.event("hold")

    def resuming(self, position: int | None) -> None:
        """Note that the agent lets the speech go on from `position`; None is from where it is held."""
        self._played.resuming(position)
        self.event("resume")

    def _heard(self, heard: HeardSpeech | None) -> None:
        if heard is None:
            return
        rate = self._meta.bot_rate
        if heard.began is not None:
            self.event("bot_started", at=heard.began)
        if heard.pcm:
            self._audio(BOT, rate, max(0, round(heard.at * rate)), heard.pcm)
        if heard.stopped is not None:
            self.event("bot_stopped", {"cut": heard.cut}, at=heard.stopped)

    # ------------------------------------------------------------------ written by the provider taps

    @property
    def caller_samples(self) -> int:
        """How many samples of the caller's audio have arrived."""
        return self._arrivals.samples

    def new_request(self) -> int:
        """Count a request to a provider, and return its number, from 1 on."""
        self._requests += 1
        return self._requests

    def exchange(self, stage: Kind, service: str, request: int, kind: str, data: dict[str, Any]) -> None:
        """Note a request to a network provider, or a part of its answer.

        Args:
            stage: The kind of provider.
            service: The class name of its service.
            request: The number of the request; 0 for an STT, which is sent audio all the time.
            kind: Which part this is, as docs/recording-format.md lists them.
            data: The content of this part.
        """
        line = {"stage": stage, "service": service, "id": request, "kind": kind, "data": jsonable(data)}
        self._note(EXCHANGES, {"at": round(self.now(), 6), **line})

    def speech(self, pcm: bytes, rate: int) -> dict[str, Any]:
        """Keep audio that a network TTS has sent.

        Args:
            pcm: PCM16 mono.
            rate: Its sample rate in Hz.

        Returns:
            Where it is kept, as JSON: `rate`, `position` and `samples`.
        """
        name = speech_file(rate)
        position = self._speech.get(name, 0)
        self._speech[name] = position + len(pcm) // 2
        self._audio(name, rate, -1, pcm)
        return {"rate": rate, "position": position, "samples": len(pcm) // 2}

    # ------------------------------------------------------------------ to the disk

    def now(self) -> float:
        """Return seconds since the call was answered."""
        return self._loop.time() - self._zero

    def event(self, kind: str, data: dict[str, Any] | None = None, *, at: float | None = None) -> None:
        """Note an event of the call.

        Args:
            kind: What happened.
            data: What the event says, as JSON.
            at: When it happened, in seconds since the answer. None: now.
        """
        when = round(self.now() if at is None else at, 6)
        self._note(EVENTS, {"at": when, "kind": kind, "data": jsonable(data or {})})

    async def close(self) -> Path | None:
        """Write the rest and make one file of all parts. Bounded in time; may be called again.

        Returns:
            The path of the file, or None when the capture has failed.
        """
        if self._closed:
            return None if self._problem else self._writer.path
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._loop.time() + CLOSE_S
        if self._writing is not None:
            await self._wait_for(self._writing, deadline)
        if not self._problem:
            batch, self._batch = self._batch, CaptureBatch()
            await self._do(deadline, self._store, batch)
        if not self._problem:
            await self._do(deadline, self._writer.finish, self._meta.model_copy(update={"complete": True}))
        if self._problem:
            await self._do(deadline, self._writer.abandon)
            return None
        return self._writer.path

    async def _do(self, deadline: float, work: Callable[..., Any], *args: Any) -> None:
        try:
            await self._wait_for(_disk().submit(work, *args), deadline)
        except (BlockingIOError, RuntimeError) as error:
            self._fail(error)

    async def _wait_for(self, work: asyncio.Future[Any], deadline: float) -> None:
        """Wait for work on the disk. What it raises (an author's redaction may, too) is not raised here."""
        await asyncio.wait({work}, timeout=max(0.0, deadline - self._loop.time()))
        if not work.done():
            self._fail(TimeoutError(f"the disk took more than {CLOSE_S:g} s"))
        elif not work.cancelled() and (error := work.exception()):
            self._fail(error)

    def _note(self, file: str, line: dict[str, Any]) -> None:
        if not self._problem and not self._closed:
            self._batch.lines.append((file, line))
            self._added(LINE_BYTES + text_bytes(line["data"]))

    def _audio(self, file: str, rate: int, position: int, pcm: bytes) -> None:
        if not self._problem and not self._closed:
            self._batch.audio.append((file, rate, position, pcm))
            self._added(len(pcm))

    def _added(self, size: int) -> None:
        self._batch.size += size
        if self._batch.size > MOST_WAITING_BYTES:
            self._fail(BlockingIOError(f"the disk is {MOST_WAITING_BYTES >> 20} MB behind"))
        elif self._writing is None:
            if self._batch.size >= AT_ONCE_BYTES:
                self._flush()
            elif self._timer is None:
                self._timer = self._loop.call_later(EVERY_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or self._problem or self._closed:
            return
        batch, self._batch = self._batch, CaptureBatch()
        try:
            self._writing = _disk().submit(self._store, batch)
        except (BlockingIOError, RuntimeError) as error:
            self._fail(error)
            return
        self._writing.add_done_callback(self._written)

    def _store(self, batch: CaptureBatch) -> None:
        """Write a batch, in a worker thread. The first batch makes the file."""
        if not self._begun:
            self._begun = True
            self._writer.begin(self._meta)
        self._writer.write(_joined(batch))

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing = None
        if not writing.cancelled() and (error := writing.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._problem:
            self._problem = error_text(error)
            self._batch = CaptureBatch()
            logger.error("the call is not recorded any more ({}): {}", self._writer.path, self._problem)


def _joined(batch: CaptureBatch) -> CaptureBatch:
    """Join pieces of audio that follow each other, so that a redaction sees seconds and not frames."""
    pieces: list[tuple[str, int, int, bytearray]] = []
    last: dict[str, tuple[int, bytearray]] = {}
    for name, rate, position, pcm in batch.audio:
        start, before = last.get(name, (0, None))
        if before is not None and (
            start == position == -1 or (start >= 0 and position == start + len(before) // 2)
        ):
            before += pcm
            continue
        last[name] = (position, bytearray(pcm))
        pieces.append((name, rate, *last[name]))
    audio = [(name, rate, position, bytes(pcm)) for name, rate, position, pcm in pieces]
    return CaptureBatch(batch.lines, audio, batch.size)


def utc_now() -> str:
    """Return the time of day, ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
