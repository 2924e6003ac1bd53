"""The offer of a call to one instance, the token of its media stream, and the stream. No I/O."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from piopiy_pipeline.audio.playout import Progress, Tick
from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.early_requests import EarlyRequests
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.media_progress import MediaProgress
from piopiy_pipeline.signaling.messages import Cancel, Confirm, Ended, Offer

__all__ = ["CallOffer", "MediaFaults", "MediaPort"]


class MediaPort(Protocol):
    """The media stream of one offer, seen from its call."""

    @property
    def started(self) -> bool:
        """Whether the agent has said at which rates it hears and speaks."""

    @property
    def gaps(self) -> int: ...

    @property
    def worst_gap_s(self) -> float: ...

    @property
    def caller_dropped_s(self) -> float:
        """Seconds of the caller's audio that were dropped because the agent was busy for too long."""

    @property
    def sent_bytes(self) -> int:
        """How much of the caller's audio was sent to the agent."""

    @property
    def received_bytes(self) -> int:
        """How much of the bot's speech has come from the agent."""

    def caller_audio(self, pcm: bytes) -> None:
        """Send the agent what the caller said: PCM16 mono at the leg's rate."""

    def dtmf(self, digits: str) -> None: ...

    def data(self, data: dict[str, Any]) -> None: ...

    def due_audio(self, now: float) -> Tick:
        """Return the frames that are due for the caller, 20 ms each at the leg's rate, and the playout's progress."""

    def report_progress(self, progress: Sequence[Progress]) -> None:
        """Tell the agent how far the caller has heard its speech."""

    def pause(self) -> None:
        """Pause the speech that waits, because the caller hears something else. It goes on at the next
        `due_audio`.
        """

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class MediaFaults:
    """Counts what was wrong with the audio of a call, over all the agents that it was with."""

    gaps: int = 0
    worst_gap_s: float = 0.0
    caller_dropped_s: float = 0.0

    def plus(self, media: MediaPort | None) -> MediaFaults:
        """Return the sum of these faults and those of one more stream, if there is one."""
        if media is None:
            return self
        return MediaFaults(
            self.gaps + media.gaps,
            max(self.worst_gap_s, media.worst_gap_s),
            self.caller_dropped_s + media.caller_dropped_s,
        )


class CallOffer:
    """The offer of a call to one instance, until it is withdrawn or the call leaves the instance."""

    def __init__(self, call_id: str, instance: Instance) -> None:
        self.call_id = call_id
        self.instance = instance
        self.offer_id = secrets.token_hex(8)
        self.media: MediaPort | None = None
        self.media_open = False
        self.ready = False
        """Whether the agent has said that it can hear and speak."""
        self.counts_from: float | None = None
        """When the instance's own seconds of the call began: its answer; before that, when it took the call."""
        self.progress = MediaProgress()
        self.early = EarlyRequests()
        """What the instance has asked for before the call was live with it."""
        self._token: str | None = secrets.token_urlsafe(32)
        instance.calls.add(call_id)
        instance.summoned.discard(call_id)

    def send_offer(
        self,
        info: CallInfo,
        *,
        caller_rate: int,
        offer_s: float,
        setup_s: float,
        checkpoint: dict[str, Any] | None,
        heard: str | None = None,
    ) -> None:
        """Send the offer.

        Args:
            info: The call.
            caller_rate: The sample rate of the caller's leg in Hz.
            offer_s: How long the instance may take to accept, in seconds.
            setup_s: How long its callback may take to answer after that, in seconds.
            checkpoint: What an instance needs to go on with a conversation that another one began.
            heard: What the caller has heard of the turn that its bot was speaking.
        """
        self.instance.link.send(
            Offer(
                call_id=self.call_id,
                offer_id=self.offer_id,
                agent_id=info.agent_id,
                from_number=info.from_number,
                to_number=info.to_number,
                metadata=info.metadata,
                kind=info.kind,
                caller_rate=caller_rate,
                deadline_ms=round(offer_s * 1000),
                setup_s=setup_s,
                media_path=f"/media/{self.call_id}",
                media_token=self._token or "",
                checkpoint=checkpoint,
                heard=heard if self.instance.heartbeats else None,  # an older one does not know it
            )
        )

    def confirm(self, now: float) -> None:
        """Confirm that the accept came in time."""
        self.counts_from = now
        self.instance.link.send(Confirm(call_id=self.call_id, offer_id=self.offer_id))

    def answered(self, now: float) -> None:
        """Note that the agent has said that it can hear and speak."""
        self.ready, self.counts_from = True, now

    def cancel(self, detail: str) -> None:
        """Withdraw the offer, and tell the instance why."""
        self.instance.link.send(Cancel(call_id=self.call_id, offer_id=self.offer_id, detail=detail))

    def moved(self, detail: str) -> None:
        """Tell the instance that the confirmed call goes on with another one."""
        self.ended(EndReason.MOVED if self.instance.heartbeats else EndReason.AGENT_LOST, detail)

    def ended(self, reason: EndReason, detail: str) -> None:
        """Tell the instance that the confirmed call is over for it."""
        self.instance.link.send(Ended(call_id=self.call_id, reason=reason, detail=detail))

    def redeem(self, token: str) -> bool:
        """Return whether this token opens the media stream. Each token can be used once."""
        if self._token is None or not hmac.compare_digest(
            self._token.encode(), token.encode(errors="replace")
        ):
            return False
        self._token = None
        return True

    def release(self) -> None:
        """Close the instance's media stream, because it has nothing to do with the call any more."""
        self.instance.calls.discard(self.call_id)
        self._token = None
        if self.media is not None:
            self.media.close()
