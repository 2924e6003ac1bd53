"""`Agent(cloud=True)`: when an agent has a gateway of its own. Whole calls over it are in `tests/cloud`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from piopiy_pipeline.agent.agent import Agent, CloudError
from piopiy_pipeline.agent.own_gateway import OwnGateway, wants_cloud
from piopiy_pipeline.session import Call


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


def test_a_gateway_that_does_not_start_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    gateway = OwnGateway("desk", "token", None, {**os.environ, "PIOPIY_CLOUD_ACCEPT": "never"})

    async def story() -> None:
        try:
            await gateway.start()
        finally:
            await gateway.close()

    with pytest.raises(CloudError, match="did not start: the line above says why"):
        asyncio.run(story())
    assert "cloud" in capfd.readouterr().err
