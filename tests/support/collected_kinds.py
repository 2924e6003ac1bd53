"""Each kind of value that is collected, and what callers say for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from piopiy_pipeline.collect import (
    Address,
    collect_address,
    collect_date,
    collect_digits,
    collect_email,
    collect_phone_number,
    confirm,
)
from tests.support.collecting import Form

__all__ = ["EACH", "KINDS", "TODAY", "Kind"]

TODAY = date(2026, 11, 29)


@dataclass(frozen=True)
class Kind:
    """One kind of value, and what callers say for it."""

    form: Form
    value: Any
    right: Sequence[str]
    wrong: str
    """What is no such value: it is asked for again."""
    corrected: Sequence[str]
    """First something else, and then a correction to `value`."""
    prompt: str


KINDS = {
    "digits": Kind(
        lambda call: collect_digits(call, prompt="What is your code?", length=4, read_back=True),
        "4157",
        ["four one five seven", "yes"],
        "one two three four five six seven",
        ["four one five six", "no, seven not six", "yes"],
        "What is your code",
    ),
    "phone_number": Kind(
        lambda call: collect_phone_number(call, prompt="What is your number?", region="DE"),
        "+4930123456",
        ["zero three zero one two three four five six", "that's right"],
        "nine nine nine nine nine nine nine nine nine nine nine nine nine nine nine",
        ["zero three zero one two three four five five", "the last digit is six", "yes"],
        "What is your number",
    ),
    "email": Kind(
        lambda call: collect_email(call, prompt="What is your mail address?"),
        "anna.smith@gmail.com",
        ["anna dot smith at gmail dot com", "yes correct"],
        "anna dot smith at gmail dot",
        ["anna dot smith at hotmail dot com", "no, gmail not hotmail", "yes"],
        "What is your mail address",
    ),
    "date": Kind(
        lambda call: collect_date(call, prompt="On which day?", today=TODAY, earliest=TODAY),
        date(2026, 12, 4),
        ["next Friday", "yes"],
        "the fifth of May nineteen eighty four",
        ["on Thursday", "no, Friday", "yes"],
        "On which day",
    ),
    "address": Kind(
        lambda call: collect_address(call, prompt="What is your address?", region="US"),
        Address("23 Main Street, Portland, Oregon 97201", "23 Main Street", "97201", "Portland, Oregon"),
        ["twenty three Main Street", "Portland, Oregon nine seven two zero one", "yes"],
        "no",
        ["23 Maine Street, Portland, Oregon 97201", "no, Main not Maine", "yes"],
        "What is your address",
    ),
    "confirm": Kind(
        lambda call: confirm(call, "Shall I book it?"),
        True,
        ["yes"],
        "maybe",
        ["maybe", "yes please"],
        "Shall I book",
    ),
}
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
