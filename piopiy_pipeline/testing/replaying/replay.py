"""`replay`: run today's bot against the capture of a call, in virtual time, and say what differs.

    assert replay("calls/20261122T171034-521039bf.zip", Path("front_desk.py")).same

What computes on this machine runs again: the VAD, the playbook, the offline services, the bot's own stages and its
tools. A network provider is not asked; its answer is found in the capture by the content of the request. The caller
repeats what they did, each time after the event of the bot that it had followed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.agent.preload import preload
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.capture import CallCapture, CapturedCall, CaptureError, Redaction
from piopiy_pipeline.capture.provider_taps import services_in
from piopiy_pipeline.capture.redaction import redacted
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of, secrets_of_environment
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Session, resumable_from
from piopiy_pipeline.signaling.messages import AgentMessage
from piopiy_pipeline.testing.botfile import load_bot
from piopiy_pipeline.testing.replaying.acts import Act, acts_of
from piopiy_pipeline.testing.replaying.answers import AnswerBook, Divergence, Part
from piopiy_pipeline.testing.replaying.differences import Difference, Tolerance, differences_between
from piopiy_pipeline.testing.replaying.reenactment import Begun, Reenactment
from piopiy_pipeline.testing.replaying.replay_link import ReplayLink
from piopiy_pipeline.testing.replaying.replayed_services import RecordedTranscripts, put_recorded_providers
from piopiy_pipeline.testing.replaying.replayed_speech import resolve_speech
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

__all__ = ["Replay", "replay"]

LIMIT_FACTOR = 3.0
"""A replay may take so many times as long as the call did, of virtual time, and two minutes more."""


@dataclass
class Replay:
    """The outcome of a replay. `recorded` and `replayed` are captures of the call, then and now."""

    recorded: CapturedCall
    replayed: CapturedCall
    differences: list[Difference]
    divergences: list[Divergence]
    """The requests that were never recorded, each by itself."""
    wall_s: float = 0.0
    """How long the replay took."""
    caller: list[Act] = field(default_factory=list)
    """What the caller did, and which event of the bot each act followed."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.same

    def report(self) -> str:
        """The differences in words; empty if there are none."""
        return "\n".join(str(difference) for difference in self.differences)

    def assert_same(self) -> None:
        """Raise `AssertionError` with the differences, if there are any."""
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
        ValueError: There is no bot in the bot's file.
        SimulationError: The bot holds the replay up for ever, or a limit is reached.
    """
    recording = file if isinstance(file, CapturedCall) else CapturedCall(file)
    callback = _callback(bot)
    length = _length(recording)
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="piopiy-replay-") as folder:
        path = record or Path(folder) / "replay.zip"
        run = _Run(recording, path, redact, progress)
        replayed = run_virtual(
            lambda: run.run(callback),
            seed=seed,
            limit_s=length * LIMIT_FACTOR + 120,
            wall_limit_s=wall_limit_s,
        )
        _ = replayed.events  # read before the folder goes
        differences = differences_between(
            recording,
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
        recording,
        replayed,
        differences,
        run.book.divergences,
        wall_s=perf_counter() - began,
        caller=list(run.caller.acts),
    )


def _callback(bot: CreateSession | Path) -> Callable[..., Any]:
    return bind_callback(load_bot(bot) if isinstance(bot, Path) else bot)


def _length(recording: CapturedCall) -> float:
    return max((event.at for event in recording.events), default=0.0)


class _Run:
    """One replay, under the virtual clock."""

    def __init__(
        self,
        recording: CapturedCall,
        path: Path,
        redact: Redaction | None,
        progress: Callable[[float], None] | None,
    ) -> None:
        self.waits: list[tuple[float, str]] = []
        self.stopped = False
        self._recording = recording
        self._path = path
        self._redact = redact
        self._progress = progress
        self._length = max(_length(recording), 0.001)
        self._scrubber = Scrubber(secrets_of_environment())
        self.caller = Reenactment(acts_of(recording), recording.caller, recording.meta.caller_rate)
        self.book = AnswerBook(recording.exchanges, now=self._now, normalize=self._normalized)
        resolve_speech(self.book.voice, recording.exchanges, recording.speech)
        self._heard = RecordedTranscripts()
        self._transcripts = [
            line
            for line in recording.exchanges
            if line.stage == "stt" and line.kind in ("transcript", "error")
        ]
        self._link: ReplayLink | None = None
        self._session: Session | None = None

    async def run(self, callback: Callable[..., Any]) -> CapturedCall:
        """Run the call. Returns what was recorded of it."""
        await preload()
        meta = self._recording.meta
        info = meta.call.info()
        self._link = ReplayLink(
            self.caller, bot_rate=meta.bot_rate, on_begun=self._begun, on_hangup=self._hung_up
        )
        recorder = CallCapture(self._path, info, redact=self._redact, resumed=meta.resumed)

        def adapt(chain: CallPipeline) -> None:
            for _, service in services_in(chain):
                self._scrubber.learn(secrets_of(service))
            put_recorded_providers(chain, self.book, self._heard, give_up=self._give_up)
            recorder.adapt(chain)

        self._session = Session(
            info,
            recorder.wrap(self._link),
            post=_nobody,
            resumed=resumable_from(meta.resumed),
            pipeline_hook=adapt,
        )
        recorder.follow(self._session.call)
        self._session.call.on("answered", self._answered)
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
        """The recogniser says of this act what it said, as long after its beginning as it did."""
        assert self._link is not None
        loop = asyncio.get_running_loop()
        for line in self._transcripts:
            if since <= line.at < until:
                part = Part(line.at - since, line.kind, line.data)
                loop.call_at(self._link.start + at + part.after_s, self._heard.tell, part)

    def _hung_up(self) -> None:
        self._end(EndReason.CALLER_HANGUP, "the caller hung up")

    def _give_up(self, why: str) -> None:
        self.stopped = True
        self._end(EndReason.ERROR, f"the replay cannot go on: {why}")

    def _end(self, reason: EndReason, detail: str) -> None:
        assert self._session is not None
        self._session.end(reason, detail, by_gateway=True)

    def _normalized(self, content: Any) -> Any:
        if self._redact is not None:
            content = redacted(content, self._redact)
        return self._scrubber.value(content)


def _nobody(_: AgentMessage) -> None:
    """Do nothing: there is no gateway."""
