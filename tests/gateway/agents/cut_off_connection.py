"""The program of `test_tcp_state`, which runs in a network of its own: what the system says of a line that is cut."""

from __future__ import annotations

import json
import socket
import time

from piopiy_pipeline.gateway.agents.tcp_state import unconfirmed_bytes
from tests.support.alone import ADDRESS, Cable

LIMIT_S = 5.0


def settled(connection: socket.socket) -> int | None:
    """Return what is not confirmed when nothing is any more, or after a while."""
    deadline = time.monotonic() + LIMIT_S
    while unconfirmed_bytes(connection) and time.monotonic() < deadline:
        time.sleep(0.01)
    return unconfirmed_bytes(connection)


def main() -> None:
    cable = Cable()
    with (
        socket.create_server((ADDRESS, 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", 0)) as connection,
    ):
        peer, _ = server.accept()
        with peer:  # which reads nothing, as a process that hangs
            connection.send(b"heartbeat")
            hung = settled(connection)
            cable.cut()
            connection.send(b"heartbeat")
            cut = unconfirmed_bytes(connection)
            cable.mend()
            mended = settled(connection)
    print(json.dumps({"hung": hung, "cut": cut, "mended": mended}))


if __name__ == "__main__":
    main()
