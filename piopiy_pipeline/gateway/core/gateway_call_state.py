"""The state that the parts of one call at the gateway share: its values, its phase, its deadlines. No I/O.

`GatewayCall` makes it, and its parts (`AgentSide`, `GatewayCallControl`, `CallTransfer`) work on it, so that
they need not know the call that they belong to, nor the switchboard. Tested by
`tests/gateway/core/test_switchboard.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from loguru import logger

from piopiy_pipeline.audio.sound_cleaner import CleanSound
from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.deadlines import Deadlines
from piopiy_pipeline.gateway.core.dialling import Dialler
from piopiy_pipeline.gateway.core.event_bus import Redacted
from piopiy_pipeline.gateway.core.instances import RING_S, Instances
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.media_path import MediaPath, Recordings
from piopiy_pipeline.gateway.core.phases import Phase, next_phase
from piopiy_pipeline.gateway.core.sound_cleaning import SoundCleaning
from piopiy_pipeline.gateway.core.summons import Summoner
from piopiy_pipeline.gateway.core.waiting_calls import WaitingCalls
from piopiy_pipeline.signaling.messages import ConversationEvent, ConversationEventName
from piopiy_pipeline.signaling.unread_messages import UnreadMessage

__all__ = ["CallLimits", "CallResources", "EndCall", "GatewayCallState"]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long things may take, in seconds. `GatewayConfig` describes each of them."""

    offer_s: float
    setup_s: float
    max_duration_s: float
    ring_s: float = RING_S


@dataclass(slots=True)
class CallResources:
    """What all calls of a switchboard use. The dialler, the recordings and the cleaning are set when they exist."""

    limits: CallLimits
    instances: Instances
    waiting: WaitingCalls
    """The calls that no instance can take at the moment."""
    dialler: Dialler
    recordings: Recordings
    record: bool
    """Whether calls are recorded unless their options say otherwise."""
    cleaning: SoundCleaning
    """Cleans the sound of calls."""
    summoner: Summoner
    """Has instances come from other gateways."""
    on_event: Callable[[str, int, ConversationEvent, Redacted | None], None]
    """Called with the call's id, the event's number in the call, the event, and what was left out of it."""
    on_checkpoint: Callable[[str, dict[str, Any]], None] = lambda call_id, state: None
    """Called with the call's id and each checkpoint of it."""


class EndCall(Protocol):
    """Ends a call, once: later reasons do not count. `by_agent` means that the agent knows of the end
    already.
    """

    def __call__(
        self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False
    ) -> None: ...


class GatewayCallState:
    """The state of one call that its parts share.

    Args:
        info: Who calls whom.
        leg: The caller, or the person who is called.
        phase: OFFERING for a call that comes in, DIALLING for one that goes out.
        now: When the call was placed.
        resources: What all calls use.
        end: Ends the call.
        changed: Tells the switchboard that the phase or a deadline of the call is another now.
    """

    def __init__(
        self,
        *,
        info: CallInfo,
        leg: Leg,
        phase: Phase,
        now: float,
        resources: CallResources,
        end: EndCall,
        changed: Callable[[], None],
    ) -> None:
        self.info = info
        self.leg = leg
        self.media_path = MediaPath(leg)
        self.phase = phase
        self.dialled = phase is Phase.DIALLING
        self.answered_at: float | None = None
        self.ticked_at = now  # the last frame tick: the time of what comes from the caller
        self.deadlines: Deadlines[Literal["phase", "media", "blocked", "handover", "duration"]] = Deadlines()
        self.resources = resources
        self.end = end
        self.changed = changed
        self.log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)
        self.served_beside: Callable[[], bool] = lambda: False
        """Returns whether a transfer or prompts are under way, which need no agent: `GatewayCallControl` knows."""
        self._events = 0
        self._unread_on_record = False

    @property
    def call_id(self) -> str:
        return self.info.call_id

    @property
    def confirmed(self) -> bool:
        """Whether an instance has the call: its accept was confirmed."""
        return self.phase in (Phase.SETUP, Phase.LIVE)

    @property
    def in_progress(self) -> bool:
        """Whether the caller is the bot's: the call was answered, and is neither over nor bridged. That is so while
        another instance is looked for, too.
        """
        return self.answered_at is not None and self.phase not in (Phase.BRIDGED, Phase.ENDED)

    def enter(self, phase: Phase) -> None:
        """Change the phase. Every change is made here; `phases` says which ones are allowed."""
        self.phase = next_phase(self.phase, phase)

    @contextmanager
    def contained(self, now: float) -> Iterator[None]:
        """Run a step of this call: an exception in it is logged, and ends this call. It reaches nobody who has others,
        such as the connection of its agent.
        """
        try:
            yield
        except Exception:
            self.log.exception("the gateway failed in a call")
            self.end(now, EndReason.ERROR, "internal error of the gateway")

    @contextmanager
    def attempted(self) -> Iterator[None]:
        """Run a step that others follow: an exception in it is logged, and they are taken all the same."""
        try:
            yield
        except Exception:
            self.log.exception("a step of a call failed")

    def record(self, *, on: bool) -> None:
        """Begin to record the call, or end the recording. Doing either twice changes nothing."""
        if on:
            self.media_path.record(self.resources.recordings, self.info)
        else:
            self.media_path.stop_recording()

    def clean(self, what: CleanSound | None = None) -> None:
        """Clean what the caller says, as `MediaPath.clean` says."""
        self.media_path.clean(self.resources.cleaning, self.info, what)

    def publish(self, event: ConversationEvent, redacted: Redacted | None = None) -> None:
        """Tell the subscribers of an event in the conversation."""
        self._events += 1
        self.resources.on_event(self.call_id, self._events, event, redacted)

    def unread(self, message: UnreadMessage, now: float) -> None:
        """Handle a message of the agent that cannot be taken: the call goes on without a report or a checkpoint.

        Of any other message nobody knows what the agent has done, and the call ends.
        """
        what = f"a message of the agent ({message.kind or 'of no kind'}) cannot be taken: {message.detail}"
        if message.kind not in ("event", "checkpoint"):
            self.end(now, EndReason.ERROR, what[:500])
        elif not self._unread_on_record:
            self._unread_on_record = True
            self.log.warning("{}", what)
            self.publish_own("error", {"stage": "agent", "message": what[:500]}, now)

    def publish_own(
        self,
        event: ConversationEventName,
        data: dict[str, Any],
        now: float,
        redacted: Redacted | None = None,
    ) -> ConversationEvent:
        """Tell the subscribers of an event that the gateway itself knows of. Returns the event.

        Args:
            event: Its name.
            data: What everybody is told.
            now: The time in seconds.
            redacted: What one receiver of webhooks alone is told.
        """
        at = 0.0 if self.answered_at is None else now - self.answered_at
        published = ConversationEvent(call_id=self.call_id, at=at, event=event, data=data)
        self.publish(published, redacted)
        return published
