"""Recordings of calls: both sides, as they were heard, on disk while the call goes on.

The caller is on the left, as its sound arrived; the bot on the right, as it left the playout clock.
Both are placed by the gateway's clock, so that what overlapped in the call overlaps in the file.
Pieces of a second go to a thread, and nothing else ever waits for the disk: one that stalls or is full
loses sound, which is counted and logged, and the call goes on.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from piopiy_pipeline.audio.frame import frame_samples
from piopiy_pipeline.audio.growing_wav import GrowingWav, Piece
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.recordings.tracks import Track
from piopiy_pipeline.offload import Lane

__all__ = ["CallRecording", "GatewayRecorder"]

WRITE_S = 1.0
"""How often the sound of a call goes to disk."""
HOLD_S = 1.0
"""The last second is held back, because what comes after a stall belongs before it."""
WAITING_S = 5.0
"""More sound than this does not wait for a disk that stalls."""
CLOSE_S = 3.0
CALLER_JOINS_S = 0.12
BOT_JOINS_S = 0.04
MAX_TAPES = 2_000
"""So many calls are remembered, should they be recorded again."""
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class GatewayRecorder:
    """Records calls into `folder`, one file a call, in a folder for each day (UTC).

    Implements `soundpath.Recordings`. `on_finished` is called with a call's id and its file's path below `folder` when
    a recording is complete. `wall` is Unix time in seconds. Calls of one event loop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_finished: Callable[[str, str], None] = lambda call_id, path: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.lost_s = 0.0
        """Sound that the disk did not take, in seconds of calls."""
        self._on_finished = on_finished
        self._wall = wall
        self._lane = Lane("recorder", threads=1)
        self._tapes: dict[str, CallRecording] = {}
        self._open: set[CallRecording] = set()
        self._failing = False
        self._closed = False

    def begin(self, info: CallInfo, rate: int) -> CallRecording | None:
        """Record a call at `rate` Hz from now on. Begun again, it goes on in the same file, after a silence."""
        if self._closed or not _CALL_ID.fullmatch(info.call_id):
            why = "the gateway is shutting down" if self._closed else "its id makes no file name"
            logger.error("call {} is not recorded: {}", info.call_id[:80], why)
            return None
        tape = self._tapes.get(info.call_id)
        if tape is None:
            day = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
            tape = CallRecording(self, info.call_id, f"{day}/{info.call_id}.wav", rate)
            self._tapes[info.call_id] = tape
            self._forget_oldest()
        tape.resume()
        self._open.add(tape)
        return tape

    async def close(self) -> None:
        """End every recording, and wait some seconds at most until that is on disk. May be called again."""
        self._closed = True
        for tape in tuple(self._open):
            tape.close()
        deadline = asyncio.get_running_loop().time() + CLOSE_S
        while jobs := [job for tape in self._open for job in tape.jobs]:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(jobs, timeout=left)
        if self._open:
            logger.error("{} recordings could not be completed: the disk does not answer", len(self._open))
        self._lane.close()

    # ------------------------------------------------------------------ for tapes

    def write(
        self, file: GrowingWav, upto: int, caller: list[Piece], bot: list[Piece], last: bool
    ) -> asyncio.Future[None]:
        """Have a tape's sound written. Raises `BlockingIOError` when far too much waits."""
        return self._lane.submit(_write, file, upto, caller, bot, last)

    def written(self, tape: CallRecording, error: BaseException | None, seconds: float) -> None:
        """A tape's sound is on disk, or is not."""
        if error is not None:
            self.lose(seconds, f"cannot write {tape.path}: {getattr(error, 'strerror', None) or error}")
        elif self._failing:
            self._failing = False
            logger.info("recordings are written again; lost so far: {:.0f} s", self.lost_s)

    def lose(self, seconds: float, why: str) -> None:
        """Sound that will not be on disk. Told once until it works again."""
        self.lost_s += seconds
        if not self._failing:
            self._failing = True
            logger.error("recordings: {}. Calls go on, and their sound is lost until it works again", why)

    def finished(self, tape: CallRecording) -> None:
        """All of a tape that was closed is on disk."""
        self._open.discard(tape)
        if tape.exists:
            self._on_finished(tape.call_id, tape.path)

    def _forget_oldest(self) -> None:
        while len(self._tapes) > MAX_TAPES:
            oldest = next((one for one in self._tapes.values() if one not in self._open), None)
            if oldest is None:
                return
            del self._tapes[oldest.call_id]


class CallRecording:
    """The recording of one call. Implements `soundpath.Tap`: nothing here waits."""

    def __init__(self, recorder: GatewayRecorder, call_id: str, path: str, rate: int) -> None:
        self.call_id = call_id
        self.path = path
        """Below the recorder's folder."""
        self.exists = False
        """Whether there is a file."""
        self.jobs: list[asyncio.Future[None]] = []
        """What is on its way to the disk."""
        self._recorder = recorder
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()
        self._file = GrowingWav(recorder.folder / path, rate)
        self._caller = Track(rate, joins_s=CALLER_JOINS_S)
        self._bot = Track(rate, joins_s=BOT_JOINS_S)
        self._frame = frame_samples(rate)
        self._sent = 0  # all before this position was handed over
        self._write_at = 0.0
        self._running = False

    def resume(self) -> None:
        """From now on, whatever comes is recorded."""
        if not self._running:
            self._running = True
            start = self._position(self._loop.time())
            self._sent = max(self._sent, start)
            self._caller.advance(start)
            self._bot.advance(start)
            self._write_at = self._loop.time() + WRITE_S

    def caller(self, pcm: bytes) -> None:
        """What the caller said, as it came."""
        if self._running:
            now = self._loop.time()
            self._caller.add(pcm, self._position(now))
            if now >= self._write_at:
                self._write(now)

    def bot(self, frame: bytes) -> None:
        """20 ms that leave now: the caller hears them until 20 ms from now."""
        if self._running:
            now = self._loop.time()
            self._bot.add(frame, self._position(now) + self._frame)
            if now >= self._write_at:
                self._write(now)

    def close(self) -> None:
        """Nothing follows, unless the recording is begun again."""
        if not self._running:
            return
        self._running = False
        now = self._position(self._loop.time())
        self._hand_over(max(now, self._caller.end, self._bot.end), last=True)

    def _position(self, now: float) -> int:
        return round((now - self._origin) * self._rate)

    def _write(self, now: float) -> None:
        self._write_at = now + WRITE_S
        upto = self._position(now - HOLD_S)
        if not self.jobs:
            self._hand_over(upto, last=False)
        elif upto - self._sent > WAITING_S * self._rate:
            seconds, *_ = self._take(upto)
            self._recorder.lose(seconds, "the disk does not keep up")

    def _hand_over(self, upto: int, *, last: bool) -> None:
        seconds, caller, bot = self._take(upto)
        try:
            job = self._recorder.write(self._file, self._sent, caller, bot, last)
        except BlockingIOError:
            self._recorder.lose(seconds, "the disk does not keep up")
            self._finish()
        else:
            self.jobs.append(job)
            job.add_done_callback(lambda done: self._on_written(done, seconds))

    def _take(self, upto: int) -> tuple[float, list[Piece], list[Piece]]:
        """How many seconds there are up to that position, and what both sides hold of them."""
        seconds = max(0, upto - self._sent) / self._rate
        self._sent = max(upto, self._sent)
        return seconds, self._caller.take(self._sent), self._bot.take(self._sent)

    def _on_written(self, job: asyncio.Future[None], seconds: float) -> None:
        self.jobs.remove(job)
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is None:
            self.exists = True
        self._recorder.written(self, error, seconds)
        self._finish()

    def _finish(self) -> None:
        if not self._running and not self.jobs:
            self._recorder.finished(self)


def _write(file: GrowingWav, upto: int, caller: list[Piece], bot: list[Piece], last: bool) -> None:
    try:
        if not file.frames:
            file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write(upto, caller, bot)
    finally:
        if last:
            file.close()
