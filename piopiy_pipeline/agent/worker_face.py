"""`WorkerFace`: what an `Agent` is to the call worker that it has become (`ForkedWorker`). No author calls it."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.agent.call_admission import CallAdmission
from piopiy_pipeline.agent.draining import Draining
from piopiy_pipeline.agent.forked_worker import SupervisorLink
from piopiy_pipeline.agent.gateway_connection import GatewayConnection
from piopiy_pipeline.agent.isolated_agent import IsolatedAgent
from piopiy_pipeline.agent.own_gateway import OwnGateway
from piopiy_pipeline.agent.served_calls import ServedCalls
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import InstanceDied

__all__ = ["WorkerFace"]


class WorkerFace:
    """The part of `Agent` that only call workers use."""

    instance_id: str
    _admission: CallAdmission
    _calls: ServedCalls
    _closing: asyncio.Event | None
    _connection: GatewayConnection
    _drained: Draining
    _isolated: IsolatedAgent | None
    _own_gateway: OwnGateway | None
    _supervisor: SupervisorLink | None
    _worker: WorkerKind | None

    @property
    def registered(self) -> bool:
        """Whether the gateway at home knows this process now."""
        return self._connection.home.registered

    def move_calls(self) -> None:
        """Have the calls move to other instances in their next pauses when this one drains, whatever `drain` says.

        Only a `ForkedWorker` calls it.
        """
        self._drained.move_all()

    def become_worker(
        self, instance_id: str, kind: WorkerKind, capacity: int, supervisor: SupervisorLink
    ) -> None:
        """Serve in this process, which is a call worker. Only a `ForkedWorker` calls it, in place of an author.

        Args:
            instance_id: The instance's id.
            kind: What kind of call worker it is.
            capacity: How many calls it takes at once.
            supervisor: Told when it has registered, when a call has begun or ended, and why it is killed.
        """
        self.instance_id = instance_id
        self._worker = kind
        self._admission.capacity = capacity
        self._isolated = None
        self._own_gateway = None  # it is the supervisor's
        self._supervisor = supervisor
        self._closing = None

    def tell_of_death(self, death: InstanceDied) -> None:
        """Tell the gateway that another call worker has died, so that it knows which calls may have done it."""
        self._connection.tell_of_death(death)

    def end_calls(self, detail: str) -> None:
        """End the calls in progress in this process as failed, with this on the record of each."""
        for session in self._calls.sessions:
            session.end(EndReason.ERROR, detail)
