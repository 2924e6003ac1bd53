"""The switchboard knows who is in which call: connected agents, calls in progress, and the last calls. No I/O.

The connections of agents and callers are known here only by small interfaces (`AgentLink`, `Leg`, `MediaPort`).
Time is an argument, `now`, in seconds; `wake_at` says when `tick` must be called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.dialling import Dialler, DialRefused, DialRequest, NoDialler
from piopiy_pipeline.gateway.core.event_bus import CallChanged, ConversationReported, EventBus, Redacted
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits, CallResources
from piopiy_pipeline.gateway.core.gateway_drain import SHUTTING_DOWN, GatewayDrain
from piopiy_pipeline.gateway.core.instances import AgentLink, Instance, Instances
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.media_path import NoRecordings, Recordings
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Snapshot
from piopiy_pipeline.gateway.core.sound_cleaning import SoundCleaning
from piopiy_pipeline.gateway.core.summons import NobodyElse
from piopiy_pipeline.gateway.core.timer_queue import TimerQueue
from piopiy_pipeline.gateway.core.waiting_calls import WaitingCalls
from piopiy_pipeline.signaling.messages import (
    Accept,
    AgentMessage,
    Cancel,
    ConversationEvent,
    Heartbeat,
    InstanceDied,
    Register,
    Status,
)
from piopiy_pipeline.signaling.roaming import Roaming, RoamResult
from piopiy_pipeline.signaling.unread_messages import UnreadMessage
from piopiy_pipeline.text import counted

__all__ = ["Switchboard"]

ENDED_KEPT = 100


class Switchboard:
    """All calls and agents of one gateway.

    Args:
        limits: How long things may take.
        max_calls: How many calls there may be at a time. One more ends at once with `busy`.
        on_change: Called when `wake_at`, `playing` or the connected instances may have changed.
        event_bus: Tells subscribers of calls.
        dialler: Makes calls that go out.
        recordings: Begins recordings.
        record: Whether calls are recorded unless their options say otherwise.
    """

    def __init__(
        self,
        *,
        limits: CallLimits,
        max_calls: int,
        on_change: Callable[[], None] = lambda: None,
        event_bus: EventBus | None = None,
        dialler: Dialler | None = None,
        recordings: Recordings | None = None,
        record: bool = False,
    ) -> None:
        self.max_calls = max_calls
        self.instances = Instances(limits.ring_s)
        self.drain = GatewayDrain(self.instances)
        self.resources = CallResources(
            limits=limits,
            instances=self.instances,
            waiting=WaitingCalls(self.instances),
            dialler=dialler or NoDialler(),
            recordings=recordings or NoRecordings(),
            record=record,
            cleaning=SoundCleaning(),
            summoner=NobodyElse(),
            on_event=self._on_event,
        )
        """What all calls use: its dialler, recordings and cleaning may be set later."""
        self._on_change = on_change
        self._calls: dict[str, GatewayCall] = {}
        self._live: dict[str, GatewayCall] = {}
        self._ended: deque[CallSnapshot] = deque(maxlen=ENDED_KEPT)
        self.timers = TimerQueue()
        """Wakes its calls."""
        self._closed = False
        self.silences = SilentInstances(self.instances, self.call)
        """Moves the calls of instances that have gone silent."""
        self.event_bus = event_bus or EventBus()
        self._published: dict[str, tuple[Phase, str | None]] = {}  # of calls under way: phase and instance

    # ------------------------------------------------------------------ callers

    def place(self, info: CallInfo, leg: Leg, now: float, options: CallOptions | None = None) -> GatewayCall:
        """Take a caller's call: ring, and look for an agent.

        Args:
            info: Who calls whom.
            leg: The caller.
            now: The time.
            options: What differs from other calls.

        Returns:
            The call, which may have ended already.
        """
        call = self._make_call(info, leg, now, Phase.OFFERING, options)
        leg.attach(call)
        if self._takes(call, now):
            call.place(now)
        return call

    def dial(
        self,
        info: CallInfo,
        request: DialRequest,
        *,
        ring_timeout_s: float,
        now: float,
        options: CallOptions | None = None,
    ) -> GatewayCall:
        """Call somebody, and ask an agent when they pick up.

        Args:
            info: Who is called by which agent.
            request: Whom to dial.
            ring_timeout_s: How long it may ring, in seconds.
            now: The time.
            options: What differs from other calls.

        Raises:
            DialRefused: It cannot be made now, or not at all. Whoever picks up is not to find nobody there.
        """
        if self._closed or self.drain.on:
            raise DialRefused(SHUTTING_DOWN if self._closed else self.drain.refusal, "room")
        if len(self._calls) >= self.max_calls:
            raise DialRefused(
                f"not more than {counted(self.max_calls, 'call')} at a time: try again later", "room"
            )
        with_agent = options is None or options.with_agent
        if with_agent and not (
            self.instances.any_free(info.agent_id) or self.resources.summoner.has_place(info.agent_id)
        ):
            raise DialRefused(f"no instance of agent {info.agent_id!r} is connected and free", "room")
        leg = self.resources.dialler.dial(replace(request, ring_timeout_s=ring_timeout_s))
        call = self._make_call(info, leg, now, Phase.DIALLING, options)
        self._calls[call.call_id] = call
        call.dial(leg, ring_timeout_s, now)
        return call

    def _make_call(
        self, info: CallInfo, leg: Leg, now: float, phase: Phase, options: CallOptions | None
    ) -> GatewayCall:
        return GatewayCall(
            info=info,
            leg=leg,
            now=now,
            resources=self.resources,
            on_change=self._on_call_change,
            phase=phase,
            options=options,
        )

    def _takes(self, call: GatewayCall, now: float) -> bool:
        if self._closed or self.drain.on:
            call.end(now, EndReason.SHUTDOWN, SHUTTING_DOWN if self._closed else self.drain.refusal)
        elif len(self._calls) >= self.max_calls:
            call.end(now, EndReason.BUSY, f"not more than {counted(self.max_calls, 'call')} at a time")
        else:
            self._calls[call.call_id] = call
            return True
        return False

    def call(self, call_id: str) -> GatewayCall | None:
        """Return the call in progress with this id."""
        return self._calls.get(call_id)

    # ------------------------------------------------------------------ agents

    def register(
        self, registration: Register, link: AgentLink, now: float, *, roaming: bool = False
    ) -> Instance:
        """Add a connected instance of an agent. It replaces an older connection of the same instance.

        Args:
            registration: What the agent says of itself.
            link: Its signaling connection.
            now: The time.
            roaming: Whether it is at home at another gateway, and was summoned for a call.

        Returns:
            The instance, to be given to `receive` and `lose`.
        """
        instance, replaced = self.instances.add(registration, link, now, roaming=roaming)
        for call in self._of_agent(instance.agent_id):
            call.agent.assignment.losses.came_back(instance.instance_id)
        logger.info(
            "agent {} registered: instance {}, capacity {}{}",
            instance.agent_id,
            instance.instance_id,
            instance.capacity,
            ", roaming" if roaming else "",
        )
        if replaced is not None:
            replaced.link.replace()
            self.resources.summoner.lost(replaced)
            self.silences.replaced(replaced, now)
            self._lose_calls(replaced, now, died=False)
        self._look_again(instance, now)
        self._on_change()
        return instance

    def receive(self, instance: Instance, message: AgentMessage, now: float) -> None:
        """Act on what an instance says of itself or of a call. Messages on calls that it does not have are ignored."""
        late, instance.heard_at = instance.late(now), now
        self._act_on(instance, message, now)
        if late and instance.takes_calls:  # it was passed over
            self._look_again(instance, now)

    def _act_on(self, instance: Instance, message: AgentMessage, now: float) -> None:
        if isinstance(message, Heartbeat):
            self.silences.heartbeat(instance, message, now)
            return
        if isinstance(message, Status):
            instance.update(message)
            self._look_again(instance, now)
            return
        if isinstance(message, Roaming | RoamResult):
            self.resources.summoner.receive(instance, message, now)
            return
        if isinstance(message, InstanceDied):
            if not instance.roaming:
                self.resources.summoner.pass_on(instance.agent_id, message)
            self.instance_died(instance.agent_id, message, now)
            return
        call_id = getattr(message, "call_id", "")
        call = self._calls.get(call_id)
        if call is None:
            if isinstance(message, Accept):
                self._refuse_late(instance, message)
            return
        with call.state.contained(now):
            call.receive(instance, message, now)

    def unread(self, instance: Instance, message: UnreadMessage, now: float) -> None:
        """Handle a message of an instance that cannot be taken. It concerns the call that it names, and no other."""
        call = self._calls.get(message.call_id)
        if call is not None and call.agent.confirmed_to(instance):
            with call.state.contained(now):
                call.state.unread(message, now)

    def not_sent(self, message: UnreadMessage, now: float) -> None:
        """Handle a message to an instance that was not sent because the agent could not read it."""
        logger.bind(call_id=message.call_id).error("a message to the agent is not sent: {}", message.detail)
        call = self._calls.get(message.call_id)
        if call is not None and message.kind == "offer":
            call.end(now, EndReason.ERROR, f"it cannot be offered to an agent: {message.detail}")

    def lose(self, instance: Instance, now: float, why: str) -> None:
        """Handle the loss of the connection to an instance, because of `why`."""
        self.instances.remove(instance)
        self.silences.lost(instance, now)
        self.resources.summoner.lost(instance)
        self.resources.summoner.changed(instance.agent_id)
        logger.info("agent {} is gone: instance {}: {}", instance.agent_id, instance.instance_id, why)
        self._lose_calls(instance, now)
        if instance.death is not None:
            self._suspect(instance.agent_id, instance.death, now)
        self._on_change()

    # ------------------------------------------------------------------ time

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None: not at all."""
        return self.timers.next_at

    @property
    def call_count(self) -> int:
        """How many calls there are, in whatever phase."""
        return len(self._calls)

    @property
    def calls(self) -> Iterable[GatewayCall]:
        """All calls, in whatever phase."""
        return self._calls.values()

    @property
    def has_calls(self) -> bool:
        """Whether there is a call, in whatever phase."""
        return bool(self._calls)

    @property
    def playing(self) -> bool:
        """Whether there are calls that need frame ticks."""
        return bool(self._live)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        self.timers.run_due(now)

    def on_frame_tick(self, now: float) -> None:
        """Send every caller what is due. Called every 20 ms. An error in one call ends that call only."""
        for call in tuple(self._live.values()):
            try:
                call.on_frame_tick(now)
            except Exception:
                call.state.log.exception("playing to the caller failed")
                call.end(now, EndReason.ERROR, "internal error of the gateway")

    def shutdown(self, now: float) -> None:
        """End every call, disconnect every agent, and take no more."""
        self._closed = True
        for call in tuple(self._calls.values()):
            call.end(now, EndReason.SHUTDOWN, SHUTTING_DOWN)
        for instance in self.instances.all():
            instance.link.shutdown()

    def snapshot(self) -> Snapshot:
        """Return the instances, the calls under way, and the last calls that ended."""
        return Snapshot(
            instances=tuple(
                one.snapshot()
                for one in self.instances.all()
                if not one.roaming  # it is counted at home
            ),
            calls=tuple(call.snapshot() for call in self._calls.values()),
            ended=tuple(self._ended),
        )

    def _on_call_change(self, call: GatewayCall) -> None:
        """Note that a call's phase or its deadlines have changed."""
        self._publish_change(call)
        if call.phase is Phase.ENDED:
            self._calls.pop(call.call_id, None)
            self._ended.append(call.snapshot())
        if call.playing or call.phase is Phase.BRIDGED:
            self._live[call.call_id] = call
        else:
            self._live.pop(call.call_id, None)
        self.timers.set(call)
        self._on_change()

    def _on_event(self, call_id: str, number: int, event: ConversationEvent, kept: Redacted | None) -> None:
        """Publish an event in the conversation of a call, and what is kept from most subscribers."""
        wall = self.event_bus.wall()
        self.event_bus.publish(
            ConversationReported(wall, call_id, number, event.at, event.event, event.data, kept)
        )

    def _publish_change(self, call: GatewayCall) -> None:
        now = call.phase, call.agent.assignment.last_instance_id
        if self._published.get(call.call_id) == now:
            return
        if call.phase is Phase.ENDED:
            self._published.pop(call.call_id, None)
        else:
            self._published[call.call_id] = now
        self.event_bus.publish(CallChanged(self.event_bus.wall(), call.snapshot()))

    def _look_again(self, instance: Instance, now: float) -> None:
        """Let the calls that nobody could take ask again, because this instance may have a place."""
        self.resources.summoner.changed(instance.agent_id)
        self.silences.look_again(now)
        self.resources.waiting.look_again(instance.agent_id, now)

    def _lose_calls(self, instance: Instance, now: float, *, died: bool = True) -> None:
        """Have the calls of a lost instance look for another one. `died`: its process has not registered again."""
        had, alone = sorted(instance.calls), instance.has_one_call if died else None
        self._note_closed(instance, now)
        for call in self._of_agent(instance.agent_id) if had else ():
            if call.call_id not in had:
                call.agent.assignment.losses.lost_elsewhere()
        for call_id in had:
            lost = self._calls.get(call_id)
            if lost is not None:
                with lost.state.contained(now):
                    lost.agent.instance_lost(instance, now, alone=alone)

    def _note_closed(self, instance: Instance, now: float) -> None:
        """Find the calls of a lost instance that were in the one lost before, too. Of call workers the agent tells."""
        if instance.worker is not None or self.instances.find(instance.agent_id, instance.instance_id):
            return
        had = [call for call in self._of_agent(instance.agent_id) if call.agent.confirmed_to(instance)]
        again = [call for call in had if call.agent.assignment.losses.lost_lately(now)]
        few = 0 < 2 * len(again) <= len(had)
        if again:
            calls = f"{counted(len(again), 'call')} of instance {instance.instance_id} had lost another one"
            then = " and wait for one of the two to be back" if few else ""
            ids = ", ".join(call.call_id for call in again)
            logger.warning("agent {}: {} shortly before{}: {}", instance.agent_id, calls, then, ids)
        for call in had:
            call.agent.assignment.losses.closed(instance.instance_id, now, in_two=few and call in again)

    def _of_agent(self, agent_id: str) -> list[GatewayCall]:
        return [call for call in self._calls.values() if call.info.agent_id == agent_id]

    def instance_died(self, agent_id: str, death: InstanceDied, now: float) -> None:
        """Take an agent's word that one of its call workers has died, or hangs and is still connected. The loss of the
        connection of a dead one may come later.
        """
        if death.hung:
            self._suspect(agent_id, death, now)
            return
        if connected := self.instances.find(agent_id, death.instance_id):
            for dead in connected:
                dead.death = death
            return
        self._suspect(agent_id, death, now)

    def _suspect(self, agent_id: str, death: InstanceDied, now: float) -> None:
        """Tell all calls of an agent of the death: those that were with it may be elsewhere by now."""
        for call in self._of_agent(agent_id):
            with call.state.contained(now):
                call.agent.suspect.instance_died(death, now)

    @staticmethod
    def _refuse_late(instance: Instance, message: Accept) -> None:
        instance.link.send(
            Cancel(call_id=message.call_id, offer_id=message.offer_id, detail="the call is over")
        )
