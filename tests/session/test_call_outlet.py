"""One call cannot spend what all calls of its agent may send, and loses nothing that counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from piopiy_pipeline.session.call_outlet import EVENTS_PER_S, UPDATES_PER_S, CallOutlet
from piopiy_pipeline.session.saves import SAVES_PER_S
from piopiy_pipeline.signaling.gateway_protocol import GatewayProtocol
from piopiy_pipeline.signaling.messages import (
    AgentMessage,
    Answer,
    Checkpoint,
    Control,
    ConversationEvent,
    dump,
)
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


def event(number: int) -> ConversationEvent:
    return ConversationEvent(call_id="call-1", at=0, event="tool", data={"number": number})


def checkpoint(step: int, number: int | None = None) -> Checkpoint:
    return Checkpoint(call_id="call-1", state={"step": step}, number=number)


def test_a_call_that_sends_in_a_loop_does_not_cost_its_agent_s_connection() -> None:
    sent: list[AgentMessage] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        gateway = GatewayProtocol(agent_ids=["desk"], now=loop.time())
        register = {"type": "register", "agent_id": "desk", "instance_id": "one", "capacity": 1}
        gateway.receive(json.dumps(register).encode(), loop.time())

        def post(message: AgentMessage) -> None:
            sent.append(message)
            assert gateway.receive(dump(message).encode(), loop.time()).close is None

        outlet = CallOutlet(post)
        for number in range(3000):
            outlet.post(event(number))
            outlet.post(checkpoint(number, number))
            for what in ("hold", "mute", "record", "clean_sound"):
                outlet.post(
                    Control.model_validate({"call_id": "call-1", "what": what, "on": number % 2 == 0})
                )
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)

    run_virtual(story)
    assert sum(isinstance(one, ConversationEvent) for one in sent) <= EVENTS_PER_S * 32
    assert sum(not isinstance(one, ConversationEvent) for one in sent) <= UPDATES_PER_S * 33
    newest: dict[str, Any] = {one.what: one.on for one in sent if isinstance(one, Control)}
    assert newest == dict.fromkeys(("hold", "mute", "record", "clean_sound"), False)
    assert [one for one in sent if isinstance(one, Checkpoint)][-1].state == {"step": 2999}


def test_the_shares_of_a_call_are_less_than_a_gateway_allows_it() -> None:
    assert EVENTS_PER_S + UPDATES_PER_S < GatewayProtocol.MESSAGES_PER_S
    assert SAVES_PER_S < UPDATES_PER_S


def test_what_comes_seldom_goes_out_at_once_and_in_order() -> None:
    sent: list[AgentMessage] = []

    async def story() -> None:
        outlet = CallOutlet(sent.append)
        outlet.post(Answer(call_id="call-1"))
        outlet.post(checkpoint(1))
        outlet.post(event(1))
        outlet.post(checkpoint(2, 7))

    run_virtual(story)
    assert sent == [Answer(call_id="call-1"), checkpoint(1), event(1), checkpoint(2, 7)]


def test_a_checkpoint_that_replaces_another_is_confirmed_for_it() -> None:
    sent: list[AgentMessage] = []

    async def story() -> None:
        outlet = CallOutlet(sent.append)
        for _ in range(2 * UPDATES_PER_S):
            outlet.post(checkpoint(0))
        outlet.post(checkpoint(1, 5))
        outlet.post(checkpoint(2))
        await asyncio.sleep(1)

    run_virtual(story)
    assert sent[2 * UPDATES_PER_S :] == [checkpoint(2, 5)]


@pytest.mark.parametrize("ends", [True, False])
def test_nothing_follows_the_end_of_the_call(ends: bool) -> None:
    sent: list[AgentMessage] = []

    async def story() -> None:
        outlet = CallOutlet(sent.append)
        for step in range(100):
            outlet.post(checkpoint(step))
        if ends:
            outlet.close()
        await asyncio.sleep(1)

    run_virtual(story)
    assert (sent[-1] == checkpoint(99)) is not ends
