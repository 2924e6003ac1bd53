"""Keeps keys, tokens and passwords out of a capture.

Of a service only the settings named in `content.py` are written. That leaves what people and providers put
into texts: an error message that quotes a key, or a header in a tool's arguments. Such values are recognised
by where they come from (the environment, the attributes of the services), by their look, and by the name
under which they stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["HIDDEN", "Scrubber", "secrets_of", "secrets_of_environment"]

HIDDEN = "[secret]"
SHORTEST = 10
"""A shorter value cannot be told from an ordinary word, so it is not treated as a secret."""

_NAME = re.compile(
    r"(api|access|auth|private|secret|caller|account|agent)[_-]?(key|token)|secret|passw(or)?d"
    r"|authorization|credential|bearer|(^|[_-])(token|key)$",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"max_|_count|tokens|_url$|_path$|_file$|_id$", re.IGNORECASE)
_LOOKS = (
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)\bauthorization\s*[:=]\s*[\"']?[^\s\"',}]{8,}"),
    re.compile(r"\b(?:sk|pk|rk|xai|gsk|ghp|xoxb)[-_][A-Za-z0-9_*-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)


class Scrubber:
    """Replaces secrets in JSON values by `HIDDEN`.

    Args:
        secrets: Values that are known to be secrets.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Treat these values as secrets, too, from now on."""
        self._known |= {secret for secret in secrets if _can_be_secret(secret)}
        ordered = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return `text` with every known secret, and everything that looks like one, replaced."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        for look in _LOOKS:
            text = look.sub(HIDDEN, text)
        return text

    def value(self, value: Any) -> Any:
        """Return a JSON value with its secrets replaced, and with every text under the name of a secret replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): HIDDEN if _is_name(key) and isinstance(item, str) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


def secrets_of_environment(environment: Mapping[str, str] | None = None) -> set[str]:
    """Return the values of environment variables that are named like a key, a token or a password."""
    found = os.environ if environment is None else environment
    return {value for name, value in found.items() if _is_name(name)}


def secrets_of(service: object) -> set[str]:
    """Return the values of attributes named like a secret, of a service and of the client that it holds."""
    found: set[str] = set()
    for owner in (service, getattr(service, "_client", None)):
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, str) and _is_name(name):
                found.add(value)
    return found


def _is_name(name: str) -> bool:
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None


def _can_be_secret(value: str) -> bool:
    return len(value) >= SHORTEST and not any(character.isspace() for character in value)
