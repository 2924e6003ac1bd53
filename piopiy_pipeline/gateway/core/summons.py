"""What the core asks of the other gateways of a cluster: an instance for a call that none of its own can take. No I/O.

An instance that comes is roaming (`Instance.roaming`): it takes the calls for which it was summoned, and no others. All
else is as with any instance. What stands behind it is `gateway.cluster`; a gateway that is alone has `NobodyElse`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied
from piopiy_pipeline.signaling.roaming import Roaming, RoamResult

__all__ = ["NobodyElse", "Summoner", "SummonsOutcome"]

SummonsOutcome = Literal["came", "nobody", "refused", "missed"]
"""An instance came; nobody had a place; the one that was sent did not come, and said so; it did not come in time."""


class Summoner(Protocol):
    """Has instances come from other gateways. Every `now` is in seconds of one clock."""

    @property
    def problem(self) -> str:
        """Why nobody comes from other gateways now, a sentence for operators; empty while all is well."""

    @property
    def summoned(self) -> Mapping[SummonsOutcome, int] | None:
        """What became of those that were to come, counted; None: this gateway is alone."""

    @property
    def cause(self) -> str:
        """Why that is so, in a few words without an address: whoever may know that this gateway lives may read it."""

    @property
    def store_problems(self) -> list[str]:
        """Why other gateways could not go on with calls of this one, a sentence for each cause; empty while all is
        well.
        """

    @property
    def unsent(self) -> list[str]:
        """What other gateways were not told lately although it should have been, a sentence for each cause."""

    @property
    def at_odds(self) -> list[str]:
        """What is wrong between this gateway and others, a sentence for each cause."""

    def summon(
        self,
        call_id: str,
        agent_id: str,
        without: Collection[str],
        now: float,
        *,
        takeover: bool,
        apart: bool,
        most_busy: float | None = None,
    ) -> None:
        """Have an instance come for a call, unless one is on its way, or nobody was there a moment ago.

        Args:
            call_id: The call.
            agent_id: Whose instance.
            without: The ids of instances that are not to come, because they were asked before.
            now: The time.
            takeover: Whether the call is in progress: another instance has lost it, or gives it back.
            apart: Whether only a call worker that is apart from others may come.
            most_busy: How busy may be at most who comes, 0 to 1; None: as busy as it is.
        """

    def detour(self, agent_id: str, here: float) -> float | None:
        """Return how busy an instance of another gateway may be at most for a new call to be better off with it.

        Args:
            agent_id: Whose instances.
            here: How busy the least busy one of this gateway is, 0 to 1.

        Returns:
            0 to 1; None if none is worth the way, as far as is known.
        """

    def expects(self, call_id: str) -> bool:
        """Return whether it is not known yet that nobody comes for this call. That is so for a few seconds at most."""

    def why_nobody(self, call_id: str) -> str:
        """Return why nobody came for this call from other gateways, in words; empty if nothing is known."""

    def agent_of(self, ticket: str) -> str | None:
        """Return of which agent an instance may connect that shows this ticket; None: of none."""

    def forget(self, call_id: str) -> None:
        """Let nobody come for this call any more."""

    def elsewhere(self, agent_id: str) -> int:
        """Count the instances of this agent that are at home at other gateways, as far as is known."""

    def has_place(self, agent_id: str) -> bool:
        """Return whether an instance at another gateway has a free place, as far as is known."""

    def receive(self, instance: Instance, message: Roaming | RoamResult, now: float) -> None:
        """Act on what an instance says of its roaming."""

    def changed(self, agent_id: str) -> None:
        """Note that instances of this agent that are at home here may have more or fewer places."""

    def pass_on(self, agent_id: str, news: InstanceDied | Blocked) -> None:
        """Tell the other gateways of an instance at home here that has died or is blocked: it may have calls there."""

    def lost(self, instance: Instance) -> None:
        """Note that the connection to an instance is lost."""


class NobodyElse:
    """A gateway that is alone."""

    summoned: Mapping[SummonsOutcome, int] | None = None
    problem = cause = ""
    store_problems: list[str] = []  # noqa: RUF012  it is never changed
    unsent: list[str] = []  # noqa: RUF012  likewise
    at_odds: list[str] = []  # noqa: RUF012  likewise

    def summon(
        self,
        call_id: str,
        agent_id: str,
        without: Collection[str],
        now: float,
        *,
        takeover: bool,
        apart: bool,
        most_busy: float | None = None,
    ) -> None: ...

    def detour(self, agent_id: str, here: float) -> float | None:
        return None

    def expects(self, call_id: str) -> bool:
        return False

    def why_nobody(self, call_id: str) -> str:
        return ""

    def agent_of(self, ticket: str) -> str | None:
        return None

    def forget(self, call_id: str) -> None: ...

    def elsewhere(self, agent_id: str) -> int:
        return 0

    def has_place(self, agent_id: str) -> bool:
        return False

    def receive(self, instance: Instance, message: Roaming | RoamResult, now: float) -> None: ...

    def changed(self, agent_id: str) -> None: ...

    def pass_on(self, agent_id: str, news: InstanceDied | Blocked) -> None: ...

    def lost(self, instance: Instance) -> None: ...
