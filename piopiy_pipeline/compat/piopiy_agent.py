"""What the gateway uses of piopiy-agent beyond its documented interface: that a worker drains by its own choice.

The package knows how to drain when Piopiy's cloud asks for it. A gateway that is told to end wants the same, and there
is no word for that: so the two private names that the package uses itself are used here.
"""

from __future__ import annotations

from piopiy_agent import PiopiyWorker

from piopiy_pipeline.compat import check_attributes

__all__ = ["check", "switch_drain"]

PIOPIY_AGENT = ">=1.2,<2"
"""The versions that this file was written for, as in pyproject.toml."""


def check() -> None:
    """Check that the installed piopiy-agent has everything that this file uses.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    check_attributes(
        "piopiy-agent",
        ((PiopiyWorker, "_draining"), (PiopiyWorker, "_send_status")),
        written_for=PIOPIY_AGENT,
        used_in=__name__,
    )


async def switch_drain(worker: PiopiyWorker, *, on: bool) -> None:
    """Let a worker take no more jobs, or take jobs again, and tell the cloud so."""
    worker._draining = on
    await worker._send_status()


check()
