"""Recordings of calls: stereo WAV files of both sides, written while the call goes on.

The caller is on the left channel, as the audio arrived. The bot is on the right, as it left the playout.
Both are placed by the gateway's clock, so that what overlapped in the call overlaps in the file.
A thread writes one second at a time, and nothing else ever waits for the disk. A disk that stalls or is full
loses audio, which is counted and logged, and the call goes on.
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
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.recordings.tracks import Track
from piopiy_pipeline.offload import Lane, offload
from piopiy_pipeline.private_files import make_private_folder, try_private_folder

__all__ = ["CallRecording", "GatewayRecorder"]

WRITE_S = 1.0
"""How often the audio of a call is written."""
HOLD_S = 1.0
"""How much of the end is held back, because audio that comes after a stall belongs before it."""
WAITING_S = 5.0
"""How much audio waits for a disk that stalls. More than this is lost."""
CLOSE_S = 3.0
"""How long `GatewayRecorder.close` waits for the disk."""
CALLER_JOINS_S = 0.12
"""A gap in the caller's audio up to this is taken for network jitter. See `Track`."""
BOT_JOINS_S = 0.04
"""A gap in the bot's audio up to this is taken for jitter of the frame clock."""
MAX_RECORDINGS = 2_000
"""How many calls under way are remembered, so that a recording can be begun again and go on in its file."""
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class GatewayRecorder:
    """Records calls, each into a file of its own, in a folder for each day (UTC).

    Implements `media_path.Recordings`. All its calls run on one event loop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_finished: Callable[[str, str], None] = lambda call_id, path: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        folder: Where recordings are written.
        on_finished: Called with a call's id and the path of its file below `folder` when a recording is complete.
        wall: Unix time, in seconds.
        """
        self.folder = folder
        self.lost_s = 0.0
        """Audio that could not be written, in seconds."""
        self._on_finished = on_finished
        self._wall = wall
        self._lane = Lane("recorder", threads=1)
        self._recordings: dict[str, CallRecording] = {}
        self._open: set[CallRecording] = set()
        self._failing = ""
        self._closed = False

    def begin(self, info: CallInfo, rate: int) -> CallRecording | None:
        """Record a call from now on. Begun again, it goes on in the same file, after silence.

        Args:
            info: The call. Its id becomes the name of the file.
            rate: The sample rate of the call's leg, in Hz.

        Returns:
            What takes the audio; None, with a log line, if the call cannot be recorded.
        """
        if self._closed or not _CALL_ID.fullmatch(info.call_id):
            why = "the gateway is shutting down" if self._closed else "its id makes no file name"
            logger.bind(call_id=info.call_id[:80]).error("the call is not recorded: {}", why)
            return None
        recording = self._recordings.get(info.call_id)
        if recording is None:
            day = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
            recording = CallRecording(self, info.call_id, f"{day}/{info.call_id}.wav", rate)
            self._recordings[info.call_id] = recording
            self._forget_oldest()
        recording.resume()
        self._open.add(recording)
        return recording

    def on_event(self, event: BusEvent) -> None:
        """Forget the recordings of calls that have ended: nobody begins them again."""
        if not isinstance(event, CallChanged) or event.call.phase is not Phase.ENDED:
            return
        recording = self._recordings.pop(event.call.call_id, None)
        if recording is not None:
            recording.close()

    @property
    def problem(self) -> str:
        """Why audio is lost just now, in a sentence for the operator; an empty string if none is."""
        return self._failing and f"{self._failing} (lost so far: {self.lost_s:.0f} s)"

    async def try_folder(self) -> None:
        """Write a file as a trial. If that fails it is told as for a call's audio, before there is a call."""
        try:
            await offload(try_private_folder, self.folder)
        except OSError as error:
            self.lose(0.0, f"cannot write in {self.folder}: {error.strerror or error}")

    async def close(self) -> None:
        """End all recordings, and wait at most `CLOSE_S` for the disk. May be called more than once."""
        self._closed = True
        for recording in tuple(self._open):
            recording.close()
        deadline = asyncio.get_running_loop().time() + CLOSE_S
        while jobs := [job for recording in self._open for job in recording.jobs]:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(jobs, timeout=left)
        if self._open:
            logger.error("{} recordings could not be completed: the disk does not answer", len(self._open))
        self._lane.close()

    # ------------------------------------------------------------------ for `CallRecording`

    def write(
        self, file: GrowingWav, upto: int, caller: list[Piece], bot: list[Piece], last: bool
    ) -> asyncio.Future[None]:
        """Have the audio of a recording written. Raises `BlockingIOError` when far too much waits."""
        return self._lane.submit(_write, file, upto, caller, bot, last)

    def written(self, recording: CallRecording, error: BaseException | None, seconds: float) -> None:
        """Note that audio of a recording was written, or was lost because of `error`."""
        if error is not None:
            path = self.folder / recording.path
            self.lose(seconds, f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
        elif self._failing:
            self._failing = ""
            logger.info("recordings are written again; lost so far: {:.0f} s", self.lost_s)

    def lose(self, seconds: float, why: str) -> None:
        """Count audio that is lost. It is logged once until writing works again."""
        self.lost_s += seconds
        if not self._failing:
            self._failing = f"recordings: {why}. Calls go on, and their audio is lost until it works again"
            logger.error("{}", self._failing)

    def finished(self, recording: CallRecording) -> None:
        """Note that a recording that was closed is completely on disk."""
        self._open.discard(recording)
        if recording.exists:
            self._on_finished(recording.call_id, recording.path)

    def _forget_oldest(self) -> None:
        while len(self._recordings) > MAX_RECORDINGS:
            oldest = next((one for one in self._recordings.values() if one not in self._open), None)
            if oldest is None:
                return
            del self._recordings[oldest.call_id]


class CallRecording:
    """The recording of one call. Implements `media_path.RecordingTap`. Nothing here waits."""

    def __init__(self, recorder: GatewayRecorder, call_id: str, path: str, rate: int) -> None:
        self.call_id = call_id
        self.path = path
        """The path of the file, below the recorder's folder."""
        self.exists = False
        """Whether the file exists."""
        self.jobs: list[asyncio.Future[None]] = []
        """The writes that are under way."""
        self._recorder = recorder
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()
        self._file = GrowingWav(recorder.folder / path, rate)
        self._caller = Track(rate, joins_s=CALLER_JOINS_S)
        self._bot = Track(rate, joins_s=BOT_JOINS_S)
        self._frame = frame_samples(rate)
        self._sent = 0  # audio before this position was handed over
        self._write_at = 0.0
        self._running = False

    def resume(self) -> None:
        """Record what comes from now on."""
        if not self._running:
            self._running = True
            start = self._position(self._loop.time())
            self._sent = max(self._sent, start)
            self._caller.advance(start)
            self._bot.advance(start)
            self._write_at = self._loop.time() + WRITE_S

    def caller(self, pcm: bytes) -> None:
        """Take the caller's audio, as it arrives: PCM16 mono of any length."""
        if self._running:
            now = self._loop.time()
            self._caller.add(pcm, self._position(now))
            if now >= self._write_at:
                self._write(now)

    def bot(self, frame: bytes) -> None:
        """Take 20 ms of the bot's audio, which leaves now and lasts until 20 ms from now."""
        if self._running:
            now = self._loop.time()
            self._bot.add(frame, self._position(now) + self._frame)
            if now >= self._write_at:
                self._write(now)

    def close(self) -> None:
        """End the recording. It can be begun again."""
        if not self._running:
            return
        self._running = False
        now = self._position(self._loop.time())
        self._hand_over(max(now, self._caller.end, self._bot.end), last=True)

    def _position(self, now: float) -> int:
        return round((now - self._origin) * self._rate)

    def _write(self, now: float) -> None:
        upto = self._position(now - HOLD_S)
        if not self.jobs:
            # While a write is under way, the next one stays due: it follows with the first frame afterwards.
            self._write_at = now + WRITE_S
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
        """Return the length up to a position that was not handed over, in seconds, and its pieces of both sides."""
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
        make_private_folder(file.path.parent)  # before each write: somebody may have deleted it
        file.write(upto, caller, bot)
    finally:
        if last:
            file.close()
