"""Values that the caller gives, asked for by code and not by the model: digits, numbers, dates, addresses, a yes.

    number = await collect_phone_number(call, prompt="What number can we call you back on?", region="DE")
    print(number.value, number.how)

See docs/collecting.md.
"""

from __future__ import annotations

from piopiy_pipeline.collect.as_tool import as_tool
from piopiy_pipeline.collect.collected import Collected, NotCollected, NoValueReason
from piopiy_pipeline.collect.functions import (
    collect_address,
    collect_date,
    collect_digits,
    collect_email,
    collect_phone_number,
    collect_value,
    confirm,
)
from piopiy_pipeline.collect.phrases import CollectPhrases, collect_phrases_in
from piopiy_pipeline.collect.postal_address import Address
from piopiy_pipeline.collect.value_reader import Reading, ValueReader

__all__ = [
    "Address",
    "CollectPhrases",
    "Collected",
    "NoValueReason",
    "NotCollected",
    "Reading",
    "ValueReader",
    "as_tool",
    "collect_address",
    "collect_date",
    "collect_digits",
    "collect_email",
    "collect_phone_number",
    "collect_phrases_in",
    "collect_value",
    "confirm",
]
