"""Webhooks over real sockets: a receiver that checks what it is sent, as docs/api.md says."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

from piopiy_pipeline.gateway import Gateway, startup
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.saved_items import ItemKind, SavedItem
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.webhooks import delivery_queue as outbox
from piopiy_pipeline.gateway.webhooks import sender
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from piopiy_pipeline.gateway.webhooks.sender import Webhooks, retry_after_s
from tests.support.call_events import NOON, CallEvents
from tests.support.gateway_peers import agent, caller, config, until
from tests.support.gateway_process import free_port
from tests.support.webhook_receiver import SECRET, Receiver, receiving

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


def documented_verifier() -> Callable[..., Any]:
    """`verify` of the page that receivers are told to copy it from."""
    [code] = re.findall(r"```python\n(.*?def verify.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)  # the documentation's own code is what is tested
    verify: Callable[..., Any] = names["verify"]
    return verify


@asynccontextmanager
async def sending(*configs: WebhookConfig) -> AsyncIterator[Webhooks]:
    hooks = Webhooks(configs, wall=lambda: NOON, chance=lambda: 0.5)
    await hooks.start()
    try:
        yield hooks
    finally:
        await hooks.close()


def test_a_receiver_that_verifies_as_documented_hears_of_a_whole_call_also_at_the_gateways_end() -> None:
    async def story() -> None:
        async with receiving() as receiver:
            settings = config(webhooks=[receiver.config()])
            async with Gateway(settings) as gateway, agent(gateway) as one:
                await gateway.ready()
                async with caller(gateway) as line:
                    await one.take()
                    await line.hear("answered")
                    await until(lambda: len(receiver.heard) == 2)
                    await gateway.close()
            assert receiver.types == ["call.placed", "call.answered", "call.ended"]
            assert receiver.heard[-1]["data"]["call"]["reason"] == "shutdown"
            verify = documented_verifier()
            for headers, body, heard in zip(receiver.headers, receiver.bodies, receiver.heard, strict=True):
                assert headers["content-type"] == "application/json"
                assert verify(SECRET, headers, body) == heard

    asyncio.run(story())


def test_the_documented_verifier_refuses_what_is_forged_changed_or_old() -> None:
    async def story() -> Receiver:
        async with receiving() as receiver, sending(receiver.config()) as hooks:
            hooks.on_event(CallEvents().placed())
            await until(lambda: len(receiver.heard) == 1)
            return receiver

    receiver = asyncio.run(story())
    headers, body = receiver.headers[0], receiver.bodies[0]
    verify = documented_verifier()
    assert verify(SECRET, headers, body, now=NOON + 60)["type"] == "call.placed"
    other = "whsec_" + base64.b64encode(b"z" * 32).decode()
    for secret, changed, text, now in (
        (other, {}, body, NOON),
        (SECRET, {}, body + b" ", NOON),
        (SECRET, {"webhook-id": "msg_other"}, body, NOON),
        (SECRET, {"webhook-timestamp": str(int(NOON) + 1)}, body, NOON),
        (SECRET, {"webhook-signature": "v1,AAAA"}, body, NOON),
        (SECRET, {}, body, NOON + 3600),
    ):
        with pytest.raises(ValueError, match="webhook"):
            verify(secret, {**headers, **changed}, text, now=now)


def test_what_fails_is_sent_again_as_the_same_message_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAUSES_S", (0.01, 0.01, 0.01))

    async def story() -> None:
        async with receiving() as receiver, sending(receiver.config()) as hooks:
            receiver.answers = [web.Response(status=500), web.Response(status=302)]
            call = CallEvents()
            hooks.on_event(call.placed())
            hooks.on_event(call.ended(101.0))
            await until(lambda: len(receiver.heard) == 4)
            assert receiver.types == ["call.placed"] * 3 + ["call.ended"]
            assert len({headers["webhook-id"] for headers in receiver.headers}) == 2
            assert len(set(receiver.bodies)) == 2

    asyncio.run(story())


def test_a_receiver_that_fails_now_and_then_fills_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAUSES_S", (0.01,) * 8)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", level="INFO")

    async def story() -> None:
        async with receiving() as receiver, sending(receiver.config()) as hooks:
            receiver.answers = [web.Response(status=status) for status in (500, 204, 503, 204) * 5]
            for number in range(20):
                hooks.on_event(CallEvents(f"call-{number}").placed())
            await until(lambda: len(receiver.heard) == 30)
            assert len(set(receiver.bodies)) == 20

    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    told = [line.strip().partition(": ")[2] for line in lines if line.startswith("webhooks to")]
    assert told == ["it answered 500; they are tried again for hours", "it takes them again"]


def test_410_is_heeded_and_other_receivers_go_on() -> None:
    async def story() -> None:
        async with receiving() as leaving, receiving() as staying:
            leaving.answers = [web.Response(status=410)]
            async with sending(leaving.config(), staying.config(events=["call.ended"])) as hooks:
                call = CallEvents()
                hooks.on_event(call.placed())
                await until(lambda: len(leaving.heard) == 1)
                hooks.on_event(call.answered(101.0))
                hooks.on_event(call.ended(102.0))
                await until(lambda: len(staying.heard) == 1)
                assert hooks.gone() == {leaving.config().url}
            assert leaving.types == ["call.placed"]
            assert staying.types == ["call.ended"]

    asyncio.run(story())


def test_410_ends_what_is_saved_for_that_receiver_too(tmp_path: Path) -> None:
    async def story() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path))
        await records.start()
        async with receiving() as leaving:
            leaving.answers, leaving.wait = [web.Response(status=410)], asyncio.Event()
            hooks = Webhooks([leaving.config()], wall=lambda: NOON, chance=lambda: 0.5, records=records)
            await hooks.start()
            call = CallEvents()
            hooks.on_event(call.placed())
            await until(lambda: len(leaving.heard) == 1)
            hooks.on_event(call.answered(101.0))
            hooks.on_event(call.ended(102.0))
            saved = await records.own_items("webhook", 10)
            assert len(saved) == 3
            leaving.wait.set()
            await until(lambda: bool(hooks.gone()))
            assert await records.own_items("webhook", 10) == [], "none would be sent by another gateway"
            records.save("webhook", saved[0].key, saved[0].data or {})  # as if it were another gateway's
            await hooks.recover()
            assert await records.own_items("webhook", 10) == []
            await hooks.close()
        await records.close()

    asyncio.run(story())


def test_what_an_earlier_run_has_left_is_sent_when_the_database_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: list[str] = []
    asked = Store.own_items

    def own_items(store: Store, kind: ItemKind, limit: int) -> list[SavedItem]:
        if len(failing) < 3:
            failing.append(kind)
            raise RecordsUnavailable("the database does not answer")
        return asked(store, kind, limit)

    monkeypatch.setattr(Store, "own_items", own_items)
    monkeypatch.setattr(startup, "RECOVER_AGAIN_S", (0.01, 0.02))

    async def story() -> None:
        async with receiving() as receiver:
            hook = receiver.config()
            settings = config(records=True, data_folder=tmp_path, port=free_port(), webhooks=[hook])
            records = Records(settings)  # of the run before
            await records.start()
            left = {"call_id": "call-1", "event": "call.ended", "body": '{"type": "call.ended"}'}
            records.save("webhook", f"{hook.receiver_id}.msg_1", left)
            await records.close()
            async with Gateway(settings) as gateway:
                await gateway.ready()
                await until(lambda: len(receiver.heard) == 1)
            assert receiver.headers[0]["webhook-id"] == "msg_1"
        assert len(failing) == 3

    asyncio.run(story())


def test_a_receiver_that_does_not_answer_holds_up_neither_another_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "FLUSH_S", 0.1)

    async def story() -> None:
        async with receiving() as stuck, receiving() as other:
            stuck.wait = asyncio.Event()
            async with sending(stuck.config(), other.config()) as hooks:
                for number in range(20):
                    hooks.on_event(CallEvents(f"call-{number}").placed())
                await until(lambda: len(other.heard) == 20)
                assert len(stuck.heard) <= sender.AT_ONCE
                async with asyncio.timeout(5):
                    await hooks.close()

    asyncio.run(story())


def test_a_receiver_that_is_not_there_is_no_failure_of_the_gateway() -> None:
    async def story() -> None:
        gone = WebhookConfig(url="http://127.0.0.1:1/calls", secret=SECRET)
        async with sending(gone) as hooks:
            hooks.on_event(CallEvents().placed())
        await hooks.close()
        early = Webhooks([gone])
        await early.close()  # before it ever began
        await early.start()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2021 08:01:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 500, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert NOON == 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT
    assert retry_after_s(header, NOON) == seconds
