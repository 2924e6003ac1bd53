"""`GatewayDrain`: a gateway that takes no new calls, and lets those in progress end. No I/O.

In a cluster its agents find another home meanwhile: at once those that have no call here, the others when their last
call here has ended. A gateway that is alone keeps them, because calls in progress may need another one.
"""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.core.instances import Instances

__all__ = ["DRAINING", "SHUTTING_DOWN", "GatewayDrain"]

DRAINING = "this gateway takes no new calls, because it drains"
SHUTTING_DOWN = "the gateway is shutting down"


class GatewayDrain:
    """The drain of one gateway. It may be ended again.

    Args:
        instances: All instances that are connected.
    """

    def __init__(self, instances: Instances) -> None:
        self.on = False
        """Whether no new calls are taken."""
        self.other_gateways: Callable[[], list[str]] = list
        """Returns the addresses of the gateways that new calls and agents can go to."""
        self.on_change: list[Callable[[bool], None]] = []
        """Called when it begins or ends."""
        self._instances = instances
        self._looking = False

    def switch(self, *, on: bool) -> None:
        """Begin to drain, or take calls again. To do either twice changes nothing."""
        if on == self.on:
            return
        self.on = on
        logger.warning("the gateway {}", "drains: it takes no new calls" if on else "takes calls again")
        for tell in self.on_change:
            tell(on)
        self.look_again()

    @property
    def refusal(self) -> str:
        """What a new caller is told: that it drains, and where else to call."""
        others = self.other_gateways()
        return f"{DRAINING}: call {' or '.join(others)}" if others else f"{DRAINING}: try another one"

    @property
    def sends_agents_away(self) -> bool:
        """Whether agents are to find another home."""
        return self.on and bool(self.other_gateways())

    def look_again(self) -> None:
        """Let go of the agents that have nothing to do here any more. To be called when a call has changed."""
        if self._looking or not self.sends_agents_away:
            return
        self._looking = True  # whoever goes changes something
        try:
            for one in self._instances.all():
                if not one.roaming and not one.calls and not one.reserved:
                    one.link.shutdown()
        finally:
            self._looking = False
