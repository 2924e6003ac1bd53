"""Dates: the day of an appointment, a date of birth."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date

from piopiy_pipeline.collect.calendar_days import day_of_keys, find_date
from piopiy_pipeline.collect.value_reader import Reading, ValueReader, Wording

__all__ = ["DateReader"]


class DateReader(ValueReader[date]):
    """Reads a date.

    Args:
        language: The caller's language.
        today: Returns the day of the call, where the caller is.
        past: Whether the date has been, such as a birthday; else it is to come.
        day_first: Whether 3/4 is the third of April.
        earliest: An earlier date is refused.
        latest: A later one is.
    """

    kind = "date"

    def __init__(
        self,
        language: str,
        *,
        today: Callable[[], date],
        past: bool,
        day_first: bool,
        earliest: date | None = None,
        latest: date | None = None,
    ) -> None:
        super().__init__(language)
        self._today = today
        self._past = past
        self._day_first = day_first
        self._earliest, self._latest = earliest, latest
        self._found: date | None = None

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        found = find_date(
            text, self.language, today=self._today(), past=self._past, day_first=self._day_first
        )
        return self._take(found)

    def press(self, keys: str, *, checking: bool = False) -> Reading:
        found = day_of_keys(
            re.sub(r".*\*", "", keys), today=self._today(), past=self._past, day_first=self._day_first
        )
        if found is None:
            self._found = None
            return Reading.INVALID if keys else Reading.NOTHING
        return self._take(found)

    def keys_suffice(self, keys: str) -> bool:
        return len(keys.rpartition("*")[2]) == 8

    def _take(self, found: date | None) -> Reading:
        if found is None:
            return Reading.NOTHING
        self._found = found
        return Reading.INVALID if self._too_early(found) or self._too_late(found) else Reading.WHOLE

    def _too_early(self, day: date) -> bool:
        """Whether a day is before what was asked for: one that has been is none to come, unless the author says so."""
        least = self._earliest or (None if self._past or self._ends_before_today else self._today())
        return least is not None and day < least

    @property
    def _ends_before_today(self) -> bool:
        return self._latest is not None and self._latest <= self._today()

    def _too_late(self, day: date) -> bool:
        most = self._latest or (self._today() if self._past else None)
        return most is not None and day > most

    @property
    def value(self) -> date:
        assert self._found is not None
        return self._found

    def spoken(self) -> str:
        if self._found is None:
            return ""
        try:
            locale = Locale.parse(self.language.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            locale = Locale("en")
        return str(format_date(self._found, "full", locale=locale))

    @property
    def model_task(self) -> str:
        today = self._today()
        return f"the date as YYYY-MM-DD (today is {today:%A}, {today.isoformat()})"

    def fault(self, words: Wording) -> str:
        if self._found is None:
            return words("date_wrong")
        return words("date_too_early" if self._too_early(self._found) else "date_too_late")

    def clear(self) -> None:
        self._found = None

    def state(self) -> Any:
        return None if self._found is None else self._found.isoformat()

    def restore(self, state: Any) -> None:
        self._found = None if state is None else date.fromisoformat(state)

    def to_json(self, value: date) -> Any:
        return value.isoformat()

    def from_json(self, value: Any) -> date:
        return date.fromisoformat(value)
