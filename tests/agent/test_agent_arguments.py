"""What an author may give an `Agent`: a value that cannot work is refused with a sentence when the agent is made."""

from __future__ import annotations

from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.agent_arguments import check_arguments
from piopiy_pipeline.agent.draining import DrainPlan
from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.agent_identity import ID_VARIABLES, TOKEN_VARIABLES, identity_variables

NAN = float("nan")
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"agent_id": 5}, "agent_id must be a text, not 5"),
    ({"agent_token": None}, "agent_token is missing: set AGENT_TOKEN in the environment, or pass it"),
    ({"agent_id": "x" * 129}, "agent_id has 129 characters: 128 are the limit"),
    ({"agent_id": "a\nb"}, "agent_id has a line break or another control character"),
    *(
        (
            {"agent_token": token},
            "agent_token has a blank, a line break or another sign that no token has: copy it again",
        )
        for token in ("secret\n", "two words", "tökén")
    ),
    ({"capacity": 0}, "capacity must be 'auto' or a whole number from 1 to 1000000, not 0"),
    ({"capacity": 2.5}, "capacity must be 'auto' or a whole number from 1 to 1000000, not 2.5"),
    ({"capacity": True}, "capacity must be 'auto' or a whole number from 1 to 1000000, not True"),
    ({"capacity": NAN}, "capacity must be 'auto' or a whole number from 1 to 1000000, not nan"),
    ({"capacity": "4"}, "capacity must be 'auto' or a whole number from 1 to 1000000, not '4'"),
    ({"capacity": 10**9}, "capacity must be 'auto' or a whole number from 1 to 1000000, not 1000000000"),
    ({"load_threshold": "0.5"}, "load_threshold must be a number from 0.1 to 1, not '0.5'"),
    ({"load_threshold": NAN}, "load_threshold must be a number from 0.1 to 1, not nan"),
    ({"load_threshold": 85}, "load_threshold must be a number from 0.1 to 1, not 85"),
    ({"blocked_call_s": NAN}, "blocked_call_s must be 1 second or more, not nan"),
    ({"blocked_call_s": None}, "blocked_call_s must be a number of seconds, not None"),
    ({"drain": ""}, "drain must be finish or move, not ''"),
    ({"drain_s": True}, "drain_s must be a number of seconds (None: for as long as calls go on), not True"),
    ({"drain_s": "5"}, "drain_s must be a number of seconds (None: for as long as calls go on), not '5'"),
    ({"blocked_call_s": "10"}, "blocked_call_s must be a number of seconds, not '10'"),
    (
        {"signaling_url": []},
        "signaling_url is an empty list: name an address such as ws://host:port, or leave it out",
    ),
    (
        {"metrics_port": "x"},
        "metrics_port: 'x' is no port for metrics: give PORT, or HOST:PORT as in 0.0.0.0:9464",
    ),
    ({"drain_s": NAN}, "drain_s must be 0 seconds or more (None: for as long as calls go on), not nan"),
    (
        {"signaling_url": 5},
        "signaling_url must be an address such as ws://host:port, a list of them, or None, not 5",
    ),
    ({"redact": "x"}, "redact must be a Redaction, or None, not 'x'"),
    ({"debug": "no"}, "debug must be True or False, not 'no'"),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_what_cannot_work_is_refused_with_a_sentence(given: dict[str, Any], sentence: str) -> None:
    async def bot(call: Call) -> None:
        """Never called."""

    with pytest.raises((TypeError, ValueError)) as raised:
        Agent(**{"agent_id": "desk", "agent_token": "token", "create_session": bot, **given})
    assert str(raised.value) == sentence


def test_a_grace_that_no_float_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="drain_s must be 0 seconds or more"):
        DrainPlan.choose(None, 10**400)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"workers": 60}, "workers=60: there are 50, one for each call that capacity=50 takes"),
        ({"workers": "call", "warm": 100}, "warm=100: 50 wait for a call, as many as capacity=50 takes"),
    ],
)
def test_a_number_that_the_capacity_lowers_is_told(
    given: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="WARNING")
    try:
        wanted: dict[str, Any] = {"workers": None, "warm": None, "memory_mb": None, **given}
        Isolation.choose("process", capacity=50, environment={}, **wanted)
    finally:
        logger.remove(sink)
    assert lines == [sentence]


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"AGENT_ID": "one", "AGENT_TOKEN": "t1"}, ("one", "t1")),
        ({"PIOPIY_AGENT_ID": "two", "PIOPIY_TOKEN": "t2"}, ("two", "t2")),
        ({"TELECMI_AGENT_ID": "three", "TELECMI_TOKEN": "t3"}, ("three", "t3")),
        ({"AGENT_ID": "one", "TELECMI_AGENT_ID": "three", "TELECMI_TOKEN": "t3"}, ("one", "t3")),
    ],
)
def test_the_environment_of_either_generation_names_the_agent(
    variables: dict[str, str], wanted: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*ID_VARIABLES, *TOKEN_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = check_arguments(
        agent_id=None, agent_token=None, signaling_url=None, debug=False, redact=None, blocked_call_s=10.0
    )
    assert found == wanted
    given = identity_variables("mine", "secret")
    assert (given["AGENT_ID"], given["AGENT_TOKEN"]) == ("mine", "secret")
    assert given.get("PIOPIY_TOKEN") == (None if "PIOPIY_TOKEN" in variables else "secret"), (
        "it stays as it is"
    )
