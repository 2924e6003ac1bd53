"""A checkpoint is kept when the gateway says so, and a tool that must not run twice waits for that. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from piopiy_pipeline.session.checkpoints import (
    BEFORE_TOOL_S,
    MAX_WAITING,
    SAVE_S,
    Checkpoints,
    ConversationSource,
)
from piopiy_pipeline.session.resumable_state import ResumableState, resumable_from
from piopiy_pipeline.session.saves import SAVES_PER_S
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, parse_agent_message
from piopiy_pipeline.signaling.unread_messages import legible
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.test_json_values import nested


class Gateway:
    """Takes the checkpoints of one call, and confirms them after `after_s`; None: never."""

    def __init__(
        self,
        *,
        after_s: float | None = 0.1,
        confirms: bool = True,
        resumed: ResumableState | None = None,
    ) -> None:
        self.state: Any = {"step": 1}
        self.faults: list[str] = []
        self.sent: list[Checkpoint] = []
        self._after_s = after_s
        self.checkpoints = Checkpoints(
            "call-1",
            post=self._take,
            author_state=lambda: self.state,
            resumed=resumed,
            confirmed=lambda: confirms,
            on_fault=self.faults.append,
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


def test_saves_at_the_same_time_share_one_that_carries_the_newest() -> None:
    gateway = Gateway(after_s=0.3)

    async def story() -> list[bool]:
        first = asyncio.ensure_future(gateway.checkpoints.save())
        await asyncio.sleep(0.1)
        others = []
        for step in range(2, 1002):
            gateway.state["step"] = step
            others.append(gateway.checkpoints.save())
        return list(await asyncio.gather(first, *others))

    saved, took_s = timed(story)
    assert all(saved)
    assert [one.state["state"]["step"] for one in gateway.sent] == [1, 1001]
    assert took_s == pytest.approx(0.6)


def test_saving_in_a_loop_is_bounded_and_gives_way_to_others() -> None:
    gateway = Gateway(after_s=0.001)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async def story() -> int:
        beside = asyncio.ensure_future(other())
        loop = asyncio.get_running_loop()
        saves, until = 0, loop.time() + 10
        while loop.time() < until:
            assert await gateway.checkpoints.save()
            saves += 1
        beside.cancel()
        return saves

    saves, _ = timed(story)
    assert saves <= SAVES_PER_S * 10 + 2 * SAVES_PER_S + 1
    assert len(gateway.sent) == saves
    assert turns > 900


def test_a_save_that_is_given_up_leaves_the_others_theirs() -> None:
    gateway = Gateway(after_s=0.3)

    async def story() -> bool:
        first = asyncio.ensure_future(gateway.checkpoints.save())
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(gateway.checkpoints.save())
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    saved, took_s = timed(story)
    assert saved is True
    assert took_s == pytest.approx(0.5)


def test_tools_of_which_the_gateway_says_nothing_do_not_pile_up() -> None:
    gateway = Gateway(after_s=None)

    async def story() -> None:
        begins = [
            gateway.checkpoints.begin(str(number), "book", {}, idempotent=False)
            for number in range(MAX_WAITING + 1)
        ]
        await asyncio.gather(*begins)

    _, took_s = timed(story)
    assert took_s == pytest.approx(BEFORE_TOOL_S)
    assert [one.number is None for one in gateway.sent] == [False] * MAX_WAITING + [True]


# ---------------------------------------------------------------------- what cannot be saved


def test_a_state_that_cannot_be_saved_is_left_as_it_was_and_told_once() -> None:
    gateway = Gateway()
    said: list[dict[str, Any]] = [{"role": "user", "content": "a table"}]
    gateway.checkpoints.source = ConversationSource(lambda: said, lambda: None, tuple)
    gateway.checkpoints.user_turn()
    gateway.state = {"step": 2, "order": {"when": object()}}
    said.append({"role": "assistant", "content": "For how many?"})
    gateway.checkpoints.bot_turn()
    said.append({"role": "user", "content": "four"})
    gateway.checkpoints.user_turn()
    assert [len(one.state["messages"]) for one in gateway.sent] == [1, 2, 3]
    assert [one.state["state"] for one in gateway.sent] == [{"step": 1}] * 3
    assert gateway.faults == ["call.state['order']['when'] is of type object, which is not JSON"]
    gateway.state = {"step": 3}
    gateway.checkpoints.user_turn()
    assert gateway.sent[-1].state["state"] == {"step": 3}


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"tree": nested(400)}, "call.state['tree'][0][0][0]… nests more than 100 deep"),
        ({"big": "x" * 2_000_000}, "call.state is too long: "),
        ([1], "call.state is of type list, and must be a dict"),
    ],
)
def test_the_conversation_is_saved_without_a_bad_state_from_the_beginning(state: Any, fault: str) -> None:
    gateway = Gateway()
    gateway.state = state
    gateway.checkpoints.source = ConversationSource(
        lambda: [{"role": "user", "content": "a table"}], lambda: None, tuple
    )
    gateway.checkpoints.user_turn()
    [sent] = gateway.sent
    assert (sent.state["state"], len(sent.state["messages"])) == ({}, 1)
    [told] = gateway.faults
    assert told.startswith(fault)
    with pytest.raises(ValueError) as raised:
        timed(gateway.checkpoints.save)
    assert str(raised.value).startswith(fault)


def test_a_conversation_that_cannot_be_saved_does_not_keep_the_state_back() -> None:
    gateway = Gateway()
    said: list[Any] = [{"role": "user", "content": "a table"}]
    gateway.checkpoints.source = ConversationSource(lambda: said, lambda: None, tuple)
    gateway.checkpoints.user_turn()
    said.append({"role": "user", "content": nested(500)})
    gateway.state["step"] = 2
    gateway.checkpoints.user_turn()
    assert (len(gateway.sent[-1].state["messages"]), gateway.sent[-1].state["state"]) == (1, {"step": 2})
    assert gateway.faults[0].startswith("the conversation[1]['content'][0][0]… nests")


def test_what_a_model_writes_and_a_tool_returns_is_abbreviated_in_the_journal() -> None:
    gateway = Gateway()

    async def story() -> None:
        for number in range(60):
            arguments = {"x": nested(300) if number % 2 else "y" * 500_000}
            await gateway.checkpoints.begin(str(number), "look", arguments, idempotent=True)
            gateway.checkpoints.end(str(number), nested(300) if number % 2 else ["z" * 500_000])

    timed(story)
    texts = [legible(one) for one in gateway.sent]
    assert len(texts) == 120
    assert all(isinstance(parse_agent_message(text), Checkpoint) for text in texts)


# ---------------------------------------------------------------------- the first checkpoint


def test_the_first_checkpoint_says_that_the_call_has_begun_and_nobody_has_spoken() -> None:
    gateway = Gateway()
    gateway.checkpoints.source = ConversationSource(
        lambda: [{"role": "system", "content": "Be brief."}], lambda: None, tuple
    )
    gateway.checkpoints.answered()
    [first] = gateway.sent
    begun = Gateway(resumed=resumable_from(first.state))
    assert begun.checkpoints.conversation == []
    heard = Gateway(resumed=resumable_from(first.state, "Hello, this is"))
    assert heard.checkpoints.conversation is not None
    assert [one["role"] for one in heard.checkpoints.conversation] == ["system", "assistant", "developer"]
    heard.checkpoints.answered()
    assert heard.sent == [], "the gateway has what was heard, and would count it twice"
    gateway.checkpoints.bot_turn()
    after = Gateway(resumed=resumable_from(gateway.sent[-1].state))
    assert after.checkpoints.conversation == [{"role": "system", "content": "Be brief."}]
    assert Gateway().checkpoints.conversation is None


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


# ---------------------------------------------------------------------- parts of the call


def test_parts_of_the_call_are_kept_under_their_names() -> None:
    async def story() -> None:
        gateway = Gateway()
        gateway.checkpoints.parts["flow"] = lambda: {"node": "menu"}
        gateway.checkpoints.parts["nothing"] = lambda: None
        gateway.checkpoints.part_changed()
        assert gateway.sent[-1].state["parts"] == {"flow": {"node": "menu"}}
        next_one = Gateway(resumed=resumable_from(gateway.sent[-1].state))
        assert next_one.checkpoints.kept_part("flow") == {"node": "menu"}
        assert next_one.checkpoints.kept_part("nothing") is None
        next_one.checkpoints.bot_turn()  # by an instance that does not know the part
        assert next_one.sent[-1].state["parts"] == {"flow": {"node": "menu"}}

    run_virtual(story)


def test_a_part_that_is_no_json_is_kept_as_it_was() -> None:
    async def story() -> None:
        gateway = Gateway()
        kept: dict[str, Any] = {"node": "menu"}
        gateway.checkpoints.parts["flow"] = lambda: kept
        gateway.checkpoints.bot_turn()
        kept["node"] = object()
        gateway.checkpoints.bot_turn()
        assert gateway.sent[-1].state["parts"] == {"flow": {"node": "menu"}}
        assert len(gateway.faults) == 1

    run_virtual(story)
