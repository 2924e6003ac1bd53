"""`StreamLimits`: how much the stages of one call may stream, as values that an author can raise."""

from __future__ import annotations

from dataclasses import dataclass, fields

from piopiy_pipeline.arguments import check_kind, shown

__all__ = ["StreamLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """The bounds of what the models, the voices and the other stages of one call may stream.

    A provider that is well meets none of them. One that streams without end meets them before the other
    calls of the process notice: its answer is cut, the record of the call says so (event `error`, with the
    stage and the bound), and if the stream goes on all the same, its call ends.

    Raises:
        TypeError: A limit is no number.
        ValueError: A limit is not more than 0.
    """

    answer_s: float = 600
    """The longest answer, in seconds of speech."""
    answer_chars: int = 12_000
    """The longest answer, in characters that are said."""
    written_chars: int = 100_000
    """The longest answer with all that is not said, such as thoughts, in characters."""
    tools_an_answer: int = 32
    """So many tools a model may use at once; it is told that the others did not run."""
    tools_a_call: int = 500
    """So many in one call."""
    ahead_s: float = 120
    """How much speech a voice may have made that nobody has heard yet, in seconds; then the voice waits."""
    frames_a_second: int = 500
    """So many frames a second a stage may push in the long run beside those that it passes on; more of them
    wait. A frame with much in it counts as one for each 2,000 bytes of audio or 200 characters."""
    burst_frames: int = 2000
    """So many of them at once."""
    flood_s: float = 10
    """A stage that pushes more than that for so many seconds has failed."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            check_kind(f"StreamLimits({each.name}=...)", value, (int, float), "a number")
            if not 0 < value < float("inf"):
                raise ValueError(
                    f"StreamLimits({each.name}={shown(value)}): it must be more than 0, and finite"
                )
