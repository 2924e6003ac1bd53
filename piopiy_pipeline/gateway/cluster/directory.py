"""`ClusterDirectory`: how the gateways of a cluster find each other's instances, and each other.

`MemoryDirectory` is one within a process, for tests. `NatsDirectory` is one over a NATS server. Neither carries the
sound of a call, nor what an agent and a gateway say to each other about it: a call that has found its instance does not
depend on the directory any more.
"""

from __future__ import annotations

from typing import Protocol

from piopiy_pipeline.gateway.cluster.console_messages import CallChanges, RelayedAnswer, RelayedRequest
from piopiy_pipeline.gateway.cluster.directory_messages import (
    DirectoryAnswer,
    DirectorySearch,
    GatewayNotice,
    GatewayPresence,
    OtherVersion,
)

__all__ = ["ClusterDirectory", "DirectoryMember", "GatewayGone"]


class GatewayGone(Exception):
    """A gateway is not there: nothing was carried out."""


class DirectoryMember(Protocol):
    """A gateway as the directory sees it. Nothing here waits but `on_request`."""

    def on_search(self, search: DirectorySearch) -> DirectoryAnswer:
        """Send an instance, if one has a place."""

    def on_notice(self, notice: GatewayNotice) -> None:
        """Take what another gateway says to this one."""

    def on_presence(self, presence: GatewayPresence) -> None:
        """Note that a gateway is there, or leaves."""

    def on_other_version(self, one: OtherVersion, protocol: str) -> None:
        """Note that a gateway is there, or leaves, that speaks another version of the protocol."""

    def on_call_changes(self, changes: CallChanges) -> None:
        """Note what has changed among the calls of another gateway."""

    def has_call(self, call_id: str) -> bool:
        """Return whether a call is here, or was until a while ago."""

    async def on_request(self, request: RelayedRequest) -> RelayedAnswer:
        """Carry out an operator's request that came to another gateway, within its deadline."""

    def on_connection(self) -> None:
        """Note that the directory can be reached again, or no more: `problem` says which."""


class ClusterDirectory(Protocol):
    """The directory, as one gateway uses it."""

    @property
    def problem(self) -> str:
        """Why it cannot be reached now, a sentence; empty if it can."""

    @property
    def cause(self) -> str:
        """Why that is so, in a few words without an address."""

    @property
    def store_problems(self) -> list[str]:
        """Why not everything is kept that other gateways would need, a sentence for each cause; none while `problem`
        says that nothing is reached at all.
        """

    @property
    def unsent(self) -> list[str]:
        """What was not told or asked lately, because it was too long or too much, a sentence for each cause."""

    async def open(self, member: DirectoryMember) -> None:
        """Join. One that cannot be reached now is joined as soon as it can be.

        Raises:
            GatewayError: It will never be: the credentials are wrong, say.
        """

    async def close(self) -> None:
        """Leave."""

    async def search(self, search: DirectorySearch, timeout_s: float) -> DirectoryAnswer | None:
        """Ask one of the gateways that have free places for the agent; with `most_busy`, one of those that have room.

        Args:
            search: What is asked for.
            timeout_s: How long the answer may take, in seconds.

        Returns:
            None if no gateway has a place, none answered, or the directory cannot be reached.
        """

    def serve(self, agent_id: str, *, on: bool, room: bool = False) -> None:
        """Say that this gateway has free places for an agent, or has none any more. To say it twice changes nothing.

        Args:
            agent_id: The agent.
            on: Whether there are places.
            room: Whether one of them is at an instance that is little busy.
        """

    def notify(self, gateway: str, notice: GatewayNotice) -> None:
        """Tell another gateway something. It may be lost."""

    async def request(self, request: RelayedRequest, timeout_s: float) -> RelayedAnswer | None:
        """Have another gateway carry out a request of an operator.

        Args:
            request: The request. It names the gateway.
            timeout_s: How long the answer may take, in seconds.

        Returns:
            None if that gateway does not answer in time, or the directory cannot be reached. Whether the request was
            carried out is not known then.

        Raises:
            GatewayGone: The directory says that this gateway is not there.
        """

    async def find_call(self, call_id: str, timeout_s: float) -> str | None:
        """Ask all gateways which one has a call.

        Args:
            call_id: The call.
            timeout_s: How long the answer may take, in seconds: so long it is waited if none has it.
        """

    def publish_changes(self, changes: CallChanges) -> None:
        """Tell all gateways that look at all calls what has changed among those of this one. It may be lost."""

    def announce(self, presence: GatewayPresence) -> None:
        """Tell all gateways that this one is there. It may be lost."""
