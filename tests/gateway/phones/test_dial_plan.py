"""Whom agents and operators may have called, through which trunk, and under which number."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.gateway.core.dialling import DialRefused
from piopiy_pipeline.gateway.phones.dial_plan import Destination, DialPlan
from piopiy_pipeline.gateway.sip.config import SipConfig

TRUNKS: dict[str, Any] = {
    "main": {"host": "sip.example.org"},
    "germany": {"host": "de.example.org", "prefixes": ["+49", "0"]},
    "berlin": {"host": "berlin.example.org", "port": 5070, "prefixes": ["+4930"]},
}


def plan(**settings: Any) -> DialPlan:
    return DialPlan(SipConfig.model_validate({"trunks": TRUNKS, **settings}))


@pytest.mark.parametrize(
    ("to", "number", "trunk"),
    [
        ("+1 (555) 010-0", "+15550100", "main"),
        ("tel:+49.30.1234", "+49301234", "berlin"),
        ("+49 89/1234", "+49891234", "germany"),
        ("030 1234", "0301234", "germany"),
        ("*21#", "*21#", "main"),
    ],
)
def test_a_number_goes_through_the_trunk_with_the_longest_prefix_that_fits(
    to: str, number: str, trunk: str
) -> None:
    assert plan().find(to) == Destination("number", number, trunk)


def test_a_number_that_no_trunk_takes_is_found_without_one() -> None:
    only = plan(trunks={"germany": TRUNKS["germany"]})
    assert only.find("+15550100") == Destination("number", "+15550100", None)


def test_a_user_is_called_on_the_phone_whatever_the_name_looks_like() -> None:
    with_users = plan(users={"100": "secret", "alice": "secret"}, dial_allowed=[])
    assert with_users.find("100") == Destination("phone", "100")
    assert with_users.find("alice") == Destination("phone", "alice")


def test_contacts_come_first_and_need_no_other_permission() -> None:
    found = plan(
        users={"alice": "secret"},
        dial_allowed=[],
        contacts={
            "Front desk": "alice",
            "kitchen": "+49 30 5",
            "bar": "sip:bar@10.0.0.7:5080",
            "cellar": "sip:cellar@Berlin.example.org:5070",
        },
    ).find
    assert found("front DESK ") == Destination("phone", "alice")
    assert found("kitchen") == Destination("number", "+49305", "berlin")
    assert found("bar") == Destination("uri", "sip:bar@10.0.0.7:5080")
    assert found("cellar") == Destination("number", "cellar", "berlin")


@pytest.mark.parametrize(
    ("settings", "to", "says"),
    [
        ({}, "sip:bob@10.0.0.7", "sip.allow_uris is off"),
        ({}, "the kitchen", "neither a contact"),
        ({}, "", "neither a contact"),
        ({}, "tel:", "neither a contact"),
        ({}, "5" * 33, "neither a contact"),
        ({}, "١٢٣", "neither a contact"),
        ({"dial_allowed": ["+49*", "110"]}, "+1900555", "sip.dial_allowed has no pattern for '\\+1900555'"),
        ({"dial_allowed": ["110"]}, "1100", "sip.dial_allowed"),
        ({"dial_allowed": []}, "110", "sip.dial_allowed"),
        ({"dial_allowed": ["110"], "allow_uris": True}, "sip:+1900@sip.example.org", "sip.dial_allowed"),
        ({"allow_uris": True}, "sip:bob@", "no host"),
        ({"allow_uris": True}, "sip:bob@a\r\nVia: x", "characters that none may have"),
    ],
)
def test_whom_the_configuration_does_not_allow_is_refused_with_the_setting(
    settings: dict[str, Any], to: str, says: str
) -> None:
    with pytest.raises(DialRefused, match=says) as refused:
        plan(**settings).find(to)
    assert refused.value.obstacle == ("not_allowed" if says.startswith("sip.") else "destination")


def test_addresses_may_be_called_where_that_is_allowed_and_a_trunks_own_through_it() -> None:
    free = plan(allow_uris=True)
    assert free.find("sip:bob@10.0.0.7") == Destination("uri", "sip:bob@10.0.0.7")
    assert free.find("sip:+15550100@sip.example.org:5060").trunk == "main"


@pytest.mark.parametrize(
    ("caller_ids", "asked", "shown"),
    [
        ([], "+15550100", "+15550100"),
        ([], None, ""),
        (["+4930100"], "+15550100", "+4930100"),
        (["+4930100"], None, "+4930100"),
        (["+4930100", "+49302*"], "+49 30 2-55", "+4930255"),
        (["+4930100", "*"], "alice", "+4930100"),
    ],
)
def test_a_trunk_shows_the_numbers_that_are_its_own(
    caller_ids: list[str], asked: str | None, shown: str
) -> None:
    one = plan(trunks={"main": {"host": "x", "caller_ids": caller_ids}})
    assert one.caller_id(one.find("110"), asked) == shown
