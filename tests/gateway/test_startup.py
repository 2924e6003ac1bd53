"""The services behind the port: a database that fails or does not answer holds up neither calls nor the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway import Gateway, GatewayError
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.gateway_peers import agent, caller, config
from tests.support.web import API_KEY, client


def test_records_that_cannot_be_kept_are_an_error_of_ready_and_calls_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = config(records=True, data_folder=tmp_path / "file" / "folder", api_keys=[API_KEY])

    async def story() -> None:
        async with Gateway(settings) as gateway, client(gateway) as web:
            with pytest.raises(GatewayError, match="set data_folder or database_url"):
                await gateway.ready()
            async with agent(gateway) as one, caller(gateway) as line:
                await one.take()
                await line.hear("answered")
                answer = await web.get("/api/calls")
                assert answer.status_code == 503
                assert "set data_folder" in answer.json()["error"]

    asyncio.run(story())


def test_a_database_that_does_not_answer_holds_up_neither_the_console_nor_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = asyncio.Event()

    async def never(_: Records, __: int | None = None) -> None:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Records, "start", never)
    settings = config(records=True, data_folder=tmp_path, api_keys=[API_KEY])

    async def story() -> None:
        async with Gateway(settings) as gateway, client(gateway) as web:
            await opening.wait()
            assert (await web.get("/api/info")).status_code == 200
            waiting = asyncio.create_task(gateway.ready())
            async with asyncio.timeout(5):
                await gateway.close()
            with pytest.raises(GatewayError, match="closed before"):
                await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_gateway_must_be_started_before_it_is_ready() -> None:
    async def story() -> None:
        with pytest.raises(GatewayError, match="start the gateway first"):
            await Gateway(config()).ready()

    asyncio.run(story())


def test_what_browsers_are_allowed_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    real = WebRtcCalls.__init__

    def noted(self: WebRtcCalls, **settings: Any) -> None:
        given.update(settings)
        real(self, **settings)

    monkeypatch.setattr(WebRtcCalls, "__init__", noted)
    settings = config(webrtc_workers=1, webrtc_grace_s=3.5, calls_per_token=2)

    async def story() -> None:
        async with Gateway(settings) as gateway:
            await gateway.ready()

    asyncio.run(story())
    assert (given["workers"], given["grace_s"], given["calls_per_token"]) == (1, 3.5, 2)
