"""Large checkpoints wait for their connection, the newest of each call, and do not fill it. In virtual time."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.agent.late_checkpoints import FULL_BYTES, LateCheckpoints
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES, Checkpoint
from piopiy_pipeline.signaling.websocket import TEXT_LIMIT_BYTES
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

LARGE = 900_000


class SlowNetwork:
    """Takes so many bytes a second, and counts what waits."""

    def __init__(self, bytes_a_second: float) -> None:
        self.sent: list[Checkpoint] = []
        self.most = 0
        self._rate = bytes_a_second
        self._waits = 0.0
        self._at = asyncio.get_running_loop().time()
        self.checkpoints = LateCheckpoints(self._send, self.waiting)

    def waiting(self) -> int:
        now = asyncio.get_running_loop().time()
        self._waits = max(0.0, self._waits - (now - self._at) * self._rate)
        self._at = now
        return int(self._waits)

    def _send(self, checkpoint: Checkpoint) -> None:
        self.sent.append(checkpoint)
        self._waits = self.waiting() + LARGE
        self.most = max(self.most, int(self._waits))


def checkpoint(call: int, step: int, number: int | None = None) -> Checkpoint:
    return Checkpoint(call_id=f"call-{call}", state={"step": step}, number=number)


def test_many_large_checkpoints_at_once_do_not_fill_the_connection() -> None:
    async def story() -> SlowNetwork:
        network = SlowNetwork(5e6)
        for step in range(32):
            for call in range(10):
                network.checkpoints.post(checkpoint(call, step, step))
        await asyncio.sleep(10)
        return network

    network = run_virtual(story)
    assert network.most < FULL_BYTES + MAX_MESSAGE_BYTES < TEXT_LIMIT_BYTES
    newest = {one.call_id: one for one in network.sent}
    assert [newest[f"call-{call}"] for call in range(10)] == [checkpoint(call, 31, 31) for call in range(10)]
    assert len(network.sent) <= 11


def test_the_number_of_a_checkpoint_that_is_replaced_is_confirmed_by_the_one_that_replaces_it() -> None:
    async def story() -> SlowNetwork:
        network = SlowNetwork(5e6)
        network.checkpoints.post(checkpoint(1, 1))
        network.checkpoints.post(checkpoint(1, 2, 7))
        network.checkpoints.post(checkpoint(1, 3))
        await asyncio.sleep(2)
        return network

    assert run_virtual(story).sent == [checkpoint(1, 1), checkpoint(1, 3, 7)]


def test_nothing_of_an_old_connection_goes_over_the_next() -> None:
    async def story() -> SlowNetwork:
        network = SlowNetwork(5e6)
        network.checkpoints.post(checkpoint(1, 1))
        network.checkpoints.post(checkpoint(1, 2))
        network.checkpoints.forget()
        await asyncio.sleep(2)
        network.checkpoints.post(checkpoint(1, 3))
        return network

    assert run_virtual(story).sent == [checkpoint(1, 1), checkpoint(1, 3)]
