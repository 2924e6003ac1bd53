"""`CallCapture`: records one call, in a live agent or in the harness.

    recorder = CallCapture(path, info)
    session = Session(info, recorder.wrap(link), post=post, adapt=recorder.adapt)
    recorder.follow(session.call)
    await session.run(callback)
    await recorder.close()

It listens in three places: at the media link (audio both ways, with its times), at the stages that
ask network providers, and to the events of the call. What it notes goes to the disk about once a
second, off the loop. A disk that fails, or does not keep up, ends the recording and never the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallEnd, CallInfo, ToolUse, Turn
from piopiy_pipeline.capture.arrivals import Arrivals
from piopiy_pipeline.capture.capture_link import CaptureLink
from piopiy_pipeline.capture.content import jsonable
from piopiy_pipeline.capture.format import BOT, CALLER, EVENTS, EXCHANGES, Kind, Meta, WhoCalls, speech_file
from piopiy_pipeline.capture.played import HeardSpeech, PlayedSpeech
from piopiy_pipeline.capture.provider_taps import listen_to_providers
from piopiy_pipeline.capture.redaction import Redaction
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of_environment
from piopiy_pipeline.capture.writer import CaptureBatch, CaptureWriter, file_for
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["CallCapture"]

EVERY_S = 1.0
"""How often what was noted goes to the disk."""
AT_ONCE_BYTES = 256 * 1024
"""So much is not kept waiting."""
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""A disk that is so far behind will not catch up: the recording is given up, before the memory is."""
CLOSE_S = 60.0
"""How long the last of it may take to be written."""

_lane: Lane | None = None


def _disk() -> Lane:
    """The threads that write, of all calls: one that waits for the disk does not hold up the others."""
    global _lane
    if _lane is None:
        _lane = Lane("recorder", threads=2, ordered=False)
    return _lane


class CallCapture:
    """Records one call to a file: `path`, if it ends in ``.zip``, else one in that folder.

    `redact` changes what is written; `secrets` are values that must not be, besides those that are
    found in the environment and in the services. `resumed` is what the session goes on with.
    """

    def __init__(
        self,
        path: Path,
        info: CallInfo,
        *,
        redact: Redaction | None = None,
        secrets: Iterable[str] = (),
        resumed: dict[str, Any] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._scrubber = Scrubber({*secrets_of_environment(), *secrets})
        self.path = file_for(path, info.call_id, started)
        self._writer = CaptureWriter(self.path, redaction=redact, scrubber=self._scrubber)
        self._meta = Meta(
            started_at=started,
            call=WhoCalls.model_validate(jsonable_info(info)),
            caller_rate=16000,
            bot_rate=16000,
            software=_software(),
            resumed=jsonable(resumed),
        )
        self._batch = CaptureBatch()
        self._begun = False
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._problem = ""
        self._closed = False
        self._arrivals = Arrivals(16000)
        self._played = PlayedSpeech(16000)
        self._tools_under_way: list[tuple[str, dict[str, Any]]] = []
        self._speech: dict[str, int] = {}
        self._requests = 0

    # ------------------------------------------------------------------ where it listens

    def wrap(self, link: MediaLink) -> MediaLink:
        """A link that passes everything on, and lets this recorder hear it."""
        self._meta = self._meta.model_copy(
            update={"caller_rate": link.caller_rate, "bot_rate": link.bot_rate}
        )
        self._arrivals = Arrivals(link.caller_rate)
        self._played = PlayedSpeech(link.bot_rate)
        return CaptureLink(link, self)

    def adapt(self, chain: CallPipeline) -> None:
        """Listen to the network providers of a chain that is about to run."""
        stages = listen_to_providers(chain, self, self._scrubber)
        self._meta = self._meta.model_copy(update={"stages": stages})

    def follow(self, call: Call) -> None:
        """Note the events of a call."""
        call.on("user_turn", self._turn)
        call.on("bot_turn", self._turn)
        call.on("tool", self._tool)
        call.on("error", self._error)
        call.on("end", self._ended)

    async def close(self) -> Path | None:
        """Write the rest, and make one file of it. Returns its path, or None if the recording failed.

        Bounded in time; to be called when the call is over. May be called again.
        """
        if self._closed:
            return None if self._problem else self.path
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
        logger.info("recorded: {}", self.path)
        return self.path

    async def _do(self, deadline: float, work: Callable[..., Any], *args: Any) -> None:
        try:
            await self._wait_for(_disk().submit(work, *args), deadline)
        except (BlockingIOError, RuntimeError) as error:
            self._fail(error)

    async def _wait_for(self, work: asyncio.Future[Any], deadline: float) -> None:
        """Wait for work on the disk. Whatever goes wrong in it, an author's redaction too, is no exception here."""
        await asyncio.wait({work}, timeout=max(0.0, deadline - self._loop.time()))
        if not work.done():
            self._fail(TimeoutError(f"the disk took more than {CLOSE_S:g} s"))
        elif not work.cancelled() and (error := work.exception()):
            self._fail(error)

    # ------------------------------------------------------------------ told by the link

    def attached(self) -> None:
        """The call is answered: its time begins."""
        self._zero = self._loop.time()
        self._meta = self._meta.model_copy(
            update={"started_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        )
        self.event("answered")

    def caller_audio(self, pcm: bytes) -> None:
        """Audio of the caller has arrived."""
        position = self._arrivals.samples
        at = self._arrivals.add(len(pcm) // 2, self.now())
        if at is not None:
            self.event("caller_audio", {"position": position}, at=at)
        self._sound(CALLER, self._meta.caller_rate, -1, pcm)

    def caller_event(self, kind: str, data: dict[str, Any]) -> None:
        """The caller has pressed keys, or their application has sent a message."""
        self.event(kind, data)

    def bot_audio(self, pcm: bytes) -> None:
        """Speech of the bot was sent."""
        self._played.sent(pcm)

    def clearing(self, epoch: int) -> None:
        """What was sent and not played is to be dropped."""
        self._played.clearing(epoch)
        self.event("interruption")

    def played(self, epoch: int, position: int, dry: bool) -> None:
        """The playout clock has reported."""
        self._heard(self._played.played(epoch, position, dry, self.now()))

    def cleared(self, epoch: int, position: int) -> None:
        """The playout clock was emptied."""
        self._heard(self._played.cleared(epoch, position, self.now()))

    def _heard(self, heard: HeardSpeech | None) -> None:
        if heard is None:
            return
        rate = self._meta.bot_rate
        if heard.began is not None:
            self.event("bot_started", at=heard.began)
        if heard.pcm:
            self._sound(BOT, rate, max(0, round(heard.at * rate)), heard.pcm)
        if heard.stopped is not None:
            self.event("bot_stopped", {"cut": heard.cut}, at=heard.stopped)

    # ------------------------------------------------------------------ told by the providers' stages

    @property
    def caller_samples(self) -> int:
        """How much of the caller's audio has arrived."""
        return self._arrivals.samples

    def new_request(self) -> int:
        """The number of a request, from 1 on."""
        self._requests += 1
        return self._requests

    def exchange(self, stage: Kind, service: str, request: int, kind: str, data: dict[str, Any]) -> None:
        """A request to a network provider, or a part of its answer."""
        line = {"stage": stage, "service": service, "id": request, "kind": kind, "data": jsonable(data)}
        self._note(EXCHANGES, {"at": round(self.now(), 6), **line})

    def speech(self, pcm: bytes, rate: int) -> dict[str, Any]:
        """Audio that a network TTS has sent; returns where it is kept."""
        name = speech_file(rate)
        position = self._speech.get(name, 0)
        self._speech[name] = position + len(pcm) // 2
        self._sound(name, rate, -1, pcm)
        return {"rate": rate, "position": position, "samples": len(pcm) // 2}

    # ------------------------------------------------------------------ told by the call

    def _turn(self, turn: Turn) -> None:
        data: dict[str, Any] = {"text": turn.text}
        if turn.role == "bot":
            data["interrupted"] = turn.interrupted
        self.event(f"{turn.role}_turn", data)

    def _tool(self, use: ToolUse) -> None:
        arguments = jsonable(use.arguments)
        if use.result is None and (use.name, arguments) not in self._tools_under_way:
            self._tools_under_way.append((use.name, arguments))
            self.event("tool", {"name": use.name, "arguments": arguments})
            return
        if (use.name, arguments) in self._tools_under_way:
            self._tools_under_way.remove((use.name, arguments))
        self.event("tool_result", {"name": use.name, "arguments": arguments, "result": jsonable(use.result)})

    def _error(self, error: CallError) -> None:
        self.event("error", {"stage": error.stage, "message": error.message})

    def _ended(self, end: CallEnd) -> None:
        self.event("end", {"reason": end.reason.value, "detail": end.detail, "duration_s": end.duration_s})

    # ------------------------------------------------------------------ to the disk

    def now(self) -> float:
        """Seconds since the call was answered."""
        return self._loop.time() - self._zero

    def event(self, kind: str, data: dict[str, Any] | None = None, *, at: float | None = None) -> None:
        """Note a line of the call's log."""
        self._note(
            EVENTS,
            {"at": round(self.now() if at is None else at, 6), "kind": kind, "data": jsonable(data or {})},
        )

    def _note(self, file: str, line: dict[str, Any]) -> None:
        if not self._problem and not self._closed:
            self._batch.lines.append((file, line))
            self._added(200)

    def _sound(self, file: str, rate: int, position: int, pcm: bytes) -> None:
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
        """In a worker thread: the first batch makes the file."""
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
            self._problem = f"{type(error).__name__}: {error}"
            self._batch = CaptureBatch()
            logger.error("the call is not recorded any more ({}): {}", self.path, self._problem)


def _joined(batch: CaptureBatch) -> CaptureBatch:
    """The same, with pieces of audio that follow each other in one: a redaction sees seconds, not frames."""
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


def jsonable_info(info: CallInfo) -> dict[str, Any]:
    """Who calls whom, as JSON."""
    return {
        "agent_id": info.agent_id,
        "call_id": info.call_id,
        "from_number": info.from_number,
        "to_number": info.to_number,
        "metadata": jsonable(info.metadata),
        "kind": info.kind,
    }


def _software() -> dict[str, str]:
    found = {}
    for name in ("piopiy-pipeline", "pipecat-ai"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout that was never installed
            continue
    return found
