"""A switchboard with its clock, and agents, legs and media that only take notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from piopiy_pipeline.audio.playout import Progress, Tick
from piopiy_pipeline.call import CallInfo, CallKind, EndReason
from piopiy_pipeline.gateway.core.dialling import DialledLeg, DialledListener, DialRefused, DialRequest
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.leg import Leg, LegListener, SoundSource
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import (
    Accept,
    Answer,
    Confirm,
    ConversationEvent,
    GatewayMessage,
    Hangup,
    Offer,
    Register,
    Reject,
)

__all__ = ["LIMITS", "NotedAgent", "NotedFarLeg", "NotedLeg", "NotedMedia", "Room"]

LIMITS = CallLimits(offer_s=0.4, setup_s=10, max_duration_s=60)


class NotedLeg(Leg):
    kind: CallKind = "stream"

    def __init__(self) -> None:
        self.rate = 16000
        self.notes: list[str] = []
        self.sources: list[SoundSource] = []
        self.ended: tuple[EndReason, str] | None = None

    def attach(self, listener: LegListener) -> None:
        self.listener = listener

    def ring(self, call_id: str) -> None:
        self.notes.append("ring")

    def answer(self) -> None:
        self.notes.append("answer")

    def send_audio(self, pcm: bytes) -> None:
        self.notes.append("frame")

    def sound_from(self, source: SoundSource) -> None:
        self.sources.append(source)

    def clear(self) -> None:
        self.notes.append("clear")

    def conversation(self, event: ConversationEvent) -> None:
        self.notes.append(f"conversation {event.event}")

    def dtmf(self, digits: str) -> None:
        self.notes.append(f"dtmf {digits}")

    def data(self, data: dict[str, Any]) -> None:
        self.notes.append(f"data {data}")

    def end(self, reason: EndReason, detail: str) -> None:
        assert self.ended is None, "a leg is ended once"
        self.ended = reason, detail


class NotedFarLeg(NotedLeg, DialledLeg):
    """A leg that was dialled, and whose other end the test plays."""

    kind: CallKind = "phone"

    def __init__(self, request: DialRequest) -> None:
        super().__init__()
        self.rate = 8000
        self.request = request
        self.frames: list[bytes] = []

    def call(self, listener: DialledListener) -> None:
        self.notes.append("call")
        self.dialled = listener

    def send_audio(self, pcm: bytes) -> None:
        self.frames.append(pcm)


class NotedDialler:
    """Dials every number but those that begin with "bad" (none) and "barred" (not allowed)."""

    def __init__(self) -> None:
        self.legs: list[NotedFarLeg] = []

    def dial(self, request: DialRequest) -> NotedFarLeg:
        if request.to.startswith("bad"):
            raise DialRefused(f"{request.to!r} is no number")
        if request.to.startswith("barred"):
            raise DialRefused(f"{request.to!r} is not allowed", "not_allowed")
        self.legs.append(NotedFarLeg(request))
        return self.legs[-1]


class NotedMedia:
    def __init__(self) -> None:
        self.started = False
        self.gaps = 0
        self.worst_gap_s = 0.0
        self.caller_dropped_s = 0.0
        self.sent_bytes = self.received_bytes = 0
        self.closed = False
        self.notes: list[str] = []
        self.heard = b""
        self.fails = False
        self.frame_ticks = self.pauses = 0

    def caller_audio(self, pcm: bytes) -> None:
        self.notes.append(f"audio {len(pcm)}")
        self.heard += pcm

    def dtmf(self, digits: str) -> None:
        self.notes.append(f"dtmf {digits}")

    def data(self, data: dict[str, Any]) -> None:
        self.notes.append(f"data {data}")

    def due_audio(self, now: float) -> Tick:
        self.frame_ticks += 1
        if self.fails:
            raise ZeroDivisionError
        return Tick((b"\0\0",))

    def report_progress(self, progress: Sequence[Progress]) -> None:
        """Do nothing, because the progress is in `Tick`."""

    def pause(self) -> None:
        self.pauses += 1

    def close(self) -> None:
        self.closed = True


class NotedAgent:
    """An instance, with the steps of the protocol as methods."""

    def __init__(
        self,
        room: Room,
        name: str,
        capacity: int,
        worker: WorkerKind | None = None,
        roams: bool | None = None,
    ) -> None:
        self.room = room
        self.sent: list[GatewayMessage] = []
        self.replaced = False
        self.let_go = False
        self.instance: Instance = room.board.register(
            Register(agent_id="desk", instance_id=name, capacity=capacity, worker=worker, roams=roams),
            self,
            room.now,
        )

    def send(self, message: GatewayMessage) -> None:
        self.sent.append(message)

    def replace(self) -> None:
        self.replaced = True

    def shutdown(self) -> None:
        self.let_go = True

    @property
    def offers(self) -> list[Offer]:
        return [message for message in self.sent if isinstance(message, Offer)]

    def last(self) -> GatewayMessage:
        return self.sent[-1]

    def say(self, message: Any) -> None:
        self.room.board.receive(self.instance, message, self.room.now)

    def open_media(self) -> NotedMedia:
        offer = self.offers[-1]
        call = self.room.board.call(offer.call_id)
        assert call is not None
        assert call.agent.redeem(offer.media_token)
        media = NotedMedia()
        call.agent.media_opened(media)
        return media

    def accept(self, offer: Offer | None = None) -> None:
        offer = offer or self.offers[-1]
        self.say(Accept(call_id=offer.call_id, offer_id=offer.offer_id))

    def reject(self, reason: Literal["full", "draining", "error"] = "full") -> None:
        offer = self.offers[-1]
        self.say(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason=reason))

    def start_media(self, media: NotedMedia) -> None:
        media.started = True
        call = self.room.board.call(self.offers[-1].call_id)
        assert call is not None
        call.agent.media_started(media, self.room.now)

    def answer(self) -> None:
        self.say(Answer(call_id=self.offers[-1].call_id))

    def take(self) -> NotedMedia:
        media = self.open_media()
        self.accept()
        assert isinstance(self.last(), Confirm)
        self.start_media(media)
        self.answer()
        return media

    def hangup(self, reason: EndReason, detail: str = "") -> None:
        self.say(Hangup(call_id=self.offers[-1].call_id, reason=reason, detail=detail))

    def lose(self) -> None:
        self.room.board.lose(self.instance, self.room.now, "killed")


class NotedTap:
    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.heard: list[tuple[str, bytes]] = []
        self.closed = False

    def caller(self, pcm: bytes) -> None:
        self.heard.append(("caller", pcm))

    def bot(self, frame: bytes) -> None:
        self.heard.append(("bot", frame))

    def close(self) -> None:
        self.closed = True


class NotedRecordings:
    def __init__(self) -> None:
        self.taps: list[NotedTap] = []

    def begin(self, info: CallInfo, rate: int) -> NotedTap:
        self.taps.append(NotedTap(rate))
        return self.taps[-1]


class Room:
    """A switchboard and its clock."""

    def __init__(self, limits: CallLimits = LIMITS, max_calls: int = 10) -> None:
        self.now = 100.0
        self.dialler = NotedDialler()
        self.recordings = NotedRecordings()
        self.board = Switchboard(
            limits=limits, max_calls=max_calls, dialler=self.dialler, recordings=self.recordings
        )
        self.numbers = 0

    def agent(
        self,
        name: str = "one",
        *,
        capacity: int = 4,
        worker: WorkerKind | None = None,
        roams: bool | None = None,
    ) -> NotedAgent:
        return NotedAgent(self, name, capacity, worker, roams)

    def call(self, kind: CallKind = "stream") -> tuple[GatewayCall, NotedLeg]:
        self.numbers += 1
        leg = NotedLeg()
        info = CallInfo(agent_id="desk", call_id=f"call-{self.numbers}", kind=kind)
        return self.board.place(info, leg, self.now), leg

    def dial(
        self, to: str, *, ring_timeout_s: float = 20, options: CallOptions | None = None
    ) -> tuple[GatewayCall, NotedFarLeg]:
        self.numbers += 1
        info = CallInfo(agent_id="desk", call_id=f"call-{self.numbers}", to_number=to, kind="phone")
        request = DialRequest(to, "100")
        call = self.board.dial(info, request, ring_timeout_s=ring_timeout_s, now=self.now, options=options)
        return call, self.dialler.legs[-1]

    def frame_tick(self, times: int = 1) -> None:
        """Let 20 ms pass so many times, with what is played in them."""
        for _ in range(times):
            self.now += 0.02
            self.board.on_frame_tick(self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick at each moment that the switchboard asked for."""
        end = self.now + seconds
        while (wake_at := self.board.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            self.board.tick(self.now)
        self.now = end

    def ended(self) -> CallSnapshot:
        return self.board.snapshot().ended[-1]
