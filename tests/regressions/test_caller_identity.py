"""Who calls is what a password says, and not what a caller writes into its From."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.syntax.digest import Challenge, Credentials, answer
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse
from tests.support.sip_bench import PHONE, SDP, Bench, codes, request

USERS = {"ada": "her password", "bar": "its password", "pbx": "a password"}
CALLER_IDS = {"bar": ["+4930123456", "100"], "pbx": ["*"]}
_numbers = itertools.count(1)


def bench(**more: object) -> Bench:
    return Bench(
        SipConfig.model_validate({"users": USERS, "caller_ids": CALLER_IDS, "default_agent": "desk", **more})
    )


def calling(
    one: Bench, user: str, shown: str, *, password: str | None = None, name: str = ""
) -> IncomingCall:
    """A phone calls with this user's password, and writes `shown` into its From."""
    n = next(_numbers)

    def invite(cseq: int, *headers: str) -> bytes:
        data = request(
            "INVITE", branch=f"{n}-{cseq}", call_id=f"call-{n}", cseq=cseq, body=SDP, headers=headers
        )
        return data.replace(b'From: "Alice A" <sip:alice@192.0.2.9>', f"From: {name}<{shown}>".encode())

    (challenge,) = one.receive(invite(1))
    assert isinstance(challenge, SipResponse)
    assert challenge.code == 401
    asked = Challenge.choose(challenge.headers.getlist("WWW-Authenticate"))
    assert asked is not None
    given = answer(
        asked, Credentials(user, password or USERS[user]), method="INVITE", uri="sip:100@192.0.2.1"
    )
    assert codes(one.receive(invite(2, f"Authorization: {given}"))) == [100]
    return one.calls[-1]


@pytest.mark.parametrize(
    ("user", "shown", "believed"),
    [
        ("ada", "sip:ada@192.0.2.9", "ada"),
        ("ada", "sip:ada@elsewhere.example", "ada"),
        ("ada", "sip:bar@192.0.2.9", "ada"),
        ("ada", "sip:+4930123456@192.0.2.9", "ada"),
        ("ada", "sip:ADA@192.0.2.9", "ada"),
        ("ada", "sip:192.0.2.9", "ada"),
        ("ada", "tel:+4930123456", "ada"),
        ("ada", "mailto:chief@x", "ada"),
        ("ada", "sip:%62ar@192.0.2.9", "ada"),
        ("bar", "sip:+49-30-123456@192.0.2.9", "+4930123456"),
        ("bar", "sip:100@192.0.2.9", "100"),
        ("bar", "sip:1001@192.0.2.9", "bar"),
        ("pbx", "sip:+1555@192.0.2.9", "+1555"),
        ("ada", "sip:anonymous@anonymous.invalid", ""),
    ],
)
def test_a_phone_is_its_user_and_shows_what_the_user_may_show(user: str, shown: str, believed: str) -> None:
    call = calling(bench(), user, shown)
    assert (call.user, call.from_user) == (user, believed)


def test_the_display_name_of_somebody_else_is_left_out_with_the_number() -> None:
    one = bench()
    assert calling(one, "ada", "sip:bar@x", name='"The bar" ').from_name == ""
    assert calling(one, "ada", "sip:ada@x", name='"Ada L" ').from_name == "Ada L"


@pytest.mark.parametrize(
    "shown", ["sip:ada@x", "sip:+4930123456@x", "sip:100@x", "sip:a%64a@x", "sip:1-00@x"]
)
def test_where_anyone_may_call_nobody_calls_as_a_user_without_the_password(shown: str) -> None:
    one = bench(callers="anyone")
    call = calling(one, "ada", shown)  # it is asked for the password
    assert call.from_user == "ada"
    stranger = request("INVITE", branch="s", call_id="s", body=SDP, user="stranger")
    assert codes(one.receive(stranger)) == [100]
    assert one.calls[-1].from_user == "stranger"


def test_a_trunk_may_say_that_anybody_calls_and_its_word_alone_is_an_assertion() -> None:
    one = bench(trunks={"carrier": {"host": PHONE.host}}, callers="anyone")
    asserted = ["P-Asserted-Identity: <tel:+4930123456>"]
    assert codes(one.receive(request("INVITE", body=SDP, user="ada", headers=asserted))) == [100]
    assert one.calls[-1].from_user == "ada"
    assert one.calls[-1].headers == {"P-Asserted-Identity": "<tel:+4930123456>"}
    other = bench(callers="anyone")
    assert codes(other.receive(request("INVITE", body=SDP, headers=asserted))) == [100]
    assert other.calls[-1].headers == {}


def test_nobody_registers_the_phone_of_another_user() -> None:
    one = bench()
    ask = one.registering("bar", "UDP")
    (challenge,) = one.receive(ask(2))
    own = one.credentials("ada", USERS["ada"], challenge)
    assert codes(one.receive(ask(3, own))) == [403]
    assert one.agent.registrar.find("bar", one.now) is None


def test_caller_ids_of_nobody_are_an_error_of_the_configuration() -> None:
    with pytest.raises(ValidationError, match=r"caller_ids\.eve: users has nobody of this name"):
        bench(caller_ids={"eve": ["1"]})
