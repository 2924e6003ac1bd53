"""Checks of what an author gives an `Agent`: each failure is one sentence, when the agent is made."""

from __future__ import annotations

from piopiy_pipeline.arguments import check_kind, check_seconds, check_switches
from piopiy_pipeline.capture import Redaction
from piopiy_pipeline.signaling.agent_identity import ID_VARIABLES, TOKEN_VARIABLES, identity_fault, read_first

__all__ = ["check_arguments"]

LEAST_BLOCKED_S = 1.0
"""A limit below this would end calls for stalls that are common."""


def check_arguments(
    *,
    agent_id: object,
    agent_token: object,
    signaling_url: object,
    debug: object,
    redact: object,
    blocked_call_s: object,
) -> tuple[str, str]:
    """Check arguments of `Agent` that no other class takes.

    Returns:
        The agent's id and its token, from the environment where they are not given.

    Raises:
        TypeError: One is of another kind.
        ValueError: One is missing, or cannot work.
    """
    agent_id = agent_id or read_first(ID_VARIABLES)  # as os.getenv() leaves them
    agent_token = agent_token or read_first(TOKEN_VARIABLES)
    for name, given in {"agent_id": agent_id, "agent_token": agent_token}.items():
        if not given:
            raise ValueError(f"{name} is missing: set {name.upper()} in the environment, or pass it")
        check_kind(name, given, str, "a text")
    if fault := identity_fault(str(agent_id), str(agent_token)):
        raise ValueError(fault)
    check_kind(
        "signaling_url",
        signaling_url,
        (str, list, tuple, type(None)),
        "an address such as ws://host:port, a list of them, or None",
    )
    if isinstance(signaling_url, list | tuple) and not signaling_url:
        raise ValueError(
            "signaling_url is an empty list: name an address such as ws://host:port, or leave it out"
        )
    for each in signaling_url if isinstance(signaling_url, list | tuple) else ():
        check_kind("signaling_url", each, str, "a list of texts")
    check_switches(debug=debug)
    check_seconds("blocked_call_s", blocked_call_s, least_s=LEAST_BLOCKED_S)
    check_kind("redact", redact, (Redaction, type(None)), "a Redaction, or None")
    return str(agent_id), str(agent_token)
