"""`NatsClient`: NATS' client, which sends nothing in clear where ``tls://`` was asked for, and never gives up.

The client of nats-py encrypts if the server says that it must, whatever the scheme of the address is: a server without
TLS, or somebody between who takes that word out of its first line, would be given the password in clear. Here that is
looked at before each CONNECT, the first one and those after a loss, since that is where the credentials are. nats-py
documents no place for that: `check` says at import what a release has renamed, because an override that nobody calls
any more would let passwords out without a word.
"""

from __future__ import annotations

import ssl
from typing import Any, NoReturn

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import AuthorizationError, Error

from piopiy_pipeline.compat import check_attributes, check_parameters

__all__ = ["NatsClient", "NotEncryptedError", "check"]

NATS = ">=2.9,<3"
"""The versions that this file was written for, as in pyproject.toml."""


class NotEncryptedError(Error):
    """A server whose address begins with ``tls://`` does not encrypt. Nothing was sent to it."""


class NatsClient(Client):
    """The client. Connect with a list of addresses that are all ``tls://``, or all ``nats://``."""

    trying = ""
    """The server that is spoken to now, or was last, as ``nats://host:port``."""

    async def _connect_to_server(self, s: Any) -> None:
        if self._transport:
            self._transport.close()  # of an attempt that was refused: else it waits for the garbage collector
        self.trying = f"{s.uri.scheme}://{s.uri.netloc}"
        await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._wants_tls and not info.get("tls_required"):
            if not info.get("tls_available"):
                self._refuse()
            info["tls_required"] = True  # it takes both, and is to encrypt
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        if self._wants_tls and not self.is_encrypted:
            self._refuse()
        command: bytes = super()._connect_command()
        return command

    async def _process_err(self, err_msg: str) -> None:
        """Connect again where the client would close for good: a password that was changed may be changed back."""
        text = err_msg.strip().strip("'")
        if "permissions violation" in text.lower():
            await super()._process_err(err_msg)
            return
        error = AuthorizationError() if "authorization violation" in text.lower() else Error(f"nats: {text}")
        self._err = error
        await self._process_op_err(error)
        await self._error_cb(error)

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent now is encrypted."""
        writer = getattr(self._transport, "_io_writer", None)
        return writer is not None and isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)

    def _refuse(self) -> NoReturn:
        if self._transport is not None:
            self._transport.close()  # the server would wait for a CONNECT
        raise NotEncryptedError

    @property
    def _wants_tls(self) -> bool:
        return self._current_server is not None and self._current_server.uri.scheme == "tls"


def check() -> None:
    """Check that nats-py is inside as this module needs it.

    Raises:
        CompatError: Says what an upgrade has changed.
    """
    overridden = ("_connect_to_server", "_process_info", "_connect_command", "_process_err")
    used = ("_transport", "_current_server", "_process_op_err", "_error_cb", "_err")
    needed = [*((Client, name) for name in (*overridden, *used)), (TcpTransport, "_io_writer")]
    check_attributes("nats-py", needed, written_for=NATS, used_in=__name__)
    check_parameters(
        "nats-py", Client._process_info, ("info", "initial_connection"), written_for=NATS, used_in=__name__
    )


check()
