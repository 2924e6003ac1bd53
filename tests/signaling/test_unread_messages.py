"""Whatever the data of a call is, the connection that all calls of its agent share stays open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.checkpoints import ConversationSource
from piopiy_pipeline.session.live_events import LiveEvents
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol
from piopiy_pipeline.signaling.gateway_protocol import GatewayProtocol
from piopiy_pipeline.signaling.messages import (
    MAX_MESSAGE_BYTES,
    AgentMessage,
    Checkpoint,
    Control,
    ConversationEvent,
    Ended,
    Hangup,
    Offer,
    Registered,
    dump,
    parse_agent_message,
)
from piopiy_pipeline.signaling.unread_messages import UnreadMessage, legible, unread_of
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.text import well_formed
from tests.test_json_values import HOLDS_ITSELF, nested

CASES = int(os.environ.get("PROPERTY_CASES", "60"))
INFO = CallInfo("desk", "call-1", None, None, None, "browser")


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


ODD = st.one_of(
    st.integers(1, 1200).map(nested),
    st.integers(1, 1200).map(
        lambda depth: {"x": json.loads('{"a":' * (depth % 900) + "1" + "}" * (depth % 900))}
    ),
    st.sampled_from(["é", '"', "\0", "\ud800", "[", "\U0001f600"]).flatmap(
        lambda one: st.sampled_from([1, 70_000, 300_000, 1_200_000]).map(lambda size: one * size)
    ),
    st.sampled_from(
        [
            float("nan"),
            float("inf"),
            10**400,
            10**4299,
            -(10**5000),
            b"\xff",
            {1, 2},
            object(),
            Unspeakable(),
            HOLDS_ITSELF,
            {(1, 2): 3},
            {1: "a", None: "b", False: "c"},
            {"call_id": "call-2", "type": "hangup"},
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(st.characters() | st.characters(categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    ),
)


class Pair:
    """A gateway's and an agent's end of one connection; each message of the call is read by the real one."""

    def __init__(self, now: float) -> None:
        self.gateway = GatewayProtocol(agent_ids=["desk"], now=now)
        self.agent = AgentProtocol(agent_id="desk", instance_id="one", capacity=2, version="", now=now)
        [register] = self.agent.start().send
        step = self.gateway.receive(dump(register).encode(), now)
        assert isinstance(step.send[0], Registered)
        self.agent.receive(dump(step.send[0]).encode(), now)
        self.arrived: list[AgentMessage] = []

    def to_gateway(self, message: AgentMessage) -> None:
        step = self.gateway.receive(legible(message), asyncio.get_running_loop().time())
        assert step.close is None, step.close
        assert step.unread is None, step.unread
        self.arrived += step.events

    def to_agent(self, message: Offer) -> None:
        try:
            text = legible(message)
        except ValueError:
            return  # the call ends, and the agent hears nothing of it
        step = self.agent.receive(text, asyncio.get_running_loop().time())
        assert step.close is None, step.close
        assert step.unread is None, step.unread


def offer(metadata: Any, checkpoint: dict[str, Any] | None) -> Offer:
    return Offer(
        call_id="call-1",
        offer_id="o",
        agent_id="desk",
        from_number=None,
        to_number=None,
        metadata=metadata,
        kind="browser",
        caller_rate=16000,
        deadline_ms=400,
        setup_s=10,
        media_path="/media/call-1",
        media_token="t",
        checkpoint=checkpoint,
    )


@settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(ODD)
@example(nested(190))
@example(nested(200))
@example(nested(300))
@example("\ud800" * 170_000)
@example('"' * 500_000)
def test_no_value_of_a_call_costs_the_connection(value: Any) -> None:
    async def story() -> None:
        pair = Pair(asyncio.get_running_loop().time())
        state = CallState(INFO, cast(Any, None), post=pair.to_gateway, finish=lambda reason, detail: None)
        said: list[Any] = [{"role": "user", "content": "a table"}]
        state.checkpoints.source = ConversationSource(lambda: said, lambda: None, tuple)
        state.checkpoints.answered()
        live = LiveEvents(state.report_live, state.now, lambda mark: None)
        live.tool_started("t", "look", value if isinstance(value, dict) else {"x": value})
        await state.checkpoints.begin("t", "look", cast(Any, {"x": value}), idempotent=True)
        state.checkpoints.end("t", value)
        live.tool_ended("t", "look", value)
        await state.checkpoints.begin("u", "look", cast(Any, value), idempotent=True)
        said.append({"role": "user", "content": "four"})
        state.checkpoints.user_turn()
        state.author_state = {"x": value}
        with contextlib.suppress(ValueError):  # and nothing else
            await state.checkpoints.save()
        state.checkpoints.user_turn()
        state.author_state = value
        state.checkpoints.user_turn()
        said.append({"role": "user", "content": value})
        state.checkpoints.bot_turn()
        said[-1] = value
        state.checkpoints.bot_turn()
        state.report("error", {"stage": "x", "message": str(value)[:500] if isinstance(value, str) else ""})
        state.report("user_turn", {"text": value if isinstance(value, str) else ""})
        text = value if isinstance(value, str) else ""
        pair.to_gateway(Hangup(call_id="call-1", reason=EndReason.ERROR, detail=well_formed(text)[:500]))
        last = [one for one in pair.arrived if isinstance(one, Checkpoint)][-1]
        assert len(last.state["messages"]) >= 2, "the conversation is saved, whatever the state is"
        pair.to_agent(offer(None, last.state))
        pair.to_agent(offer({"h": "x"}, last.state))
        try:
            metadata = offer({"m": value}, None)
        except ValueError:
            return
        pair.to_agent(metadata)

    run_virtual(story)


# ---------------------------------------------------------------------- what comes from others


DEEP = b"[" * 300 + b"]" * 300


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"type":"checkpoint","call_id":"call-1","state":{"x":' + DEEP + b"}}", "checkpoint"),
        (b'{"type":"event","call_id":"call-1","at":1.5,"event":"tool","data":' + DEEP + b"}", "event"),
        (b'{ "at": -1e3, "type": "event", "call_id" : "call-1", "event": "dance"}', "event"),
        (b'{"call_id":"call-1","type":"hangup","reason":"no such reason"}', "hangup"),
        (b'{"call_id":"call-1","type":"checkpoint","state":"\xff"}', "checkpoint"),
        (
            b'{"type":"checkpoint","call_id":"call-1","state":"' + b"x" * MAX_MESSAGE_BYTES + b'"}',
            "checkpoint",
        ),
        (b'{"type":"checkpoint","call_id":"call-1","sta', "checkpoint"),
    ],
)
def test_what_cannot_be_read_is_laid_to_its_call(text: bytes, kind: str) -> None:
    async def story() -> None:
        pair = Pair(asyncio.get_running_loop().time())
        step = pair.gateway.receive(text, asyncio.get_running_loop().time())
        assert (step.close, step.send, step.events) == (None, (), ())
        assert step.unread is not None
        assert (step.unread.call_id, step.unread.kind) == ("call-1", kind)
        back = pair.agent.receive(text, asyncio.get_running_loop().time())
        assert back.close is None
        assert back.unread is not None

    run_virtual(story)


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"status","active":1,"capacity":2,"mood":{"call_id":"call-1"}}',
        b'{"type":"event","data":{"call_id":"call-2"},"call_id":"call-1"}',
        b'{"type":"x","y":"\\",\\"call_id\\":\\"call-2","z":1}',
        b'["call_id","call-1"]',
        b"no json",
        b"",
        b'{"type":"status"' + b',"a":1' * 1000 + b',"call_id":"call-1"}',
    ],
)
def test_what_names_no_call_at_its_beginning_is_nobody_s(text: bytes) -> None:
    assert unread_of(text, "why") is None


def test_an_end_that_cannot_be_read_is_an_end_all_the_same() -> None:
    async def story() -> None:
        pair = Pair(asyncio.get_running_loop().time())
        step = pair.agent.receive(b'{"type":"ended","call_id":"call-1","reason":"?"}', 1.0)
        [ended] = step.events
        assert isinstance(ended, Ended)
        assert (ended.call_id, ended.reason) == ("call-1", EndReason.ERROR)

    run_virtual(story)


def test_a_message_that_could_not_be_read_is_not_sent() -> None:
    deep = Checkpoint(call_id="call-1", state={"x": nested(160)})
    with pytest.raises(ValueError, match="checkpoint: it nests"):
        legible(deep)
    with pytest.raises(ValueError, match=r"checkpoint: it is \d+ bytes"):
        legible(Checkpoint(call_id="call-1", state={"x": "y" * MAX_MESSAGE_BYTES}))
    with pytest.raises(ValueError, match="event: it is not JSON"):
        legible(ConversationEvent(call_id="call-1", at=0, event="tool", data={"x": object()}))
    control = Control(call_id="call-1", what="hold", on=True)
    assert parse_agent_message(legible(control)) == control
    assert unread_of(legible(control), "why") == UnreadMessage("call-1", "control", "why")
