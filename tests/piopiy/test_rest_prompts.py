"""Piopiy's own REST client has a gateway play files and collect keys: nothing of it is changed but the address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from tests.piopiy.clients import Refused, clients_folder, running
from tests.support.gateway_peers import agent, caller, config, until
from tests.support.phone_calls import tone_file
from tests.support.switchboard import NotedDialler
from tests.support.web import API_KEY
from tests.support.webhook_receiver import receiving

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clients_folder(tmp_path_factory)


def test_a_caller_hears_a_menu_and_the_keys_are_told_and_the_bot_goes_on(
    packages: Path, tmp_path: Path
) -> None:
    """With the actions as the client's own examples have them."""
    tone_file(tmp_path, 500, seconds=0.4).rename(tmp_path / "welcome.wav")
    tone_file(tmp_path, 800, seconds=0.4).rename(tmp_path / "invalid.wav")

    def ask(url: str, **more: Any) -> dict[str, Any]:
        return {
            "action": "play_get_input",
            "prompt": {"type": "file", "file_name": "https://example.com/welcome.wav"},
            "input": ["dtmf"],
            "dtmf": {"min_digits": 2, "max_digits": 2, "finish_on_key": "#", "first_digit_timeout": 5},
            "retries": {"max": 1, "invalid_prompt": {"type": "file", "file_name": "invalid.wav"}},
            "on_result": {"type": "url", "url": url},
            **more,
        }

    async def story() -> None:
        async with receiving() as receiver:
            hook = {**receiver.config(events=["call.collection"]).model_dump()}
            settings = config(api_keys=[API_KEY], prompts_folder=tmp_path, webhooks=[hook])
            async with (
                Gateway(settings) as gateway,
                agent(gateway) as bot,
                caller(gateway) as line,
                running("rest", packages, gateway.url.replace("ws", "http", 1), API_KEY) as rest,
            ):
                _, media = await bot.take()
                call_id = str((await line.hear("ringing"))["call_id"])
                await line.hear("answered")
                say = {"type": "say", "say": "Press 1", "language": "en-US", "voice_id": "f", "speed": 1.0}
                with pytest.raises(Refused, match="not_supported") as refused:
                    await rest.calls(
                        "pcmo.transfer", call_id=call_id, pipeline=[ask(receiver.url, prompt=say)]
                    )
                assert "a gateway has no voice" in refused.value.body["message"]
                play = {"action": "play", "file_name": "welcome.wav"}
                answer = await rest.calls(
                    "pcmo.transfer", call_id=call_id, pipeline=[play, ask(receiver.url)]
                )
                assert answer["message"] == "queued"
                assert await loudest(line.hear_audio_bytes(16_000)) > 3000
                await line.say(event="dtmf", digits="1#")
                await line.say(event="dtmf", digits="42")
                await until(lambda: bool(receiver.heard))
                told = receiver.heard[0]["data"]
                assert (receiver.types, told["call_id"]) == (["call.collection"], call_id)
                assert (told["event"]["data"]["value"], told["event"]["data"]["attempts"]) == ("42", 1)
                await line.say(event="dtmf", digits="9")
                assert (await media.hear("dtmf"))["digits"] == "9"

    asyncio.run(story())


def test_somebody_is_called_to_hear_a_notice_without_an_agent(packages: Path, tmp_path: Path) -> None:
    tone_file(tmp_path, 500, seconds=0.4).rename(tmp_path / "welcome.wav")

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY], prompts_folder=tmp_path)) as gateway:
            gateway.switchboard.resources.dialler = dialler = NotedDialler()
            url = gateway.url.replace("ws", "http", 1)
            async with running("rest", packages, url, API_KEY) as rest:
                whom = {"caller_id": "919999999999", "to_number": "918888888888", "app_id": "app"}
                pipeline = [{"action": "play", "file_name": "welcome.wav"}, {"action": "hangup"}]
                call_id = (await rest.calls("pcmo.call", **whom, pipeline=pipeline))["call_id"]
                [leg] = dialler.legs
                assert leg.request.to == "+918888888888"
                leg.dialled.callee_answered(asyncio.get_running_loop().time())
                assert gateway.switchboard.call(call_id) is not None
                await until(lambda: gateway.switchboard.call(call_id) is None)
                heard = np.frombuffer(b"".join(leg.frames), dtype=np.int16)
                assert np.count_nonzero(np.abs(heard) > 3000) > 0.2 * leg.rate

    asyncio.run(story())


async def loudest(audio: Any) -> int:
    return int(np.abs(np.frombuffer(await audio, dtype=np.int16).astype(np.int32)).max())
