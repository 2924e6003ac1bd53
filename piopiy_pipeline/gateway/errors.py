"""The exceptions that the gateway raises for what its operator can put right."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["CannotListenError", "GatewayError", "unusable"]


class GatewayError(Exception):
    """Something that the operator can put right. The text says what is wrong, where, and what to do about it."""


class CannotListenError(GatewayError):
    """A port of the gateway cannot be had: another one would do."""


def unusable(error: OSError, *files: Path | None) -> str:
    """Return why TLS cannot use these files: which of them cannot be read, else what `error` says, without numbers."""
    for file in files:
        try:
            if file is not None:
                file.open("rb").close()
        except OSError as unread:
            return f"{file}: {unread.strerror}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return "PEM files are expected: a certificate chain, and its private key without a passphrase"
    return error.strerror or str(error)
