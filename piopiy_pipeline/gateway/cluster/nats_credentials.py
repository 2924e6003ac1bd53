"""Whether a file of credentials for NATS can be used, before a gateway starts with it."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

__all__ = ["check_credentials"]

MOST_BYTES = 64 << 10
_JWT = re.compile(rb"-+BEGIN NATS USER JWT-+\s+([\w-]+\.[\w-]+\.[\w-]+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(rb"-+BEGIN USER NKEY SEED-+\r?\n(SU[A-Z2-7]{56})\s+-+END USER NKEY SEED-+")
HOW = "nsc generate creds, or whoever runs the NATS servers, makes one"


def check_credentials(path: Path) -> None:
    """Read a ``.creds`` file as NATS' client will.

    Raises:
        ValueError: It is none, in a sentence for operators that has nothing of what is in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
    except OSError as error:
        raise ValueError(f"credentials: {str(path)!r} cannot be read: {error.strerror}") from None
    seed = _SEED.search(text)
    missing = "NATS USER JWT" if _JWT.search(text) is None else "USER NKEY SEED" if seed is None else ""
    if seed is None or missing:
        raise ValueError(f"credentials: {str(path)!r} is no .creds file: it has no {missing}: {HOW}")
    key = base64.b32decode(seed[1] + b"======")
    if binascii.crc_hqx(key[:-2], 0) != int.from_bytes(key[-2:], "little"):  # NATS' client does not look
        raise ValueError(f"credentials: the seed in {str(path)!r} was not copied whole: {HOW}")
