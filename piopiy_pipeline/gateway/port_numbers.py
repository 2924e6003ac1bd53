"""`PortNumbers`: a range of ports in the settings, as ``"20000-20999"`` or ``[20000, 20999]``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

__all__ = ["PortNumbers", "port_numbers"]

_RANGE = re.compile(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", re.ASCII)
_EXPECTED = 'two ports from 1024 to 65535, the first not above the last, as "20000-20999"'


def port_numbers(text: str) -> tuple[int, int]:
    """Return the first and the last port of ``20000-20999``.

    Raises:
        ValueError: It is no range of ports that anybody may use.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{_EXPECTED}, not {text!r}")
    return _checked((int(found[1]), int(found[2])))


def _checked(ports: tuple[int, int]) -> tuple[int, int]:
    first, last = ports
    if not 1024 <= first <= last <= 65_535:
        raise ValueError(f"{_EXPECTED}, not {first}, {last}")
    return ports


def _read(value: Any) -> Any:
    if isinstance(value, str):
        return port_numbers(value)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(_EXPECTED)
    return value


PortNumbers = Annotated[tuple[int, int], BeforeValidator(_read), AfterValidator(_checked)]
"""The first and the last port of a range."""
