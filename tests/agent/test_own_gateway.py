"""`Agent(cloud=True)`: when an agent has a gateway of its own. Whole calls over it are in `tests/cloud`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from piopiy_pipeline.agent import own_gateway
from piopiy_pipeline.agent.agent import Agent, CloudError
from piopiy_pipeline.agent.own_gateway import OwnGateway, wants_cloud
from piopiy_pipeline.session import Call
from tests.support.agents import logged
from tests.support.calls import eventually


async def bot(call: Call) -> None:
    """Be a callback."""


@pytest.mark.parametrize(
    ("cloud", "variable", "wanted"),
    [
        (None, None, False),
        (None, "1", True),
        (None, "TRUE", True),
        (None, "0", False),
        (None, "", False),
        (True, "0", True),
        (False, "1", False),
    ],
)
def test_the_argument_goes_before_the_environment(
    cloud: bool | None, variable: str | None, wanted: bool
) -> None:
    assert wants_cloud(cloud, {} if variable is None else {"PIOPIY_CLOUD": variable}) is wanted


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ValueError, match="PIOPIY_CLOUD must be 1 or 0, not 'maybe'"):
        wants_cloud(None, {"PIOPIY_CLOUD": "maybe"})


def test_a_cloud_and_the_address_of_a_gateway_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"cloud=True starts a gateway .* leave signaling_url out"):
        Agent("desk", "token", bot, "ws://127.0.0.1:7860", cloud=True)


def test_a_wrong_kind_is_refused() -> None:
    wrong: Any = "yes"
    with pytest.raises(TypeError, match="cloud"):
        Agent("desk", "token", bot, cloud=wrong)


def test_a_tls_that_says_neither_is_named() -> None:
    with pytest.raises(CloudError, match="PIOPIY_TLS must be true or false, not 'maybe'") as told:
        OwnGateway("desk", "token", None, {"PIOPIY_TLS": "maybe"})
    assert told.value.is_setting  # the exit status of `piopiy start` is that of wrong input


@pytest.mark.parametrize(
    ("token", "variables", "says"),
    [
        ("token", {"PIOPIY_CLOUD_ACCEPT": "never"}, "PIOPIY_CLOUD_ACCEPT: expected 'ready' or 'joined'"),
        ("a secret", {}, "AGENT_TOKEN: it is empty, or has a space"),
        (
            "token",
            {"PIOPIY_REGISTER": "10.66.0.1:99999"},
            "PIOPIY_REGISTER: it looks like register.piopiy.com",
        ),
        ("token", {"PIOPIY_TLS": "false"}, "PIOPIY_TLS=false would send the token in clear"),
        ("token", {"PIOPIY_API_URL": "foo"}, "PIOPIY_API_URL: it looks like https://rest.piopiy.com/v3"),
    ],
)
def test_a_gateway_that_does_not_start_says_why_in_the_users_names(
    token: str, variables: dict[str, str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("piopiy_agent", reason="pip install 'piopiy-pipeline[cloud]'")
    gateway = OwnGateway("desk", token, None, {**os.environ, **variables})

    async def story() -> None:
        try:
            await gateway.start()
        finally:
            await gateway.close()

    with pytest.raises(CloudError, match="did not start: the line above says why") as told:
        asyncio.run(story())
    assert told.value.is_setting
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(says)
    assert "secret" not in line


GATEWAY = """\
#!/bin/sh
echo listening
exec sleep 1000
"""


def test_a_gateway_that_cannot_be_started_again_at_once_is_tried_until_it_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(own_gateway, "AGAIN_S", 0.01)
    program, elsewhere = tmp_path / "python", tmp_path / "elsewhere"
    program.write_text(GATEWAY)
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))

    async def story() -> None:
        gateway = OwnGateway("desk", "token", None)
        await gateway.start()
        try:
            program.rename(elsewhere)
            with logged() as lines:
                first = gateway._process
                assert first is not None
                first.kill()
                await eventually(lambda: gateway._cannot_start)
                failed = gateway._again
                await eventually(lambda: gateway._again is not failed)
                elsewhere.rename(program)
                await eventually(lambda: gateway._process not in (None, first))
            assert [text for _, text in lines if "cannot be started" in text] == [
                f"ERROR the gateway for Piopiy's cloud cannot be started: [Errno 2] No such file or directory:"
                f" '{program}'; trying again until it starts"
            ]
        finally:
            await gateway.close()

    asyncio.run(story())


@pytest.mark.parametrize("isolation", ["task", "process"])
def test_an_agent_that_is_told_to_end_while_its_gateway_starts_ends_without_an_error(
    isolation: Literal["task", "process"], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if isolation == "process" and sys.platform != "linux":
        pytest.skip("processes are forked on Linux only")
    program = tmp_path / "python"
    program.write_text(GATEWAY.replace("echo listening\n", ""))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))

    async def story() -> None:
        agent = Agent("desk", "token", bot, cloud=True, isolation=isolation)
        gateway = agent._own_gateway
        assert gateway is not None
        connecting = asyncio.create_task(agent.connect())
        await eventually(lambda: gateway._process is not None)
        agent.drain()
        await asyncio.wait_for(connecting, 20)
        assert gateway._process is None

    asyncio.run(story())
