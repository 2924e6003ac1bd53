"""The leg of a call of Piopiy's cloud whose room cannot be joined. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("piopiy_agent", reason="pip install 'piopiy-pipeline[cloud]'")

from piopiy_pipeline.gateway.cloud.room_leg import RoomLeg
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError
from piopiy_pipeline.testing import run_virtual


class Nowhere:
    """A job, its room and what can be asked of the cloud, in one: the room cannot be joined."""

    livekit_url = access_token = room_name = ""
    remaining_ms = 400
    settled = False

    def __init__(self) -> None:
        self.rejected: list[tuple[str, str]] = []

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        raise CloudRoomError("not joined within 400 ms")

    async def reject(self, reason: str = "", detail: str = "") -> None:
        self.rejected.append((reason, detail))

    async def leave(self) -> None: ...

    async def close(self) -> None: ...


def test_a_room_that_is_not_joined_is_an_error_of_the_call_and_no_caller_who_hangs_up() -> None:
    async def story() -> None:
        here: Any = Nowhere()
        failures: list[str] = []
        leg = RoomLeg(here, here, room=lambda listener: here, fail=failures.append, early=None)
        await leg.serve()
        assert here.rejected == [("ROOM_JOIN_FAILED", "not joined within 400 ms")]
        assert failures == ["the room: not joined within 400 ms"]

    run_virtual(story)
