"""The environment variables that say which agent this is, of both generations of Piopiy's SDKs."""

from __future__ import annotations

import os

__all__ = ["ID_VARIABLES", "TOKEN_VARIABLES", "identity_fault", "identity_variables", "read_first"]

MAX_ID = 128
"""So many characters an agent's id has at most."""

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


def identity_fault(agent_id: str, agent_token: str) -> str:
    """Return why no gateway can know an agent by this id and this token, without the token; empty: one can."""
    if len(agent_id) > MAX_ID:
        return f"agent_id has {len(agent_id)} characters: {MAX_ID} are the limit"
    if any(sign < " " or sign == "\x7f" for sign in agent_id):
        return "agent_id has a line break or another control character"
    if not all("!" <= sign <= "~" for sign in agent_token):
        return "agent_token has a blank, a line break or another sign that no token has: copy it again"
    return ""
