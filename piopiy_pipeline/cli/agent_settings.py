"""What an agent is told by options and by its environment: checked before the bot's file runs.

So a mistake is one sentence that names the option, or the variable, where `Agent` would raise it in the midst of the
author's code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from piopiy_pipeline.cli.errors import BadInput

__all__ = ["apply_options", "check_environment"]

OPTIONS = {
    "PIOPIY_CAPACITY": "--capacity",
    "PIOPIY_LOAD_THRESHOLD": "--load-threshold",
    "PIOPIY_ISOLATION": "--isolation",
    "PIOPIY_WORKERS": "--workers",
    "PIOPIY_MEMORY_MB": "--memory-mb",
    "PIOPIY_DRAIN_S": "--drain-s",
    "PIOPIY_DRAIN": "--drain",
    "PIOPIY_METRICS_PORT": "--metrics-port",
}
_VARIABLES = (
    *OPTIONS,
    "PIOPIY_WARM",
    "PIOPIY_RECORD",
    "PIOPIY_CLOUD",
)  # and PIOPIY_URL, which `gateway_url` checks


def apply_options(given: Mapping[str, object]) -> None:
    """Put what options say into the environment, where `Agent` finds it, and check all that stands there.

    Args:
        given: By variable, those of `OPTIONS`; None for an option that was not given.

    Raises:
        BadInput: An option or a variable cannot work.
    """
    chosen = {name: str(value) for name, value in given.items() if value is not None}
    empty = [name for name, text in chosen.items() if not text]
    if empty:
        raise BadInput(f"{OPTIONS[empty[0]]} is empty")
    os.environ.update(chosen)
    if {"PIOPIY_WORKERS", "PIOPIY_MEMORY_MB"} & chosen.keys() and (
        os.environ.get("PIOPIY_ISOLATION") in (None, "", "task")
    ):
        raise BadInput("--workers and --memory-mb are for --isolation process: give that, too")
    try:
        check_environment()
    except BadInput as error:
        sentence = str(error)
        for name in chosen:
            if sentence.startswith(name):
                sentence = OPTIONS[name] + sentence[len(name) :]
                break
        raise BadInput(sentence) from None


def check_environment() -> None:
    """Check the variables of the environment that an agent reads. Raises `BadInput` for what cannot work."""
    if not any(os.environ.get(name) for name in _VARIABLES):
        return
    # Only with something to check, and after the package, which the bot loads anyway.
    from piopiy_pipeline.agent.call_admission import AdmissionPlan
    from piopiy_pipeline.agent.call_captures import captures_folder
    from piopiy_pipeline.agent.draining import DrainPlan
    from piopiy_pipeline.agent.isolation import check_variables
    from piopiy_pipeline.agent.metrics_choice import metrics_address
    from piopiy_pipeline.agent.own_gateway import wants_cloud

    try:
        AdmissionPlan.choose(None, None)
        check_variables()
        DrainPlan.choose(None, None)
        metrics_address(None)
        captures_folder(None)
        wants_cloud(None)
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
