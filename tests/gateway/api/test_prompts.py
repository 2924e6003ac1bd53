"""Prompts over HTTP: files of the operator's are played, keys are an event, and what is ordered follows."""

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
from websockets.asyncio.client import connect

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.api.dependencies import ApiDependencies
from piopiy_pipeline.gateway.api.models import PromptStep
from piopiy_pipeline.gateway.api.prompts import LONGEST_S, PromptFiles
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from tests.support.api_place import Place, place, problem
from tests.support.gateway_peers import AGENT_ID, Peer, caller, config, until
from tests.support.web import API_KEY
from tests.support.webhook_receiver import receiving

PIN = {"least": 4, "most": 4, "first_s": 0.1, "next_s": 0.1}


def put(folder: Path, name: str, seconds: float = 0.1, rate: int = 8000) -> None:
    soundfile.write(folder / name, np.full(int(seconds * rate), 8000, dtype=np.int16), rate)


@asynccontextmanager
async def playing(folder: Path, **settings: Any) -> AsyncIterator[tuple[Place, Peer, str, Peer]]:
    """A gateway with files, and a call: its caller, its id, and the agent's media stream."""
    put(folder, "menu.wav")
    put(folder, "again.wav", 0.04)
    async with (
        place(prompts_folder=folder, data_folder=folder, records=True, **settings) as here,
        caller(here.gateway) as line,
    ):
        call_id, media = await here.answered(line)
        yield here, line, call_id, media


async def collected(here: Place, line: Peer, call_id: str) -> list[dict[str, Any]]:
    """What was collected in a call, when it is over."""
    await line.say(event="hangup")
    await line.hear("ended")
    return [one["data"] for one in await here.events(call_id) if one["event"] == "collection"]


def test_a_file_is_played_and_the_keys_are_an_event_and_the_bot_has_the_caller_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, line, call_id, media):
            steps = [{"file": "menu.wav", "keys": {"most": 1}, "name": "choice"}, {"file": "again.wav"}]
            answer = await here.ask(call_id, "prompts", steps=steps)
            ticket = answer.json()["request_id"]
            assert answer.status_code == 202
            assert (await here.agent.hear("control"))["on"] is True
            second = await here.ask(call_id, "prompts", steps=steps)
            assert (second.status_code, second.json()["request_id"]) == (409, ticket)
            transfer = await here.ask(call_id, "transfer", to="200")
            assert (transfer.status_code, transfer.json()["request_id"]) == (409, ticket)
            await line.hear_audio(1)
            await line.say(event="dtmf", digits="7")
            assert (await here.agent.hear("control"))["on"] is False
            await line.say(event="dtmf", digits="8")
            assert (await media.hear("dtmf"))["digits"] == "8"
            assert await collected(here, line, call_id) == [
                {
                    "request_id": ticket,
                    "name": "choice",
                    "kind": "digits",
                    "outcome": "collected",
                    "attempts": 0,
                    "how": "keys",
                    "value": "7",
                }
            ]

    asyncio.run(story())


def test_keys_for_one_receiver_are_told_nobody_else_and_are_not_on_the_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with receiving() as mine, receiving() as other:
            hooks = [
                one.config(events=["call.collection", "call.ended"]).model_dump() for one in (mine, other)
            ]
            async with (
                playing(tmp_path, webhooks=hooks) as (here, line, call_id, _),
                connect(f"{here.gateway.url}/api/events", proxy=None, compression=None) as socket,
            ):
                await socket.send(json.dumps({"type": "watch", "key": API_KEY}))
                watched = [str(await socket.recv())]
                pin = {"keys": PIN, "name": "pin", "receiver": mine.url}
                refused = await here.ask(call_id, "prompts", steps=[pin, {**pin, "receiver": "http://no/"}])
                assert problem(refused)[0] == 422
                assert problem(refused)[1].startswith("steps.1.receiver: no receiver of [[webhooks]]")
                assert (await here.ask(call_id, "prompts", steps=[pin])).status_code == 202
                await line.say(event="dtmf", digits="8642")
                [found] = await collected(here, line, call_id)
                assert (found["outcome"], found["value"], found["length"]) == ("collected", None, 4)
                while '"ended"' not in watched[-1]:
                    watched.append(str(await socket.recv()))
                assert any('"collection"' in text for text in watched)
                await until(lambda: len(mine.heard) == len(other.heard) == 2)
                assert mine.types == other.types == ["call.collection", "call.ended"]
                told = mine.heard[0]["data"]["event"]["data"]
                assert (told["value"], told["length"], told["name"]) == ("8642", 4, "pin")
                assert mine.headers[0]["webhook-id"] == other.headers[0]["webhook-id"]
                others = [body.decode() for body in (mine.bodies[1], *other.bodies)]
                assert [text for text in (*others, *watched) if "8642" in text] == []

    asyncio.run(story())


def test_a_repeated_order_gets_its_answer_whatever_has_become_of_its_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with receiving() as receiver:
            hooks = [receiver.config(events=["call.collection"]).model_dump()]
            async with playing(tmp_path, webhooks=hooks) as (here, *_):
                prompts = {"steps": [{"file": "menu.wav"}, {"keys": PIN, "receiver": receiver.url}]}
                keyed = {"Idempotency-Key": "of-v3"}
                result = {"on_result": {"type": "url", "url": receiver.url}}
                pipeline = [{"action": "input", **result}, {"action": "hangup"}]
                pcmo = {"caller_id": "919999999999", "to_number": "918888888888", "app_id": "app"}
                answers: list[Any] = []
                for _ in range(2):
                    answers.append((await here.order("k", prompts=prompts)).json()["call_id"])
                    body = {**pcmo, "pipeline": pipeline}
                    answer = await here.web.post("/v3/voice/pcmo/call", json=body, headers=keyed)
                    answers.append(answer.json()["call_id"])
                    (tmp_path / "menu.wav").unlink(missing_ok=True)
                    monkeypatch.setattr(ApiDependencies, "no_receiver_because", lambda *_: "it is gone")
                assert answers[:2] == answers[2:]
                assert here.has_tried(2), "each dials once"
                assert problem(await here.order("new", prompts=prompts)) == (
                    422,
                    "steps.1.receiver: it is gone",
                )

    asyncio.run(story())


def test_who_presses_nothing_is_asked_again_and_then_handed_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, line, call_id, _):
            step = {"file": "menu.wav", "keys": PIN, "retries": 1, "silence_file": "again.wav"}
            order = {"steps": [step], "transfer": {"to": "200", "warm": False}}
            ticket = (await here.ask(call_id, "prompts", **order)).json()["request_id"]
            where = f"/api/calls/{call_id}/transfers/{ticket}"
            assert (await here.web.get(where)).json()["outcome"] is None
            await until(lambda: here.has_tried(1))
            assert (await here.web.get(where)).json()["outcome"] is None
            here.far.dialled.callee_answered(here.now)
            assert here.call(call_id).phase is Phase.BRIDGED
            assert (await here.web.get(where)).json()["outcome"] == "bridged"
            [found] = await collected(here, line, call_id)
            assert (found["outcome"], found["attempts"], "value" in found) == ("silence", 2, False)

    asyncio.run(story())


def test_a_caller_who_hangs_up_meanwhile_is_not_transferred(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, line, call_id, _):
            order = {"steps": [{"file": "menu.wav", "keys": {}}], "transfer": {"to": "200"}}
            ticket = (await here.ask(call_id, "prompts", **order)).json()["request_id"]
            [found] = await collected(here, line, call_id)
            assert found["outcome"] == "hangup"
            ended = (await here.web.get(f"/api/calls/{call_id}/transfers/{ticket}")).json()
            assert (ended["outcome"], ended["detail"]) == ("failed", "the call was over before")
            assert here.dialler.legs == []

    asyncio.run(story())


def test_the_call_may_end_behind_prompts(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, line, call_id, _):
            assert (
                await here.ask(call_id, "prompts", steps=[{"file": "menu.wav"}], hangup=True)
            ).status_code == 202
            ended = await line.hear("ended")
            assert ended["reason"] == "agent_hangup"

    asyncio.run(story())


def test_who_is_called_hears_prompts_before_the_bot(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, _, __, ___):
            bad = await here.order(prompts={"steps": [{"file": "other.wav"}]})
            assert problem(bad) == (422, "file: prompts_folder has no 'other.wav'")
            assert here.dialler.legs == []
            placed = await here.order(prompts={"steps": [{"file": "menu.wav", "keys": {}}]})
            call = here.call(placed.json()["call_id"])
            here.far.dialled.callee_answered(here.now)
            await here.agent.take()
            await until(lambda: call.phase is Phase.LIVE)
            assert call.control.prompts is not None
            assert (await here.agent.hear("control"))["on"] is True
            call.caller_dtmf("1")
            assert (await here.agent.hear("control"))["on"] is False

    asyncio.run(story())


@asynccontextmanager
async def picked_up(folder: Path, **then: Any) -> AsyncIterator[tuple[Place, GatewayCall]]:
    """A call without an agent: who picked up hears a file, and is asked for keys. Then comes what the order says."""
    put(folder, "menu.wav")
    async with place(prompts_folder=folder, data_folder=folder, records=True) as here:
        await here.agent.say(type="status", active=10, capacity=10)  # nobody is free, which does not matter
        steps = [{"file": "menu.wav", "keys": {"most": 2}}]
        placed = await here.web.post(
            "/api/calls", json={"to": "+15550123", "prompts": {"steps": steps, **then}}
        )
        assert (placed.status_code, placed.json()["agent_id"]) == (201, "")
        call = here.call(placed.json()["call_id"])
        here.far.dialled.callee_answered(here.now)
        assert (call.phase, call.control.prompts is not None) == (Phase.LIVE, True)
        yield here, call


def test_a_call_needs_no_agent_to_play_something_and_hang_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with picked_up(tmp_path, hangup=True) as (here, call):
            leg = here.far
            await until(lambda: bool(leg.frames))
            call.caller_dtmf("12")
            assert (call.phase, call.detail) == (
                Phase.ENDED,
                "hung up behind prompts, as ordered over the API",
            )
            record = (await here.web.get(f"/api/calls/{call.call_id}")).json()
            assert record["call"]["answered_at"] is not None
            assert [one["data"]["value"] for one in record["events"]] == ["12"]

    asyncio.run(story())


def test_a_call_without_an_agent_is_over_when_nobody_takes_the_caller(tmp_path: Path) -> None:
    async def story() -> None:
        order = {"to": "200", "or_to": ["300"], "warm": False}
        async with picked_up(tmp_path, transfer=order) as (here, call):
            call.caller_dtmf("12")
            await until(lambda: here.has_tried(2))
            here.far.dialled.callee_failed(here.now, "busy", "")
            await until(lambda: here.has_tried(3))
            assert call.phase is Phase.LIVE
            here.far.dialled.callee_failed(here.now, "busy", "")
            await until(lambda: call.phase is Phase.ENDED)
            assert call.detail == "nobody took the caller, and the call has no agent"

    asyncio.run(story())


def test_a_call_without_an_agent_joins_two_people(tmp_path: Path) -> None:
    async def story() -> None:
        async with picked_up(tmp_path, transfer={"to": "200"}) as (here, call):
            call.caller_dtmf("12")
            await until(lambda: here.has_tried(2))
            here.far.dialled.callee_answered(here.now)
            assert call.phase is Phase.BRIDGED
            call.caller_hangup(here.now)
            assert call.reason is EndReason.TRANSFERRED

    asyncio.run(story())


@pytest.mark.parametrize("prompts", [None, {"steps": [{"keys": {}}]}])
def test_a_call_without_an_agent_and_without_an_end_is_refused(prompts: dict[str, Any] | None) -> None:
    async def story() -> None:
        async with place() as here:
            status, error = problem(await here.web.post("/api/calls", json={"to": "200", "prompts": prompts}))
            assert (status, "agent_id: a call without an agent" in error) == (422, True)
            assert here.dialler.legs == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({}, "steps"),
        ({"steps": [{}]}, "file, keys"),
        ({"steps": [{"file": "../menu.wav"}]}, "body.steps.0.file"),
        ({"steps": [{"file": ".menu.wav"}]}, "body.steps.0.file"),
        ({"steps": [{"file": "gateway.toml"}]}, "body.steps.0.file"),
        ({"steps": [{"file": "none.wav"}]}, "prompts_folder has no 'none.wav'"),
        ({"steps": [{"file": "broken.wav"}]}, "'broken.wav': not a WAV file"),
        ({"steps": [{"file": "nan.wav"}]}, "'nan.wav': has samples that are no numbers"),
        ({"steps": [{"file": "out.wav"}]}, "'out.wav': is a link that leads out of prompts_folder"),
        ({"steps": [{"file": "nowhere.wav"}]}, "prompts_folder has no 'nowhere.wav'"),
        ({"steps": [{"file": "circle.wav"}]}, "prompts_folder has no 'circle.wav'"),
        ({"steps": [{"file": "folder.wav"}]}, "'folder.wav': not a WAV file"),
        ({"steps": [{"file": "long.wav"}]}, f"'long.wav': longer than {LONGEST_S:g} s"),
        ({"steps": [{"keys": {"least": 3, "most": 2}}]}, "least"),
        ({"steps": [{"keys": {}, "retries": 11}]}, "retries"),
        ({"steps": [{"file": "menu.wav", "receiver": "http://x/"}]}, "receiver: is told of keys"),
        ({"steps": [{"keys": {"first_s": 61}}]}, "first_s"),
        ({"steps": [{"file": "menu.wav"}] * 17}, "body.steps"),
        ({"steps": [{"file": "menu.wav"}], "hangup": True, "transfer": {"to": "200"}}, "transfer, hangup"),
    ],
)
def test_what_cannot_be_played_is_refused_before_the_caller_is_on_hold(
    tmp_path: Path, order: dict[str, Any], text: str
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF, or is it?")
    (tmp_path / "folder.wav").mkdir()
    put(tmp_path, "long.wav", LONGEST_S + 1)
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 8000, subtype="FLOAT")
    (outside := tmp_path.with_name(f"{tmp_path.name}-outside")).mkdir()
    put(outside, "secret.wav")
    (tmp_path / "out.wav").symlink_to(outside / "secret.wav")
    (tmp_path / "nowhere.wav").symlink_to(tmp_path / "none.wav")
    (tmp_path / "circle.wav").symlink_to(tmp_path / "circle.wav")

    async def story() -> None:
        async with playing(tmp_path) as (here, _, call_id, __):
            status, error = problem(await here.ask(call_id, "prompts", **order))
            assert (status, text in error) == (422, True), error
            assert str(tmp_path) not in error
            assert not here.call(call_id).media_path.held

    asyncio.run(story())


def test_a_gateway_without_a_folder_plays_nothing_and_still_collects_keys() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            nothing = await here.ask(call_id, "prompts", steps=[{"file": "menu.wav"}])
            assert problem(nothing) == (
                422,
                "file: 'menu.wav': this gateway plays nothing: set prompts_folder",
            )
            assert (await here.ask(call_id, "prompts", steps=[{"keys": {}}])).status_code == 202
            assert problem(await here.ask("none", "prompts", steps=[{"keys": {}}]))[0] == 404

    asyncio.run(story())


def test_a_file_is_read_again_when_it_has_changed_and_what_is_kept_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.api.prompts.KEPT_BYTES", 2 * 16_000)  # a second

    async def story() -> None:
        put(tmp_path, "a.wav", 0.6)
        put(tmp_path, "b.wav", 0.6)
        files = PromptFiles(tmp_path)
        [first] = await files.load([PromptStep(file="a.wav")])
        [again] = await files.load([PromptStep(file="a.wav")])
        assert again.sound is first.sound
        await files.load([PromptStep(file="b.wav")])
        [anew] = await files.load([PromptStep(file="a.wav")])
        assert anew.sound is not first.sound
        put(tmp_path, "a.wav", 0.3)
        [changed] = await files.load([PromptStep(file="a.wav")])
        assert len(changed.sound) == 2 * 16_000 * 3 // 10

    asyncio.run(story())


def test_a_folder_may_be_a_link_and_have_links_to_its_own_files(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "sounds").mkdir()
        put(tmp_path / "sounds", "a.wav", 0.1)
        (tmp_path / "sounds" / "b.wav").symlink_to("a.wav")
        (tmp_path / "link").symlink_to("sounds")
        [prompt] = await PromptFiles(tmp_path / "link").load([PromptStep(file="b.wav")])
        assert len(prompt.sound) == 2 * 1600

    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "why"), [("none", "No such file or directory"), ("a.wav", "Not a directory")]
)
def test_a_gateway_whose_folder_cannot_be_used_does_not_start(tmp_path: Path, name: str, why: str) -> None:
    put(tmp_path, "a.wav")

    async def story() -> None:
        with pytest.raises(GatewayError) as refused:
            await Gateway(config(prompts_folder=tmp_path / name)).start()
        assert str(refused.value) == f"prompts_folder {tmp_path / name}: cannot be used: {why}"

    asyncio.run(story())


def test_a_text_chat_has_no_sound(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as (here, _, __, ___):
            begun = await here.web.post("/api/chats", json={"agent_id": AGENT_ID})
            call_id = begun.json().get("call_id", "")
            await here.agent.take()
            await until(lambda: here.call(call_id).phase is Phase.LIVE)
            assert problem(await here.ask(call_id, "prompts", steps=[{"keys": {}}]))[0] == 409

    asyncio.run(story())
