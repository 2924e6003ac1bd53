"""JSON that can be passed on. No I/O.

What a client sends is passed on to agents, consoles and a database. Python reads JSON that these do not take:
lone surrogates, NaN, a thousand brackets. It is refused where it comes in, before it can break any of them.
"""

from __future__ import annotations

from pydantic_core import from_json

__all__ = ["check_json"]


def check_json(data: bytes | str) -> None:
    """Raise `ValueError`, which says what is wrong and where, for JSON that not everybody can read.

    That is: lone surrogates, NaN and infinities, more than some 200 levels, and what is no JSON at all.
    """
    from_json(data, allow_inf_nan=False)
