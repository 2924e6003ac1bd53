"""Over a real gateway: a value that was pressed is on the record of the call, and a secret is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller
from tests.support.bots import voice
from tests.support.calls import CallLog, house
from tests.support.web import API_KEY, client

pytestmark = pytest.mark.realtime


async def bot(call: Call) -> None:
    agent = await voice(call)

    async def form(_: object) -> None:
        await collect_digits(call, prompt="Number?", name="customer", length=4)
        await collect_digits(call, prompt="PIN?", name="pin", length=4, redact=True, read_back=True)
        await agent.hangup()

    agent.on("answered", form)
    await agent.start()


def test_the_record_has_the_value_and_how_it_was_given(tmp_path: Path) -> None:
    async def story() -> list[dict[str, Any]]:
        settings: dict[str, Any] = {"records": True, "api_keys": [API_KEY], "data_folder": tmp_path}
        async with house(bot, **settings) as place, client(place.gateway) as web:
            log = CallLog(16000)
            caller = (
                Caller().until("Number").press("4157").pause(3).press("9876").pause(4).press("1").pause(8)
            )
            await place.place(caller, log, limit_s=60)
            [ended] = place.ended()
            answer = await web.get(f"/api/calls/{ended.call_id}")
            assert "9876" not in answer.text
            assert "9 8 7 6" not in answer.text
            return list(answer.json()["events"])

    events = asyncio.run(story())
    collected = [event["data"] for event in events if event["event"] == "collection"]
    assert [(data["name"], data["outcome"]) for data in collected] == [
        ("customer", "begun"),
        ("customer", "collected"),
        ("pin", "begun"),
        ("pin", "collected"),
    ]
    assert (collected[1]["value"], collected[1]["how"], collected[1]["kind"]) == ("4157", "keys", "digits")
    assert "value" not in collected[3]
