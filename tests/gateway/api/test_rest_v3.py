"""`/v3`, the facade of Piopiy's REST API: what its requests become, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from piopiy_pipeline.gateway.api import place_wait, rest_v3
from piopiy_pipeline.gateway.api.request_limits import BODY_LIMIT
from piopiy_pipeline.gateway.core.dialling import DialledLeg, DialRefused, DialRequest
from tests.support.gateway_peers import AGENT_ID, caller, until
from tests.support.rest_v3 import AI_CALL, PCMO, PHONE, connect, place, post, refusal

# ---------------------------------------------------------------------- calls


@pytest.mark.parametrize("path", ["/voice/ai/call", "/voice/agent/call"])
def test_a_call_is_dialled_with_its_options_and_variables(path: str) -> None:
    async def story() -> None:
        async with place() as here:
            options = {"max_duration_sec": 600, "ring_timeout_sec": 20, "record": False}
            answer = await post(
                here, path, **AI_CALL, options=options, variables={"name": "Asha", "vip": True}
            )
            assert answer.status_code == 200
            call_id = answer.json()["call_id"]
            assert answer.json() == {"message": "queued", "call_id": call_id, "request_id": call_id}
            request = here.far.request
            assert (request.to, request.from_number, request.ring_timeout_s) == (
                "+918888888888",
                "+919999999999",
                20,
            )
            call = here.call(call_id)
            assert (call.info.metadata, call.options.max_duration_s) == ({"name": "Asha", "vip": True}, 600)
            assert call.options.record is False
            looked = (await here.web.get(f"/v3/calls/{call_id}")).json()
            assert (looked["status"], looked["agent_id"], looked["to_number"]) == (
                "dialling",
                AGENT_ID,
                "+918888888888",
            )
            ended = await post(
                here, "/voice/call/hangup", call_id=call_id, cause="NORMAL_CLEARING", reason="changed"
            )
            assert ended.json()["message"] == "hung_up"
            record = (await here.web.get(f"/api/calls/{call_id}")).json()["call"]
            assert record["detail"] == "hung up over the API: NORMAL_CLEARING, changed"
            assert refusal(await here.web.get(f"/v3/calls/{call_id}"))[:2] == (404, "call_not_found")
            again = await post(here, "/voice/ai/hangup", call_id=call_id)
            assert refusal(again)[:2] == (409, "call_not_active")

    asyncio.run(story())


def test_the_first_agent_that_has_a_place_gets_a_call_with_failover() -> None:
    async def story() -> None:
        async with place() as here:
            agents = connect(
                {"type": "agent", "id": "second"},
                {"type": "agent", "id": AGENT_ID},
                caller_id="919999999999",
                options={"ring_timeout_sec": 15, "machine_detection": True, "recording": {"enabled": False}},
                metadata={"tier": 2},
            )
            param = {"action": "param", "data": {"order": 7}}
            answer = await post(here, "/voice/pcmo/call", **PCMO, pipeline=[param, agents])
            call = here.call(answer.json()["call_id"])
            assert (call.info.agent_id, call.info.metadata) == (AGENT_ID, {"order": 7, "tier": 2})
            assert here.far.request.ring_timeout_s == 15
            [warning] = answer.json()["warnings"]
            assert warning.startswith("pipeline[1].params.options.machine_detection:")

    asyncio.run(story())


def test_an_agent_that_does_not_run_is_told_in_piopiys_word_and_one_that_is_full_may_be_asked_again() -> None:
    async def story() -> None:
        async with place() as here:
            absent = await post(here, "/voice/ai/call", **{**AI_CALL, "agent_id": "second"})
            assert refusal(absent)[:2] == (403, "ai_agent_not_running")
            nobody = await post(here, "/voice/ai/call", **{**AI_CALL, "agent_id": "nobody"})
            assert refusal(nobody) == (404, "ai_agent_not_found", "this gateway has no agent 'nobody'")
            one = here.gateway.switchboard.instances.of(AGENT_ID)[0]
            await here.agent.say(type="status", active=10, capacity=10)
            await until(lambda: not one.takes_calls)
            full = await post(here, "/voice/ai/call", **AI_CALL)
            assert (refusal(full)[:2], full.headers["retry-after"]) == ((503, "at_capacity"), "1")
            assert here.dialler.legs == []

    asyncio.run(story())


@pytest.mark.parametrize("why", ["it runs at another gateway", "this gateway has sent it away"])
def test_an_agent_that_runs_elsewhere_may_be_asked_again(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_wait, "PLACE_S", 0.01)

    async def story() -> None:
        async with place() as here:
            board = here.gateway.switchboard
            if "another" in why:
                monkeypatch.setattr(board.resources.summoner, "elsewhere", lambda _: 1)
            else:
                board.drain.switch(on=True)
            busy = await post(here, "/voice/ai/call", **{**AI_CALL, "agent_id": "second"})
            assert refusal(busy)[:2] == (503, "at_capacity")
            assert busy.headers["Retry-After"] == "1"

    asyncio.run(story())


def test_a_repeated_order_is_answered_with_the_call_of_the_agent_that_was_free() -> None:
    async def story() -> None:
        async with place() as here:
            agents = connect({"type": "agent", "id": "second"}, {"type": "agent", "id": AGENT_ID})
            body = {**PCMO, "pipeline": [agents]}
            calls = []
            for _ in range(2):
                answer = await here.web.post(
                    "/v3/voice/pcmo/call", json=body, headers={"Idempotency-Key": "k"}
                )
                calls.append(answer.json()["call_id"])
            assert calls[0] == calls[1]
            assert here.has_tried(1)

    asyncio.run(story())


def test_no_order_is_answered_later_than_piopiys_client_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask again, and the person would be called twice."""
    monkeypatch.setattr(rest_v3, "ANSWER_S", 0.05)

    async def story() -> None:
        async with place(ring_s=300) as here:
            late = await post(here, "/voice/ai/call", **{**AI_CALL, "agent_id": "second"})
            assert refusal(late)[:2] == (403, "ai_agent_not_running")
            waiting = here.gateway.switchboard.resources.waiting
            assert not waiting.waits_for("second")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/voice/ai/call", {**AI_CALL, "colour": "red"}, "body.colour"),
        ("/voice/ai/call", {**AI_CALL, "options": {"codec": "opus"}}, "body.options.codec"),
        ("/voice/ai/call", {**AI_CALL, "options": {"ring_timeout_sec": 4}}, "body.options.ring_timeout_sec"),
        ("/voice/ai/call", {**AI_CALL, "variables": {"a": [1]}}, "body.variables.a"),
        ("/voice/ai/call", {"to_number": "918888888888"}, "body.agent_id"),
        ("/voice/pcmo/call", {**PCMO, "pipeline": []}, "body.pipeline"),
        ("/voice/pcmo/call", {**PCMO, "pipeline": [{"action": "dance"}]}, "body.pipeline"),
        ("/voice/pcmo/call", {**PCMO, "pipeline": [{"action": "hangup", "now": True}]}, "now"),
        ("/voice/call/hangup", {"call_id": "x/y"}, "body.call_id"),
        ("/calls/x/actions/transfer", {"to_number": "917777777777", "colour": 1}, "body.colour"),
        ("/calls/x/actions/transfer", {"to_number": "9", "sip_headers": {"From": "me"}}, "body.sip_headers"),
        ("/calls/x/actions/transfer", {"pipeline": [], "to_number": "9"}, "body.pipeline"),
        ("/calls/x/actions/hangup", {"colour": 1}, "body.colour"),
        ("/calls/x/actions/transfer", {}, "to_number, sip_uri: a transfer needs exactly one"),
        # A number gets its plus, and has one character too many then.
        ("/voice/ai/call", {**AI_CALL, "to_number": "9" * 256}, "to_number: expected at most 256 characters"),
        ("/voice/ai/call", {**AI_CALL, "caller_id": "9" * 256}, "caller_id: expected at most 256 characters"),
        ("/calls/x/actions/transfer", {"to_number": "9" * 256}, "to_number: expected at most 256"),
        (
            "/voice/pcmo/transfer",
            {"call_id": "x", "pipeline": [connect({"type": "pstn", "number": "9" * 256})]},
            "pipeline[0]: to_number: expected at most 256",
        ),
        (
            "/calls/x/actions/transfer",
            {"to_number": "917777777777", "sip_uri": "sip:a@b.example"},
            "to_number, sip_uri: a transfer needs exactly one",
        ),
    ],
)
def test_what_is_not_as_described_is_named(path: str, body: dict[str, Any], where: str) -> None:
    async def story() -> None:
        async with place() as here:
            status, code, text = refusal(await post(here, path, **body))
            assert (status, code) == (422, "invalid_request")
            assert where in text
            assert here.dialler.legs == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (
            "/voice/pcmo/call",
            {**PCMO, "pipeline": [connect({**PHONE, "number": PCMO["to_number"]})]},
            "pipeline: to_number is called already",
        ),
        (
            "/voice/pcmo/call",
            {**PCMO, "pipeline": [{"action": "record"}]},
            "pipeline: nobody would talk",
        ),
        (
            "/voice/pcmo/call",
            {**PCMO, "pipeline": [connect({"type": "agent", "id": AGENT_ID}, PHONE)]},
            "pipeline[0].endpoints[1]: an agent has a call from its beginning",
        ),
        (
            "/voice/pcmo/transfer",
            {"call_id": "x", "pipeline": [connect(PHONE), {"action": "record"}]},
            "pipeline[1]: nothing but hangup",
        ),
        (
            "/voice/pcmo/transfer",
            {"call_id": "x", "pipeline": [connect(PHONE, {**PHONE, "headers": {"X-A": "1"}})]},
            "pipeline[0].endpoints: headers are the same",
        ),
        (
            "/voice/pcmo/transfer",
            {"call_id": "x", "pipeline": [connect({"type": "agent", "id": "a"})]},
            "pipeline[0].endpoints[0]: a caller is handed to another agent by the bot",
        ),
        (
            "/voice/pcmo/transfer",
            {"call_id": "x", "pipeline": [{"action": "record"}]},
            "pipeline[0]: to record is no",
        ),
        ("/voice/flow/call", {"flow_id": "x"}, "flow_id: flows of Piopiy's dashboard"),
        (
            "/calls/x/actions/transfer",
            {"to_number": "917777777777", "confirm": True},
            "confirm: nobody is asked",
        ),
    ],
)
def test_what_a_gateway_cannot_do_is_refused_with_the_field_and_what_to_do(
    path: str, body: dict[str, Any], text: str
) -> None:
    async def story() -> None:
        async with place() as here:
            status, code, message = refusal(await post(here, path, **body))
            assert (status, code) == (422, "not_supported")
            assert message.startswith(text)
            assert here.dialler.legs == []

    asyncio.run(story())


def test_an_error_has_its_words_before_any_route_has_read_the_request() -> None:
    async def story() -> None:
        async with place() as here:
            large = await here.web.post("/v3/voice/ai/call", json={"a": "x" * BODY_LIMIT})
            assert refusal(large)[:2] == (413, "invalid_request")
            broken = await here.web.post("/v3/voice/ai/call", content='{"a": NaN}')
            assert refusal(broken)[:2] == (422, "invalid_request")
            assert refusal(await here.web.get("/v3/nothing"))[:2] == (404, "not_found")
            stranger = await here.web.get("/v3/calls/x", headers={"Origin": "https://elsewhere.example"})
            assert refusal(stranger)[:2] == (403, "forbidden")
            own = await here.web.post("/api/calls", json={"a": "x" * BODY_LIMIT})
            assert list(own.json()) == ["error"]

    asyncio.run(story())


def test_a_phone_that_is_away_is_not_possible_and_does_not_count_as_dialled() -> None:
    async def story() -> None:
        async with place(dials_per_minute=1) as here:
            dialler = here.dialler
            here.gateway.switchboard.resources.dialler = NobodyThere()
            for _ in range(3):
                away = await post(here, "/voice/ai/call", **AI_CALL)
                assert refusal(away) == (409, "not_possible", "no phone is registered just now")
            here.gateway.switchboard.resources.dialler = dialler
            assert (await post(here, "/voice/ai/call", **AI_CALL)).status_code == 200
            assert refusal(await post(here, "/voice/ai/call", **AI_CALL))[:2] == (429, "rate_limited")

    asyncio.run(story())


class NobodyThere:
    """A dialler whose phones are not registered."""

    def dial(self, _: DialRequest) -> DialledLeg:
        raise DialRefused("no phone is registered just now", "away")


def test_numbers_get_their_plus_and_names_of_the_gateway_stay() -> None:
    known = {"918888888888", "kitchen"}.__contains__
    from piopiy_pipeline.gateway.api.rest_v3_meaning import number_of

    assert number_of("917777777777", known) == "+917777777777"
    for as_it_is in ("918888888888", "kitchen", "+49301234567", "sip:desk@pbx.example", "0301234567", "200"):
        assert number_of(as_it_is, known) == as_it_is


ODD: list[Any] = [
    None,
    "",
    0,
    -1,
    1e9,
    "x" * 300,
    [],
    {},
    [1],
    True,
    "sip:a@b",
    "\0",
    "a/b",
    1.5,
    {"action": "connect"},
]
PIPELINES: list[Any] = [
    [{"action": "connect", "endpoints": [{"type": "pstn"}]}],
    [{"action": "connect", "endpoints": [{"type": "agent"}]}],
    [{"action": "param", "data": {"a": "b"}}],
    [{"action": "record"}, {"action": "hangup"}],
    [{"action": "play"}],
    [{"action": "play", "file_name": "http://[/a.wav"}],
    [{"action": "input", "dtmf": {"min_digits": 3, "max_digits": 2}, "on_result": {"type": "url"}}],
    [
        {
            "action": "play_get_input",
            "prompt": {"type": "file"},
            "input": ["dtmf"],
            "on_result": {"type": "pcmo"},
        }
    ],
    [connect(PHONE), connect(PHONE)],
]
FIELDS = (
    "caller_id",
    "to_number",
    "agent_id",
    "options",
    "variables",
    "pipeline",
    "call_id",
    "cause",
    "sip_uri",
    "confirm",
)


def test_no_body_makes_it_fail() -> None:
    async def story() -> None:
        chance = random.Random(7)
        async with place(dials_per_minute=6000) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            paths = (
                "/voice/ai/call",
                "/voice/pcmo/call",
                "/voice/pcmo/transfer",
                "/voice/call/hangup",
                "/voice/flow/call",
                "/calls/%2e%2e/actions/hold",
                f"/calls/{call_id}/actions/transfer",
            )
            statuses = set()
            for _ in range(500):
                body: Any = dict(chance.choice([AI_CALL, PCMO, {}]))
                for _ in range(chance.randint(0, 3)):
                    body[chance.choice(FIELDS)] = chance.choice(ODD + PIPELINES)
                sent = chance.choice([body, body, body, chance.choice(ODD)])
                answer = await here.web.post(f"/v3{chance.choice(paths)}", json=sent)
                statuses.add(answer.status_code)
                assert answer.status_code < 500, f"{sent}: {answer.text}"
                assert answer.status_code == 200 or {"error", "message"} <= answer.json().keys()
            assert {200, 404, 422} <= statuses

    asyncio.run(story())
