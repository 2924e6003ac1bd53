"""`url_parts`: the parts of an address that somebody has written, once it is known that it can be one."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["url_parts"]


def url_parts(text: str) -> SplitResult:
    """Return the parts of an address.

    Raises:
        ValueError: It has a space or an unprintable character in it, a port that is none, brackets that do not fit, or
            a host that no name server could be asked for.
    """
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"{text!r} is no address: there is a space in it, or a character that nobody sees")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address: what stands in brackets is no IPv6 address") from None
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is no address: its port is a number up to 65535"
        ) from None
    try:  # as whoever looks the name up does, who would raise this UnicodeError when nobody expects it
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError(
            f"{parts.hostname!r} is no host: between its dots stand 1 to 63 characters, which a name may have"
        ) from None
    return parts
