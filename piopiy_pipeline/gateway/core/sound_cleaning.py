"""Which calls of a gateway have their sound cleaned: noise and echo, by the kind of leg. No I/O.

It costs CPU for as long as a call lasts, so it is off unless asked for, and only so many calls have it at a time.
A call beyond that goes on uncleaned.
"""

from __future__ import annotations

from collections.abc import Mapping

from loguru import logger

from piopiy_pipeline.audio.sound_cleaner import PACKAGE_MISSING, CleanSound, SoundCleaner, can_clean
from piopiy_pipeline.call import CallInfo, CallKind

__all__ = ["SoundCleaning"]


class SoundCleaning:
    """Gives calls their `SoundCleaner`s, and counts them.

    Args:
        by_kind: What is cleaned in calls of each kind of leg; kinds that are missing are not cleaned.
        limit: How many calls are cleaned at a time.
    """

    def __init__(self, by_kind: Mapping[CallKind, CleanSound] | None = None, *, limit: int = 40) -> None:
        self._by_kind = dict(by_kind or {})
        self._limit = limit
        self._cleaned = 0

    @property
    def cleaned(self) -> int:
        """How many calls are cleaned now."""
        return self._cleaned

    def begin(self, info: CallInfo, rate: int, what: CleanSound | None = None) -> SoundCleaner | None:
        """Begin to clean a call. Each cleaner is given back once, by `end`.

        Args:
            info: The call.
            rate: The sample rate of its leg in Hz.
            what: What this call asks for; None: what its kind of leg has.

        Returns:
            None if nothing is to be cleaned, or nothing can be: that is logged.
        """
        wanted = self._by_kind.get(info.kind, "off") if what is None else what
        if wanted == "off":
            return None
        log = logger.bind(call_id=info.call_id)
        if self._cleaned >= self._limit:
            log.warning(
                "the sound of this call is not cleaned: {} others are (clean_sound_calls)", self._cleaned
            )
            return None
        if not can_clean(rate):
            log.warning("the sound of this call is not cleaned: its leg has {} Hz", rate)
            return None
        try:
            cleaner = SoundCleaner(wanted, rate)
        except ImportError:
            log.warning("the sound of this call is not cleaned: {}", PACKAGE_MISSING)
            return None
        self._cleaned += 1
        return cleaner

    def end(self, cleaner: SoundCleaner) -> None:
        """Take back what `begin` returned: the call is over, or is no longer cleaned."""
        self._cleaned -= 1
