"""What a receiver of keys answers is done next: pipelines of ``/v3``, within bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from aiohttp import web

from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from tests.support.api_place import Place, problem
from tests.support.gateway_peers import caller, until
from tests.support.rest_v3 import PCMO, PHONE, connect, place, post
from tests.support.webhook_receiver import Receiver, receiving

PLAY = {"action": "play", "file_name": "menu.wav"}
HANG_UP = {"action": "hangup"}


def ask(receiver: Receiver, **dtmf: Any) -> dict[str, Any]:
    """An action that asks for one key, whose receiver says what comes next."""
    return {"action": "input", "dtmf": dtmf, "on_result": {"type": "url", "url": receiver.url}}


def answering(*bodies: Any) -> list[web.Response]:
    """Answers of a receiver: JSON, or bytes as they are."""
    texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in bodies]
    return [web.Response(body=one) for one in texts]


@asynccontextmanager
async def asked(folder: Path, *pipeline: Any) -> AsyncIterator[tuple[Place, GatewayCall, Receiver, str]]:
    """A call whose caller hears this pipeline, in which None asks for a key: and the id of the request."""
    soundfile.write(folder / "menu.wav", np.full(400, 8000, dtype=np.int16), 8000)
    async with receiving() as receiver:
        hook = receiver.config(events=["call.collection"]).model_dump()
        settings = {"prompts_folder": folder, "data_folder": folder, "records": True, "webhooks": [hook]}
        async with place(**settings) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            actions = [ask(receiver) if one is None else one for one in pipeline]
            begun = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=actions)
            assert begun.status_code == 200, begun.text
            yield here, here.call(call_id), receiver, begun.json()["request_id"]


async def told(receiver: Receiver, times: int) -> None:
    await until(lambda: len(receiver.heard) == times)


def test_the_next_pipeline_comes_with_the_answer_instead_of_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, None, HANG_UP) as (here, call, receiver, ticket):
            receiver.answers = answering([PLAY, ask(receiver)], {"pipeline": [connect(PHONE)]})
            call.caller_dtmf("1#")
            await told(receiver, 1)
            await until(lambda: call.control.prompts is not None and len(call.control.prompts.prompts) == 2)
            call.caller_dtmf("#2")
            await until(lambda: here.has_tried(1))
            values = [one["data"]["event"]["data"]["value"] for one in receiver.heard]
            requests = {one["data"]["event"]["data"]["request_id"] for one in receiver.heard}
            assert (values, len(requests)) == (["1", "2"], 1)
            assert (await here.web.get(f"/v3/transfers/{ticket}")).json()["status"] == "queued"
            here.far.dialled.callee_answered(here.now)
            assert call.phase is Phase.BRIDGED
            assert (await here.web.get(f"/v3/transfers/{ticket}")).json()["status"] == "completed"

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer", [b"", b"OK", {"status": "ok"}, [], b"[" * 60_000, [{**PLAY, "x": "y" * 70_000}]]
)
def test_an_answer_that_is_no_pipeline_says_nothing_and_the_order_goes_on(
    tmp_path: Path, answer: Any
) -> None:
    async def story() -> None:
        async with asked(tmp_path, None, connect(PHONE)) as (here, call, receiver, _):
            receiver.answers = answering(answer)
            call.caller_dtmf("1")
            await until(lambda: here.has_tried(1))
            assert [one for one in await here.events(call.call_id) if one["event"] == "error"] == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([{"action": "dance"}], "pipeline"),
        ([{"action": "play", "file_name": "none.wav"}], "prompts_folder has no 'none.wav'"),
        ([connect({"type": "agent", "id": "a"})], "another agent"),
        ([PLAY] * 17, "17 of play"),
        (b'[{"action": "play", "file_name": NaN}]', "pipeline"),
    ],
)
def test_a_pipeline_that_cannot_be_done_is_an_error_on_the_record_and_the_order_goes_on(
    tmp_path: Path, answer: Any, text: str
) -> None:
    async def story() -> None:
        async with asked(tmp_path, None, connect(PHONE)) as (here, call, receiver, _):
            receiver.answers = answering(answer)
            call.caller_dtmf("1")
            await until(lambda: here.has_tried(1))
            [error] = [one["data"] for one in await here.events(call.call_id) if one["event"] == "error"]
            assert (error["stage"], text in error["message"]) == ("prompts", True), error

    asyncio.run(story())


def test_a_transfer_that_the_answer_does_without_has_failed(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, None, connect(PHONE)) as (here, call, receiver, ticket):
            receiver.answers = answering([PLAY])
            call.caller_dtmf("1")
            await until(lambda: not call.media_path.held)
            assert (await here.web.get(f"/v3/transfers/{ticket}")).json()["status"] == "failed"
            assert here.dialler.legs == []

    asyncio.run(story())


def test_answers_keep_no_caller_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.api.prompt_run.MOST_ANSWERS", 2)

    async def story() -> None:
        async with asked(tmp_path, None) as (_, call, receiver, _ticket):
            receiver.answers = answering(*[[ask(receiver)]] * 5)
            seen = []
            for times in (1, 2, 3):
                seen.append(call.control.prompts)
                call.caller_dtmf("1")
                await told(receiver, times)
                await until(lambda: call.control.prompts not in seen)
            assert call.control.prompts is None
            assert not call.media_path.held

    asyncio.run(story())


def test_an_answer_that_comes_when_the_call_is_over_does_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, None) as (here, call, receiver, _):
            receiver.wait = asyncio.Event()
            receiver.answers = answering([connect(PHONE)])
            call.caller_dtmf("1")
            await told(receiver, 1)
            call.caller_hangup(here.now)
            receiver.wait.set()
            await until(lambda: not receiver.answers)
            assert (await here.web.get("/healthz")).status_code == 200
            assert here.dialler.legs == []

    asyncio.run(story())


def test_a_call_without_an_agent_is_over_behind_the_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, PLAY) as (here, _, receiver, _ticket):
            placed = await post(here, "/voice/pcmo/call", **PCMO, pipeline=[ask(receiver)])
            assert placed.status_code == 200, placed.text
            call = here.call(placed.json()["call_id"])
            here.far.dialled.callee_answered(here.now)
            receiver.answers = answering([PLAY])
            call.caller_dtmf("1")
            await until(lambda: call.phase is Phase.ENDED)
            assert call.detail == "nothing follows, and the call has no agent"

    asyncio.run(story())


def test_nobody_is_waited_for_who_is_not_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, PLAY, PLAY) as (here, call, _, __):
            step = {"keys": {}, "await_answer": True}
            refused = await here.ask(call.call_id, "prompts", steps=[step])
            assert problem(refused)[0] == 422
            assert "await_answer: of whom?" in problem(refused)[1]

    asyncio.run(story())
