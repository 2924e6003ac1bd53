"""What belongs to one simulated call, beside the bot and the caller."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from piopiy_pipeline.arguments import check_callable, check_kind, check_seconds, shown
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.testing.agent_loss import AgentLoss, check_losses
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.providers import Providers
from piopiy_pipeline.testing.scripted.simulated_gateway import Transfers

__all__ = ["Medium", "Progress", "Setting", "made_up_info"]

Medium = Literal["voice", "text"]
"""Whether a simulated caller speaks and hears, or types and reads."""
Progress = Callable[[int, float], None]
"""Called once in a second of a call, with the seed of the call and its seconds that are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All arguments of `simulate` that belong to one call, but the bot and the caller."""

    seed: int = 0
    rate: int = 16000
    line: Line = field(default_factory=Line)
    info: CallInfo | None = None
    providers: Providers | None = None
    limit_s: float = 600.0
    record: Path | None = None
    progress: Progress | None = None
    transfers: Transfers | None = None
    losses: Sequence[AgentLoss] = ()
    by: Medium = "voice"

    def __post_init__(self) -> None:
        check_kind("seed", self.seed, int, "a whole number")
        check_kind("line", self.line, Line, "a Line, or None for a perfect one")
        check_kind("info", self.info, (CallInfo, type(None)), "a CallInfo, or None")
        check_kind(
            "providers", self.providers, (Providers, type(None)), "Providers, or None for the bot's own"
        )
        check_kind("record", self.record, (Path, type(None)), "the Path of a file, or None")
        check_callable("progress", self.progress, "a function, or None", or_kinds=type(None))
        outcomes = "a mapping of destinations to outcomes, a function, or None"
        check_callable("transfers", self.transfers, outcomes, or_kinds=(Mapping, type(None)))
        check_seconds("limit_s", self.limit_s)
        check_losses(self.losses)
        if self.by not in ("voice", "text"):
            raise ValueError(f"by={shown(self.by)}: a caller comes by 'voice' or by 'text'")
        if self.by == "text" and self.line != Line():
            raise ValueError("line: a text chat has no sound: leave it out, or by='text'")
        if self.losses and self.record is not None:
            raise ValueError("record: a recording is of one agent; leave it out, or losses")
        if self.rate not in (8000, 16000):
            raise ValueError(f"rate={shown(self.rate)}: a caller's line has 8000 or 16000 Hz")


def made_up_info(seed: int) -> CallInfo:
    """Return the info of a call: an id that follows the seed, and numbers that belong to nobody."""
    call_id = str(uuid.UUID(int=Random(f"call {seed}").getrandbits(128), version=4))
    return CallInfo(
        agent_id="simulated", call_id=call_id, from_number="+15550100", to_number="+15550199", kind="recorded"
    )
