"""A checkpoint is kept when the gateway says so, and a tool that must not run twice waits for that. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from piopiy_pipeline.session.checkpoints import BEFORE_TOOL_S, MAX_WAITING, SAVE_S, Checkpoints
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


class Gateway:
    """Takes the checkpoints of one call, and confirms them after `after_s`; None: never."""

    def __init__(self, *, after_s: float | None = 0.1, confirms: bool = True) -> None:
        self.state: dict[str, Any] = {"step": 1}
        self.sent: list[Checkpoint] = []
        self._after_s = after_s
        self.checkpoints = Checkpoints(
            "call-1",
            post=self._take,
            author_state=lambda: self.state,
            resumed=None,
            confirmed=lambda: confirms,
        )

    def _take(self, message: AgentMessage) -> None:
        assert isinstance(message, Checkpoint)
        self.sent.append(message)
        if message.number is not None and self._after_s is not None:
            asyncio.get_running_loop().call_later(self._after_s, self.checkpoints.kept, message.number)

    @property
    def tools(self) -> list[tuple[str, str]]:
        """The tools of the last checkpoint, with their states."""
        return [(run["name"], run.get("state", "running")) for run in self.sent[-1].state.get("tools", [])]


def timed(act: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, float]:
    """What it returns, and how long it took, in seconds."""

    async def story() -> tuple[Any, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await act(), loop.time() - began

    return run_virtual(story)


def test_saving_returns_when_the_gateway_has_it() -> None:
    gateway = Gateway(after_s=0.3)
    saved, took_s = timed(gateway.checkpoints.save)
    assert saved is True
    assert took_s == pytest.approx(0.3)
    assert gateway.sent[-1].state["state"] == {"step": 1}


def test_saving_says_that_the_gateway_has_not_answered() -> None:
    gateway = Gateway(after_s=None)
    saved, took_s = timed(gateway.checkpoints.save)
    assert saved is False
    assert took_s == pytest.approx(SAVE_S)


def test_a_gateway_that_confirms_nothing_is_not_waited_for_and_has_the_state_all_the_same() -> None:
    gateway = Gateway(confirms=False)
    saved, took_s = timed(gateway.checkpoints.save)
    assert (saved, took_s, len(gateway.sent)) == (False, 0.0, 1)


def test_a_state_that_is_no_json_is_an_error_that_says_so() -> None:
    gateway = Gateway()
    gateway.state["when"] = object()
    with pytest.raises(ValueError, match="not JSON"):
        timed(gateway.checkpoints.save)
    assert gateway.sent == []


def test_so_many_wait_and_no_more() -> None:
    gateway = Gateway(after_s=None)

    async def story() -> list[bool]:
        return list(await asyncio.gather(*(gateway.checkpoints.save() for _ in range(MAX_WAITING + 1))))

    saved, took_s = timed(story)
    assert not any(saved)
    assert took_s == pytest.approx(SAVE_S)
    assert [one.number is None for one in gateway.sent] == [False] * MAX_WAITING + [True]


def test_a_tool_begins_when_the_gateway_knows_of_it() -> None:
    gateway = Gateway(after_s=0.3)
    permit, took_s = timed(lambda: gateway.checkpoints.begin("1", "book", {"people": 4}, idempotent=False))
    assert permit.instead is None
    assert permit.key
    assert took_s == pytest.approx(0.3)
    assert gateway.tools == [("book", "running")]
    gateway.checkpoints.end("1", {"booked": True})
    assert gateway.tools == [("book", "returned")]


def test_a_tool_of_which_the_gateway_does_not_know_is_not_run() -> None:
    gateway = Gateway(after_s=None)
    permit, took_s = timed(lambda: gateway.checkpoints.begin("1", "book", {"people": 4}, idempotent=False))
    assert "Not run" in permit.instead["error"]
    assert took_s == pytest.approx(BEFORE_TOOL_S)
    gateway.checkpoints.user_turn()
    assert gateway.tools == [], "it has not run, and the next instance need not ask"


def test_an_idempotent_tool_waits_for_nobody() -> None:
    gateway = Gateway(after_s=None)
    permit, took_s = timed(lambda: gateway.checkpoints.begin("1", "look_up", {}, idempotent=True))
    assert permit.instead is None
    assert took_s == 0.0
    assert gateway.tools == [("look_up", "running")]
