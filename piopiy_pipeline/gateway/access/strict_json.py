"""JSON that can be passed on. No I/O.

What a client sends is passed on to agents, consoles and a database. Python reads JSON that these do not take:
lone surrogates, NaN, numbers that no float holds, a thousand brackets. It is refused where it comes in, before it can
break any of them.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

__all__ = ["read_json"]


def read_json(data: bytes | str) -> Any:
    """Return the value, or raise `ValueError`, which says what is wrong, for JSON that not everybody can read.

    That is: lone surrogates, NaN and infinities, numbers such as 1e999 that become one, integers of thousands of
    digits, more than some 200 levels, and what is no JSON at all.
    """
    value = from_json(data, allow_inf_nan=False)
    try:
        json.dumps(value, allow_nan=False)  # the reader takes 1e999 for an infinity
    except ValueError:
        raise ValueError("it has a number that is too large") from None
    return value
