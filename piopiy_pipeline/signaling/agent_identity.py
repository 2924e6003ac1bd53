"""The environment variables that say which agent this is, of both generations of Piopiy's SDKs."""

from __future__ import annotations

import os

__all__ = ["ID_VARIABLES", "TOKEN_VARIABLES", "identity_variables", "read_first"]

ID_VARIABLES = ("AGENT_ID", "PIOPIY_AGENT_ID", "TELECMI_AGENT_ID")
"""piopiy-ai's name, and those of piopiy-agent. The first one that is set counts."""

TOKEN_VARIABLES = ("AGENT_TOKEN", "PIOPIY_TOKEN", "TELECMI_TOKEN")
"""The same, of the agent's token."""


def read_first(variables: tuple[str, ...]) -> str | None:
    """Return the value of the first of these variables that is set and not empty."""
    return next((value for name in variables if (value := os.environ.get(name))), None)


def identity_variables(agent_id: str, agent_token: str) -> dict[str, str]:
    """Return the variables that a bot's file may read, under the names of both generations.

    What is set under the newer names stays: a client of Piopiy's REST API reads its token there, too.
    """
    newer = dict.fromkeys(ID_VARIABLES[1:], agent_id) | dict.fromkeys(TOKEN_VARIABLES[1:], agent_token)
    return {
        ID_VARIABLES[0]: agent_id,
        TOKEN_VARIABLES[0]: agent_token,
        **{name: value for name, value in newer.items() if not os.environ.get(name)},
    }
