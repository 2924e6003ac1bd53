"""`nats_trouble`: what went wrong with NATS, in words for operators. The client's own are for programmers."""

from __future__ import annotations

import re

from nats.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    Error,
    MaxPayloadError,
    NoRespondersError,
    StaleConnectionError,
)
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

__all__ = ["is_without_jetstream", "nats_trouble"]

_BY_CODE = {
    10023: "JetStream has not enough memory or disk left for it: see its max_file_store",
    10028: "JetStream has no more room in this account: see its limits",
    10039: "JetStream is not enabled for this gateway's account",
    10047: "JetStream has not enough disk left for it: see its max_file_store",
    10076: "the servers run without JetStream",
    10077: "the bucket is full",
}
"""By the numbers of the server's errors.json."""
_WITHOUT = (None, 10039, 10076)
"""Of those of a `ServiceUnavailableError`: None is that nobody answers where JetStream would."""
_RAW = re.compile(r"=|None|\bsid\b")
"""What no words have, but the client's representations of its objects do."""
_NONE = "the servers run without JetStream, or it is starting"


def is_without_jetstream(error: Exception) -> bool:
    """Return whether the servers have no JetStream, and not one that cannot answer now."""
    if isinstance(error, ServiceUnavailableError):
        return error.err_code in _WITHOUT
    return isinstance(error, NoRespondersError)


def nats_trouble(error: Exception) -> str:
    """Return what an error of NATS, of the operating system or of a message means, in words."""
    match error:
        case APIError(err_code=int(code)) if code in _BY_CODE:
            return _BY_CODE[code]
        case APIError(description=str(text)) if text:
            return f"JetStream says: {text}"
        case ServiceUnavailableError() | NoRespondersError() | NoStreamResponseError():
            return _NONE
        case TimeoutError():
            return "the servers do not answer in time"
        case ConnectionClosedError() | ConnectionReconnectingError() | StaleConnectionError():
            return "the connection to the servers is lost"
        case MaxPayloadError():
            return "the message is longer than max_payload of the servers"
        case Error() if (text := str(error).removeprefix("nats: ").strip(" '\"")) and not _RAW.search(text):
            return text
        case Error():
            return f"an error without a text: {type(error).__name__}"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error) or type(error).__name__
