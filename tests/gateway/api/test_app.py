"""The API as a whole: what it says of itself, its errors, its headers, and the console beside it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from loguru import logger
from pydantic import TypeAdapter

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens
from piopiy_pipeline.gateway.api import app as app_module
from piopiy_pipeline.gateway.api import (
    calls,
    carriers,
    chats,
    cluster,
    control,
    metrics,
    phones,
    prompts,
    rest_v3,
    transfers,
)
from piopiy_pipeline.gateway.api import pipecat_clients as clients
from piopiy_pipeline.gateway.api.models import ServerInfo
from piopiy_pipeline.signaling.messages import Heartbeat, Load, Status
from tests.support.gateway_peers import AGENT_ID, agent, bearer, config
from tests.support.web import API_KEY, client

ICE = [{"urls": ["turn:turn.example"], "username": "u", "credential": "secret"}]


def test_info_tells_everybody_little_and_operators_all() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], ice_servers=ICE)
        async with Gateway(settings) as gateway, agent(gateway, capacity=3), client(gateway, key=None) as web:

            async def info(**headers: str) -> ServerInfo:
                return ServerInfo.model_validate((await web.get("/api/info", headers=headers)).json())

            stranger = await info()
            assert (stranger.authorized, stranger.agents, stranger.ice_servers) == (False, [], [])
            assert stranger.console == "key"
            operator = await info(**bearer(API_KEY))
            assert operator.authorized
            (one,) = operator.agents
            assert (one.agent_id, one.instances, one.active, one.capacity) == (AGENT_ID, 1, 0, 3)
            grant = await web.post("/api/tokens", json={"agent_id": AGENT_ID}, headers=bearer(API_KEY))
            caller = await info(**bearer(grant.json()["token"]))
            assert (caller.authorized, caller.agents) == (False, [])
            assert caller.ice_servers == operator.ice_servers == settings.ice_servers

    asyncio.run(story())


def test_operators_learn_how_busy_instances_are_and_which_take_no_new_calls() -> None:
    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway),
            client(gateway, key=None) as web,
        ):

            async def info() -> ServerInfo:
                return ServerInfo.model_validate((await web.get("/api/info", headers=bearer(API_KEY))).json())

            assert [(one.busy, one.lag_p95_ms, one.overloaded) for one in (await info()).agents] == [
                (None, None, 0)
            ]
            [instance] = gateway.switchboard.instances.of(AGENT_ID)
            load = Load(
                busy=0.91, lag_p95_ms=12.5, core=1.1, takes="takeovers", why="it is busy for 91% of its time"
            )
            now = asyncio.get_running_loop().time()
            gateway.switchboard.receive(instance, Status(active=40, capacity=200, load=load), now)
            said = await info()
            assert [(one.busy, one.lag_p95_ms, one.overloaded) for one in said.agents] == [(0.91, 12.5, 1)]
            (problem,) = [each for each in said.problems if "instance" in each]
            assert problem.endswith("takes no new calls beside its 40: it is busy for 91% of its time.")

    asyncio.run(story())


def test_operators_learn_which_instances_are_silent_and_why_and_nobody_else_does() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY])
        async with Gateway(settings) as gateway, agent(gateway), client(gateway, key=None) as web:

            async def info(**headers: str) -> ServerInfo:
                return ServerInfo.model_validate((await web.get("/api/info", headers=headers)).json())

            [instance] = gateway.switchboard.instances.of(AGENT_ID)
            now = asyncio.get_running_loop().time()
            gateway.switchboard.silences.silent(instance, "nothing was heard of it for 1.0 s", now)
            told = await info(**bearer(API_KEY))
            assert [(one.instances, one.silent) for one in told.agents] == [(1, 1)]
            [problem] = told.problems
            assert instance.instance_id in problem
            assert "nothing was heard of it for 1.0 s" in problem
            assert not (await info()).problems
            assert "silent" not in (await web.get("/healthz")).text, "other instances may serve"
            for _ in range(3):
                gateway.switchboard.receive(instance, Heartbeat(), now)
            told = await info(**bearer(API_KEY))
            assert [(one.silent, told.problems) for one in told.agents] == [(0, [])]

    asyncio.run(story())


def test_an_open_console_needs_no_key_and_foreign_pages_get_nothing() -> None:
    async def story() -> None:
        async with Gateway(config(console="open")) as gateway, client(gateway, key=None) as web:
            assert (await web.get("/api/info")).json()["authorized"] is True
            assert (await web.get("/api/calls")).status_code == 200
            assert (await web.post("/api/tokens", json={"agent_id": AGENT_ID})).status_code == 200
            for headers in ({"Host": f"evil.example:{gateway.port}"}, {"Sec-Fetch-Site": "cross-site"}):
                assert (await web.get("/api/info", headers=headers)).json()["authorized"] is False
                assert (await web.get("/api/calls", headers=headers)).status_code == 401
            for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
                answer = await web.post(
                    "/api/tokens", json={"agent_id": AGENT_ID}, headers={"Origin": origin}
                )
                assert answer.status_code == 403
                assert "access-control-allow-origin" not in answer.headers

    asyncio.run(story())


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        prose = {key for key in ("description", "summary") if isinstance(value.get(key), str)}
        return {key: _without_prose(one) for key, one in value.items() if key not in prose}
    return [_without_prose(one) for one in value] if isinstance(value, list) else value


def test_openapi_is_the_published_one_but_for_its_prose() -> None:
    """`openapi.json` was written by version 0.1.0. Clients are generated from it: an addition belongs there too."""

    async def story() -> None:
        async with Gateway(config()) as gateway, client(gateway, key=None) as web:
            schema = (await web.get("/openapi.json")).json()
        del schema["info"]
        published = (Path(__file__).parent / "openapi.json").read_text()
        assert json.dumps(_without_prose(schema), indent=1) + "\n" == published

    asyncio.run(story())


def test_openapi_names_every_route_and_the_messages_of_events() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, client(gateway, key=None) as web:
            schema = (await web.get("/openapi.json")).json()
        told = {(method, path) for path, methods in schema["paths"].items() for method in methods}
        routers = (
            clients.router,
            calls.router,
            control.router,
            chats.router,
            carriers.router,
            transfers.router,
            prompts.router,
            phones.router,
            cluster.router,
            metrics.router,
        )
        own = [route for router in routers for route in router.routes]
        routes = [route for route in own if route.include_in_schema]  # type: ignore[attr-defined]
        there = {(method.lower(), route.path) for route in routes for method in route.methods}  # type: ignore[attr-defined]
        assert told == there | {("get", "/api/events")}
        assert {"WatchKey", "Hello", "WatchedCall", "WatchedEvent", "CallRecord"} <= set(
            schema["components"]["schemas"]
        )
        text = str(schema)
        for reference in set(re.findall(r"#/components/schemas/(\w+)", text)):
            assert reference in schema["components"]["schemas"], reference
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                assert operation["summary"], (method, path)

    asyncio.run(story())


def test_the_console_is_served_with_a_policy_that_lets_nothing_else_in() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, client(gateway, key=None) as web:
            page = await web.get("/")
            assert page.headers["content-type"].startswith("text/html")
            policy = page.headers["content-security-policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["cache-control"] == "no-cache"
            again = await web.get("/", headers={"If-None-Match": page.headers["etag"]})
            assert again.status_code == 304
            assert (await web.head("/")).status_code == 200
            for name in re.findall(r'(?:src|href)="([\w/.-]+)"', page.text):
                file = await web.get(f"/{name}")
                assert file.status_code == 200, name
                if name.endswith(".js"):
                    assert "javascript" in file.headers["content-type"]
            for path in (
                "/../server.py",
                "/%2e%2e/server.py",
                "/..%2f..%2fpyproject.toml",
                "/js/../../server.py",
            ):
                assert (await web.get(path)).status_code == 404, path

    asyncio.run(story())


def test_every_error_is_a_problem_and_says_what_to_do() -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway) as web:
            for method, path, status, says in (
                ("GET", "/nowhere", 404, "nothing is at '/nowhere': /openapi.json"),
                ("GET", "/api/nowhere", 404, "/openapi.json"),
                ("DELETE", "/api/calls", 405, "DELETE is not for '/api/calls'"),
                ("POST", "/", 405, "POST is not for '/'"),
                ("GET", "/agent", 426, "'/agent' is a WebSocket"),
                ("GET", "/api/events", 426, "WebSocket"),
                ("POST", "/api/tokens", 422, "body"),
            ):
                answer = await web.request(method, path)
                assert answer.status_code == status, path
                assert says in answer.json()["error"]
                assert answer.headers["x-content-type-options"] == "nosniff"
            answer = await web.post("/api/tokens", json={"agent_id": AGENT_ID, "colour": "secret-value"})
            assert answer.json()["error"] == "body.colour: there is no such key"

    asyncio.run(story())


def test_a_failure_of_the_gateways_own_is_500_and_the_next_request_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway) as web:
            await gateway.ready()
            assert gateway._services is not None

            async def fail(*_: object, **__: object) -> None:
                raise RuntimeError("a bug with a secret in it")

            with monkeypatch.context() as patch:
                patch.setattr(type(gateway._services.recent), "page", fail)
                answer = await web.get("/api/calls")
                assert (answer.status_code, "log has it" in answer.json()["error"]) == (500, True)
                assert "secret" not in answer.text
            assert (await web.get("/api/calls")).status_code == 200

    asyncio.run(story())


def test_a_failure_in_a_session_logs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    async def story() -> None:
        async with Gateway(config()) as gateway, client(gateway, key=None) as web:
            await gateway.ready()

            def fail(*_: object, **__: object) -> None:
                raise RuntimeError("a bug")

            monkeypatch.setattr(ClientTokens, "verify", fail)
            answer = await web.post("/sessions/a-token/api/offer", json={"sdp": "v=0", "type": "offer"})
            assert answer.status_code == 500

    sink = logger.add(lambda line: lines.append(line.partition("\n")[0]), format="{message}", level="ERROR")
    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert lines == ["POST /sessions/.../api/offer failed"]


def test_the_console_and_the_migrations_are_part_of_the_package() -> None:
    package = Path(app_module.__file__).parents[1]
    assert (app_module.WEB / "index.html").is_file()
    assert (package / "records" / "migrations" / "versions").is_dir()


def test_a_first_request_builds_no_model_and_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are on the event loop, and all callers hear it."""
    parts = (calls, carriers, chats, clients, cluster, control, metrics, phones, prompts, transfers)
    routes = [("", route) for part in parts for route in part.router.routes]
    routes += [("/v3", route) for route in rest_v3.router.routes]
    built: list[str] = []
    build = TypeAdapter.__init__

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        built.append(repr(args))
        build(self, *args, **kwargs)

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway) as web:
            await web.get("/nowhere")  # what the client imports itself
            known = set(sys.modules)
            monkeypatch.setattr(TypeAdapter, "__init__", counted)
            for prefix, route in routes:
                assert isinstance(route, APIRoute)
                path = prefix + re.sub(r"\{.*?\}", "x", route.path)
                for method in sorted(route.methods or ()):
                    await web.request(method, path, json={} if method in ("POST", "PATCH") else None)
                    assert (built, set(sys.modules) - known) == ([], set()), f"{method} {path}"

    asyncio.run(story())
