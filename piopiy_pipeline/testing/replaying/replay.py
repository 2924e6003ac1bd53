"""`replay`: run today's bot against the capture of a call, in virtual time, and say what differs.

    assert replay("calls/20261122T171034-521039bf.zip", Path("front_desk.py")).same

What computes on this machine runs again: the VAD, the playbook, the offline services, the bot's own stages and its
tools. A network provider is not asked; its answer is found in the capture by the content of the request. The caller
repeats what they did, each time after the event of the bot that it had followed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.agent.preload import preload
from piopiy_pipeline.audio.frame import FRAME_S, frame_samples
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.capture import CallCapture, CapturedCall, CaptureError, Redaction
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.capture.provider_taps import services_in
from piopiy_pipeline.capture.redaction import redacted
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of, secrets_of_environment
from piopiy_pipeline.compat.service_keys import KeylessServices
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Session, resumable_from
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.stage_error import StageError
from piopiy_pipeline.testing.blocked_loop import tells_of_blocking
from piopiy_pipeline.testing.botfile import bot_folder, callback_of
from piopiy_pipeline.testing.line.in_process_link import InProcessLink
from piopiy_pipeline.testing.replaying.acts import Act, acts_of, stretches_of
from piopiy_pipeline.testing.replaying.answers import AnswerBook, Divergence, Part
from piopiy_pipeline.testing.replaying.capture_check import check_capture
from piopiy_pipeline.testing.replaying.differences import Difference, Tolerance, differences_between
from piopiy_pipeline.testing.replaying.gemini_book import GeminiBook
from piopiy_pipeline.testing.replaying.order_of_parts import OrderOfParts
from piopiy_pipeline.testing.replaying.realtime_book import RealtimeBook
from piopiy_pipeline.testing.replaying.recorded_connection import RecordedModel
from piopiy_pipeline.testing.replaying.recorded_gemini import RecordedGemini
from piopiy_pipeline.testing.replaying.reenactment import Begun, Reenactment
from piopiy_pipeline.testing.replaying.replayed_services import RecordedTranscripts, put_recorded_providers
from piopiy_pipeline.testing.replaying.replayed_speech import resolve_speech
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

__all__ = ["Replay", "replay"]

LIMIT_FACTOR = 3.0
"""A replay may take this many times as long as the call, in virtual time, and two minutes more."""


@dataclass
class Replay:
    """The outcome of a replay. `recorded` is the capture of the call, and `replayed` is the capture of its
    replay.
    """

    recorded: CapturedCall
    replayed: CapturedCall
    differences: list[Difference]
    divergences: list[Divergence]
    """The requests that the capture does not have, one by one."""
    wall_s: float = 0.0
    """How long the replay took."""
    caller: list[Act] = field(default_factory=list)
    """What the caller did, and which event of the bot each act followed."""

    @property
    def same(self) -> bool:
        """Whether nothing differs between both calls."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.same

    def report(self) -> str:
        """Return the differences in words; empty if there are none."""
        return "\n".join(str(difference) for difference in self.differences)

    def assert_same(self) -> None:
        """Check that nothing differs.

        Raises:
            AssertionError: Something differs. The message is the report.
        """
        if self.differences:
            count = len(self.differences)
            raise AssertionError(
                f"{self.recorded.path.name}: {count} difference{'s' if count > 1 else ''}\n{self.report()}"
            )


def replay(
    file: str | Path | CapturedCall,
    bot: CreateSession | Path,
    *,
    tolerance: Tolerance | None = None,
    redact: Redaction | None = None,
    record: Path | None = None,
    seed: int = 0,
    wall_limit_s: float = 60,
    progress: Callable[[float], None] | None = None,
) -> Replay:
    """Run today's bot against a captured call. The bot's tools run, and do what they do.

    Args:
        file: The capture, or its path.
        bot: The bot's `create_session`, or the path of its file.
        tolerance: How much later an answer may begin before that is a difference.
        redact: The redaction with which the call was captured, if there was one. Requests are compared as they
            were written.
        record: Where to keep the replay itself, as a file of the same format.
        seed: Decides everything that is left to chance.
        wall_limit_s: The longest that the replay may take, in real seconds.
        progress: Called with the share of the call that was replayed, 0 to 1.

    Returns:
        Both calls, and what differs between them.

    Raises:
        CaptureError: The file cannot be read.
        ValueError: There is no bot in the bot's file, or `record` is the capture itself.
        SimulationError: The bot holds the replay up for ever, or a limit is reached.
    """
    capture = file if isinstance(file, CapturedCall) else CapturedCall(file)
    if record is not None and record.exists() and record.samefile(capture.path):
        raise ValueError(
            f"{record}: it is the recording that is replayed, and would be lost: keep the replay elsewhere"
        )
    check_capture(capture)
    length = _length(capture)
    began = perf_counter()
    with bot_folder(bot), tempfile.TemporaryDirectory(prefix="piopiy-replay-") as folder:
        callback = _callback(bot)
        path = record or Path(folder) / "replay.zip"
        run = _Run(capture, path, redact, progress)
        replayed = run_virtual(
            lambda: run.run(callback),
            seed=seed,
            limit_s=length * LIMIT_FACTOR + 120,
            wall_limit_s=wall_limit_s,
        )
        _ = replayed.events  # read before the folder goes
        differences = differences_between(
            capture,
            replayed,
            acts=run.caller.acts,
            began=run.caller.began,
            divergences=run.book.divergences,
            waits=run.waits,
            tolerance=tolerance,
            stopped=run.stopped,
        )
        for part in ("exchanges", "caller", "bot"):
            getattr(replayed, part)
    return Replay(
        capture,
        replayed,
        differences,
        run.book.divergences,
        wall_s=perf_counter() - began,
        caller=list(run.caller.acts),
    )


def _callback(bot: CreateSession | Path) -> Callable[..., Any]:
    return bind_callback(callback_of(bot))


def _length(capture: CapturedCall) -> float:
    return max((event.at for event in capture.events), default=0.0)


class _Run:
    """One replay, under the virtual clock."""

    def __init__(
        self,
        capture: CapturedCall,
        path: Path,
        redact: Redaction | None,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.waits: list[tuple[float, str]] = []
        self.stopped = ""
        self._capture = capture
        self._path = path
        self._redact = redact
        self._progress = progress
        self._length = max(_length(capture), 0.001)
        self._scrubber = Scrubber(secrets_of_environment())
        heard = stretches_of(capture, merge_s=0.0)
        self.caller = Reenactment(acts_of(capture), capture.caller, capture.meta.caller_rate, heard)
        ended_at = next((event.at for event in capture.events if event.kind == "end"), float("inf"))
        self.book = AnswerBook(
            capture.exchanges, now=self._now, normalize=self._normalized, ended_at=ended_at
        )
        resolve_speech(self.book.voice, capture.exchanges, capture.speech)
        self._heard = RecordedTranscripts()
        recorded = RealtimeBook(capture.exchanges, capture.speech, self.book)
        self._order = OrderOfParts()
        self._model = RecordedModel(recorded, self.book, self._order, self._give_up)
        of_google = GeminiBook(capture.exchanges, capture.speech, self.book)
        self._gemini = RecordedGemini(of_google, self.book, self._order, self._give_up)
        self._of_providers: list[tuple[ExchangeLine, Callable[[Part], None]]] = [
            (line, self._heard.tell)
            for line in capture.exchanges
            if line.stage == "stt" and line.kind in ("transcript", "error")
        ]
        self._of_providers += [(line, self._model.tell) for line in recorded.of_caller]
        self._of_providers += [(line, self._gemini.tell) for line in of_google.of_caller]
        self._of_providers.sort(key=lambda each: each[0].at)
        self._link: _ReplayLink | None = None
        self._session: Session | None = None

    async def run(self, callback: Callable[..., Any]) -> CapturedCall:
        """Run the call, and return its capture."""
        await preload()
        meta = self._capture.meta
        info = meta.call.info()
        self._link = _ReplayLink(
            self.caller, bot_rate=meta.bot_rate, on_begun=self._begun, on_hangup=self._hung_up
        )
        recorder = CallCapture(self._path, info, redact=self._redact, resumed=meta.resumed)

        def adapt(chain: CallPipeline) -> None:
            keyless.close()
            _require_stages(chain, keyless.made)
            for _, service in services_in(chain):
                self._scrubber.learn(secrets_of(service))
            put_recorded_providers(
                chain,
                self.book,
                self._heard,
                self._order,
                model=self._model,
                gemini=self._gemini,
                give_up=self._give_up,
            )
            recorder.adapt(chain)

        self._session = Session(
            info,
            recorder.wrap(self._link),
            post=lambda message: None,  # there is no gateway
            resumed=resumable_from(meta.resumed),
            pipeline_hook=adapt,
        )
        recorder.follow(self._session.call)
        self._session.call.on("answered", self._answered)
        with (
            closing(KeylessServices((STTService, LLMService, TTSService))) as keyless,
            tells_of_blocking({info.call_id: self._session}),
        ):
            await self._session.run(callback)
        written = await recorder.close()
        if written is None:
            raise CaptureError(self._path, "the replay could not be written: see the log")
        return CapturedCall(written)

    # ------------------------------------------------------------------ what happens

    def _now(self) -> float:
        assert self._link is not None
        return asyncio.get_running_loop().time() - self._link.start

    def _answered(self, _: object) -> None:
        first = self.caller.acts[0].start if self.caller.acts else float("inf")
        self._hear(0.0, 0.0, first)

    def _begun(self, begun: Begun) -> None:
        if begun.in_vain:
            self.waits.append((begun.at, begun.in_vain))
        acts = self.caller.acts
        following = acts[begun.number + 1].start if begun.number + 1 < len(acts) else float("inf")
        self._hear(begun.act.start, begun.at, following)
        if self._progress is not None:
            self._progress(min(1.0, begun.act.end / self._length))

    def _hear(self, since: float, at: float, until: float) -> None:
        """Schedule what providers tell of an act, each as long after its beginning as in the capture."""
        assert self._link is not None
        due = [(line, tell) for line, tell in self._of_providers if since <= line.at < until]
        for then, together in groupby(due, key=lambda each: each[0].at):
            parts = [(tell, Part(then - since, line.kind, line.data, line.number)) for line, tell in together]
            self._order.plan(self._link.start + at + then - since, parts)

    def _hung_up(self) -> None:
        self._end(EndReason.CALLER_HANGUP, "the caller hung up")

    def _give_up(self, why: str) -> None:
        self.stopped = why
        self._end(EndReason.ERROR, f"the replay cannot go on: {why}")

    def _end(self, reason: EndReason, detail: str) -> None:
        assert self._session is not None
        self._session.end(reason, detail, by_gateway=True)

    def _normalized(self, content: Any) -> Any:
        if self._redact is not None:
            content = redacted(content, self._redact)
        return self._scrubber.value(content)


def _require_stages(chain: CallPipeline, keyless: Sequence[FrameProcessor]) -> None:
    """Check that the replay answers for all services that were made without a key."""
    stages = [service for _, service in services_in(chain)]
    for service in keyless:
        if not any(service is stage for stage in stages):
            raise StageError(
                f"{type(service).__name__} was made without its provider's key, and is no stage of the pipeline: a "
                "replay answers for stages only, so give it a key"
            )


class _ReplayLink(InProcessLink):
    """The media link of a replay, at whose other end the captured caller does again what they did.

    Messages of the bot to the caller's application go no further: the new capture, which wraps this link, has them.

    Args:
        caller: What the caller does, and when.
        bot_rate: The sample rate of the bot's audio in Hz.
        on_begun: Called with every act of the caller as it begins.
        on_hangup: Called when the caller hangs up.
    """

    def __init__(
        self,
        caller: Reenactment,
        *,
        bot_rate: int,
        on_begun: Callable[[Begun], None],
        on_hangup: Callable[[], None],
    ) -> None:
        super().__init__(caller_rate=caller.rate, bot_rate=bot_rate)
        self._caller = caller
        self._on_begun, self._on_hangup = on_begun, on_hangup
        self._act_timer: asyncio.TimerHandle | None = None

    def on_bot_plays(self, now: float) -> None:
        """Tell the caller that the bot is heard."""
        if not self.playout.held:
            self._caller.bot_started(self.ticks * FRAME_S)

    def on_bot_ran_dry(self, now: float) -> None:
        """Tell the caller that the bot is not heard any more. While it holds its speech, more may come."""
        if not self.playout.held:
            self._caller.bot_stopped(self.ticks * FRAME_S)

    def on_clear(self) -> None:
        """Tell the caller that the bot's speech was cut off."""
        self._caller.bot_stopped(asyncio.get_running_loop().time() - self.start)

    def on_hold(self) -> None:
        """Tell the caller that the bot is silent for now. They hear it again when a frame is played."""
        self._caller.bot_held()

    def on_frame_tick(self, now: float) -> None:
        """Do what the caller has done since the last frame, play the bot's next one, and send the caller's."""
        step = self._caller.step(self.ticks * FRAME_S - FRAME_S, frame_samples(self.caller_rate))
        for begun in step.begun:
            self._do(begun)
        if step.hang_up:
            self._hang_up()
            return
        self.play(now)
        if self._caller.held and not self.playout.held:  # there was nothing left to go on with
            self._caller.bot_stopped(self.ticks * FRAME_S)
        if self.listener is not None:
            self.listener.on_audio(step.pcm)
        self._await_act(self.ticks * FRAME_S)

    def stop(self) -> None:
        super().stop()
        if self._act_timer is not None:
            self._act_timer.cancel()

    def _await_act(self, now: float) -> None:
        """Have what makes no sound be done at its own time between two frames: at the next one the bot is further."""
        if not self.closed and (at := self._caller.silent_act_at(now)) is not None:
            self._act_timer = asyncio.get_running_loop().call_at(self.start + at, self._act, now)

    def _act(self, now: float) -> None:
        begun = self._caller.act()
        self._do(begun)
        if begun.act.kind == "hangup":
            self._hang_up()
        else:
            self._await_act(now)

    def _do(self, begun: Begun) -> None:
        self._on_begun(begun)
        if begun.act.kind == "dtmf":
            self.tell(Dtmf(digits=str(begun.act.data["digits"])))
        elif begun.act.kind == "message":
            self.tell(DataMessage(data=dict(begun.act.data["data"])))

    def _hang_up(self) -> None:
        self.stop()
        self._on_hangup()
