"""The leg of a call of Piopiy's cloud that is not accepted: its room or its bot was too slow. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("piopiy_agent", reason="pip install 'piopiy-pipeline[cloud]'")

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.cloud.room_leg import RoomLeg
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError
from piopiy_pipeline.testing import run_virtual
from tests.support.agents import logged


class Elsewhere:
    """A job, its room and what can be asked of the cloud, in one: the job goes to another worker."""

    livekit_url = access_token = room_name = identity = ""
    remaining_ms = 400
    settled = False

    def __init__(self) -> None:
        self.rejected: list[tuple[str, str]] = []
        self.hung_up: list[str] = []
        self.failures: list[tuple[EndReason, str]] = []

    def leg(self) -> RoomLeg:
        here: Any = self
        leg = RoomLeg(here, here, room=lambda listener: here, fail=self.fail, early=None)
        leg.attach(here)
        return leg

    def fail(self, reason: EndReason, detail: str) -> None:
        self.failures.append((reason, detail))

    def caller_hangup(self, now: float, detail: str = "") -> None:
        self.hung_up.append(detail)

    async def join(self, url: str, token: str, timeout_s: float) -> None: ...

    async def accept(self, *, participant_identity: str | None = None) -> bool:
        return False

    async def reject(self, reason: str = "", detail: str = "") -> None:
        self.rejected.append((reason, detail))

    async def leave(self) -> None: ...

    async def close(self) -> None: ...


class Nowhere(Elsewhere):
    """The room cannot be joined."""

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        raise CloudRoomError("not joined within 400 ms")


def test_a_room_that_is_not_joined_is_an_error_of_the_call_and_no_caller_who_hangs_up() -> None:
    async def story() -> None:
        here = Nowhere()
        await here.leg().serve()
        assert here.rejected == [("ROOM_JOIN_FAILED", "not joined within 400 ms")]
        assert here.failures == [(EndReason.ERROR, "the room: not joined within 400 ms")]
        assert not here.hung_up

    run_virtual(story)


@pytest.mark.parametrize("ready", [False, True], ids=["the bot", "the answer"])
def test_a_bot_that_is_too_slow_for_the_cloud_is_no_caller_who_hangs_up(ready: bool) -> None:
    async def story() -> None:
        here = Elsewhere()
        leg = here.leg()
        if ready:
            leg.answer()
        await leg.serve()
        (reason, detail) = here.failures[0]
        assert reason is EndReason.SETUP_TIMEOUT
        assert ("another worker" if ready else "could not hear and speak") in detail
        assert here.rejected == ([] if ready else [("CONFIG_ERROR", detail)])
        assert not here.hung_up

    run_virtual(story)


class Joining(Elsewhere):
    """The room is being joined, for as long as the test takes."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.steps.append("joined no more")

    async def leave(self) -> None:
        self.steps.append("left")


def test_a_caller_who_gives_up_while_the_room_is_joined_leaves_no_bot_behind_in_it() -> None:
    async def story() -> None:
        here = Joining()
        serving = asyncio.create_task(here.leg().serve())
        await asyncio.sleep(0.1)
        serving.cancel()  # as the cloud withdraws a job
        await asyncio.wait((serving,))
        assert here.steps == ["joined no more", "left"]
        assert here.hung_up == ["Piopiy's cloud has withdrawn the call"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(story)


def test_keys_that_wait_for_the_caller_are_bounded_and_the_log_says_so() -> None:
    async def story() -> None:
        leg = Elsewhere().leg()
        with logged() as lines:
            leg.dtmf("1" * 64)
            leg.dtmf("23")
        assert lines == [(None, "WARNING 2 keys were not sent to the caller: too many wait for them")]

    run_virtual(story)
