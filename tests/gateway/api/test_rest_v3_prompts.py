"""`play`, `play_get_input` and `input` of Piopiy's pipelines: what they become, and what is refused."""

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

from piopiy_pipeline.gateway.api.models import PromptKeys, PromptOrder, PromptStep
from piopiy_pipeline.gateway.api.rest_v3 import content_of
from piopiy_pipeline.gateway.api.rest_v3_error import NotHere
from piopiy_pipeline.gateway.api.rest_v3_models import Input
from piopiy_pipeline.gateway.api.rest_v3_prompts import step_of
from piopiy_pipeline.gateway.core.prompts import KeyRules
from piopiy_pipeline.gateway.core.snapshots import Phase
from tests.support.api_place import Place
from tests.support.gateway_peers import AGENT_ID, caller, until
from tests.support.rest_v3 import PCMO, PHONE, connect, place, post, refusal

RESULT = "http://127.0.0.1:9/keys"
HOOK = {
    "url": RESULT,
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "events": ["call.collection"],
}
OTHER_HOOK = {**HOOK, "url": "http://127.0.0.1:9/other", "events": ["call.ended"]}
TO_URL = {"type": "url", "url": RESULT}
FILE = {"type": "file", "file_name": "menu.wav"}
PLAY = {"action": "play", "file_name": "menu.wav"}
INPUT = {"action": "input", "on_result": TO_URL}
ASK = {"action": "play_get_input", "prompt": FILE, "input": ["dtmf"], "on_result": TO_URL}
HANG_UP = {"action": "hangup"}


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[Place]:
    """A gateway with files and with somebody who is told of keys."""
    for name in ("menu.wav", "again.wav"):
        soundfile.write(folder / name, np.full(400, 8000, dtype=np.int16), 8000)
    async with place(
        prompts_folder=folder, data_folder=folder, records=True, webhooks=[HOOK, OTHER_HOOK]
    ) as here:
        yield here


def test_an_order_for_a_gateway_of_an_older_version_names_only_what_is_asked_for() -> None:
    plays = PromptOrder(steps=[PromptStep(file="menu.wav")], hangup=True)
    assert json.loads(content_of(plays)) == {"steps": [{"file": "menu.wav"}], "hangup": True}
    asks = PromptOrder(steps=[PromptStep(keys=PromptKeys(most=4), receiver=RESULT)])
    assert json.loads(content_of(asks)) == {"steps": [{"keys": {"most": 4}, "receiver": RESULT}]}
    assert PromptOrder.model_validate_json(content_of(asks)) == asks


def test_prompts_are_played_and_then_the_caller_is_handed_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            ask = {
                **ASK,
                "dtmf": {"min_digits": 2, "max_digits": 4, "finish_on_key": "*", "first_digit_timeout": 7},
                "retries": {"max": 1, "invalid_prompt": {"type": "file", "file_name": "again.wav"}},
            }
            pipeline = [PLAY, ask, INPUT, connect(PHONE)]
            begun = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=pipeline)
            assert (begun.status_code, begun.json()["message"]) == (200, "queued")
            ticket = begun.json()["request_id"]
            assert "warnings" not in begun.json()
            second = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=[PLAY])
            assert refusal(second)[:2] == (409, "transfer_in_progress")
            assert second.json()["request_id"] == ticket
            here.call(call_id).caller_dtmf("12*3")
            assert (await here.web.get(f"/v3/transfers/{ticket}")).json()["status"] == "queued"
            await until(lambda: here.has_tried(1))
            here.far.dialled.callee_answered(here.now)
            assert here.call(call_id).phase is Phase.BRIDGED
            assert (await here.web.get(f"/v3/transfers/{ticket}")).json()["status"] == "completed"
            await line.say(event="hangup")
            await line.hear("ended")
            found = [one["data"] for one in await here.events(call_id) if one["event"] == "collection"]
            assert [(one["value"], one["length"]) for one in found] == [(None, 2), (None, 1)]

    asyncio.run(story())


def test_keys_are_collected_as_the_order_says(tmp_path: Path) -> None:
    dtmf = {
        "min_digits": 2,
        "max_digits": 4,
        "finish_on_key": "",
        "first_digit_timeout": 7,
        "inter_digit_timeout": 3,
        "flush_buffer": True,
    }

    async def story() -> None:
        async with playing(tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            retries = {"max": 2, "no_input_prompt": FILE}
            path = f"/calls/{call_id}/actions/transfer"
            begun = await post(here, path, pipeline=[{**ASK, "dtmf": dtmf, "retries": retries}])
            assert begun.json()["warnings"] == [
                "pipeline: behind its last action the caller is the bot's again"
            ]
            prompts = here.call(call_id).control.prompts
            assert prompts is not None
            [prompt] = prompts.prompts
            assert prompt.keys == KeyRules(least=2, most=4, finish_on="", first_s=7, next_s=3, fresh=True)
            assert (prompt.retries, bool(prompt.silence_sound), prompt.retry_sound) == (2, True, b"")

    asyncio.run(story())


def test_an_address_is_a_name_in_the_folder_and_the_call_may_end_behind_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            play = {"action": "play", "file_name": "https://example.com/sounds/menu.wav?v=2"}
            begun = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=[play, HANG_UP])
            assert begun.json()["warnings"] == [
                "pipeline[0].file_name: nothing is downloaded: 'menu.wav' of prompts_folder is played"
            ]
            assert (await line.hear("ended"))["reason"] == "agent_hangup"

    asyncio.run(story())


@pytest.mark.parametrize("last", [[], [connect({"type": "agent", "id": AGENT_ID})]])
def test_who_is_called_hears_the_pipeline_before_the_bot(tmp_path: Path, last: list[dict[str, Any]]) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here:
            pipeline = [PLAY, ASK, *last]
            placed = await post(here, "/voice/pcmo/call", **PCMO, agent_id=AGENT_ID, pipeline=pipeline)
            assert placed.status_code == 200, placed.text
            call = here.call(placed.json()["call_id"])
            assert call.info.agent_id == AGENT_ID
            here.far.dialled.callee_answered(here.now)
            await here.agent.take()
            assert (await here.agent.hear("control"))["on"] is True
            call.caller_dtmf("1")
            assert (await here.agent.hear("control"))["on"] is False

    asyncio.run(story())


@pytest.mark.parametrize("agent", [{}, {"agent_id": AGENT_ID}])
@pytest.mark.parametrize(
    "pipeline", [[PLAY, HANG_UP], [PLAY, ASK, connect(PHONE)], [connect(PHONE), HANG_UP]]
)
def test_a_pipeline_that_connects_with_no_agent_needs_none(
    tmp_path: Path, pipeline: list[dict[str, Any]], agent: dict[str, str]
) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here:
            placed = await post(
                here, "/voice/pcmo/call", **PCMO, **agent, pipeline=pipeline, variables={"a": 1}
            )
            assert placed.status_code == 200, placed.text
            call = here.call(placed.json()["call_id"])
            assert (call.info.agent_id, call.info.metadata) == ("", {"a": 1})
            here.far.dialled.callee_answered(here.now)
            if connect(PHONE) not in pipeline:
                await until(lambda: call.phase is Phase.ENDED)
                return
            call.caller_dtmf("1")
            await until(lambda: here.has_tried(2))
            assert here.far.request.to == "+917777777777"
            here.far.dialled.callee_answered(here.now)
            assert call.phase is Phase.BRIDGED

    asyncio.run(story())


def test_a_pipeline_is_over_behind_its_last_action_where_there_is_no_agent(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here:
            placed = await post(here, "/voice/pcmo/call", **PCMO, pipeline=[PLAY])
            assert "warnings" not in placed.json()
            call = here.call(placed.json()["call_id"])
            here.far.dialled.callee_answered(here.now)
            await until(lambda: call.phase is Phase.ENDED)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("action", "code", "text"),
    [
        (
            {**ASK, "input": ["dtmf", "speech"]},
            "not_supported",
            "pipeline[0].input: a gateway recognises no speech",
        ),
        (
            {
                **ASK,
                "prompt": {
                    "type": "say",
                    "say": "Press 1",
                    "language": "en-US",
                    "voice_id": "f",
                    "speed": 1.0,
                },
            },
            "not_supported",
            "pipeline[0].prompt: a gateway has no voice",
        ),
        (
            {**INPUT, "on_result": {"type": "pcmo", "ref": "next"}},
            "not_supported",
            "pipeline[0].on_result.ref: pipelines of Piopiy's dashboard",
        ),
        (
            {**INPUT, "on_result": {"type": "url", "url": OTHER_HOOK["url"]}},
            "not_supported",
            "pipeline[0].on_result.url: no receiver of [[webhooks]]",
        ),
        ({**INPUT, "on_result": {"type": "url"}}, "invalid_request", "pipeline[0].on_result.url: is missing"),
        ({**ASK, "prompt": {"type": "file"}}, "invalid_request", "pipeline[0].prompt.file_name: is missing"),
        ({**INPUT, "dtmf": {"min_digits": 3, "max_digits": 2}}, "invalid_request", "pipeline[0]: keys"),
        ({"action": "play", "file_name": "welcome.mp3"}, "invalid_request", "pipeline[0]: file"),
        (
            {"action": "play", "file_name": "none.wav"},
            "invalid_request",
            "file: prompts_folder has no 'none.wav'",
        ),
        (
            {"action": "play", "file_name": "http://[/a.wav"},
            "invalid_request",
            "pipeline[0].file_name: is no address",
        ),
        ({"action": "play"}, "invalid_request", "body.pipeline.0.play.file_name"),
    ],
)
def test_what_a_gateway_cannot_play_or_collect_is_refused_with_its_field(
    tmp_path: Path, action: dict[str, Any], code: str, text: str
) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            answer = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=[action])
            assert refusal(answer)[:2] == (422, code), answer.text
            assert text in refusal(answer)[2]
            assert not here.call(call_id).media_path.held

    asyncio.run(story())


def test_nothing_comes_behind_a_hangup(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here:
            answer = await post(here, "/voice/pcmo/transfer", call_id="x", pipeline=[HANG_UP, PLAY])
            assert refusal(answer) == (422, "invalid_request", "pipeline[1]: nothing comes after hangup")

    asyncio.run(story())


@pytest.mark.parametrize("more", [{}, {"agent_id": AGENT_ID}])
def test_more_prompts_than_an_order_has_are_refused_with_the_limit(
    tmp_path: Path, more: dict[str, str]
) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            pipeline = [PLAY] * 17
            moved = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=pipeline)
            called = await post(here, "/voice/pcmo/call", **PCMO, **more, pipeline=pipeline)
            for answer in (moved, called):
                assert refusal(answer) == (
                    422,
                    "invalid_request",
                    "pipeline: 17 of play, play_get_input and input: 16 are the limit",
                )
            assert not here.call(call_id).media_path.held

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"file": "../menu.wav"}, "steps.0.file: expected the name of a .wav file in prompts_folder"),
        ({"keys": {"finish_on": "##"}}, "steps.0.keys.finish_on: expected one key"),
        ({"file": "menu.wav\n"}, "steps.0.file: expected the name of a .wav file"),
    ],
)
def test_what_a_text_has_to_be_is_said_in_words(tmp_path: Path, wanted: dict[str, Any], text: str) -> None:
    async def story() -> None:
        async with playing(tmp_path) as here:
            answer = await here.web.post("/api/calls/x/prompts", json={"steps": [wanted]})
            assert answer.status_code == 422
            assert text in answer.json()["error"]
            keys = await here.web.post("/api/calls/x/dtmf", json={"digits": "12x"})
            assert "digits: expected 1 to 64 keys" in keys.json()["error"]

    asyncio.run(story())


def test_the_receiver_of_an_order_alone_is_told_of_keys_unless_it_wants_no_more() -> None:
    action = Input.model_validate(INPUT)
    assert step_of(action, "pipeline[0]", lambda url: None, []).receiver == RESULT
    with pytest.raises(NotHere, match=r"pipeline\[0\].on_result.url: gone"):
        step_of(action, "pipeline[0]", lambda url: "gone", [])
