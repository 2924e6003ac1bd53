"""Runs `piopiy gateway` for an agent that has started it, and ends with that: ``python -m
piopiy_pipeline.cli.bound_gateway FD``.

`OwnGateway` on the agent's side starts it, with its settings in the environment. When the pipe FD closes, because the
agent was killed, the gateway ends: nobody would serve its calls.
"""

from __future__ import annotations

import os
import sys
import threading

from pydantic import ValidationError

from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.run_bot import end_with
from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.cloud.config import CloudConfig

__all__: list[str] = []

_NAMES = {
    "agent_id": "AGENT_ID",
    "token": "AGENT_TOKEN",
    "address": "PIOPIY_REGISTER",
    "tls": "PIOPIY_TLS",
    "api_url": "PIOPIY_API_URL",
    "max_calls": "PIOPIY_CAPACITY",
    "accept": "PIOPIY_CLOUD_ACCEPT",
}
"""What the user of `piopiy start --cloud` has set, by the setting that it becomes."""


def _cloud_faults(table: str) -> list[str]:
    """Return what is wrong with the settings of the cloud, in the names that the user knows."""
    try:
        CloudConfig.model_validate_json(table)
    except ValidationError as error:
        faults = [fault_text(one) for one in error.errors(include_input=False)]
        return [_renamed(fault) for fault in faults]
    return []


def _renamed(fault: str) -> str:
    key, colon, what = fault.partition(": ")
    if colon and key in _NAMES:
        return f"{_NAMES[key]}: {what}"
    return fault.replace("tls = false", "PIOPIY_TLS=false")


def _main() -> int:
    pipe = int(sys.argv[1])
    threading.Thread(target=end_with, args=(pipe,), name="the agent is there", daemon=True).start()
    if faults := _cloud_faults(os.environ.get("PIOPIY_GATEWAY_CLOUD", "{}")):
        print("\n".join(faults), file=sys.stderr)
        return 2
    return main(["gateway"])


if __name__ == "__main__":
    sys.exit(_main())
