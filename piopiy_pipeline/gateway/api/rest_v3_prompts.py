"""PCMO's `play`, `play_get_input` and `input` as prompts of our own: what they mean here, and what they cannot. No I/O.

A gateway has neither a voice nor ears: files are played, and keys collected. Nothing is downloaded: an address names
the file that is called so in `prompts_folder`. Keys go to a receiver of `[[webhooks]]`, signed, and tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.api.models import PromptStep
from piopiy_pipeline.gateway.api.rest_v3_error import BadOrder, NotHere
from piopiy_pipeline.gateway.api.rest_v3_models import Input, Play, PlayGetInput, PromptBody, ResultBody

__all__ = ["NoReceiver", "step_of"]

NoReceiver = Callable[[str], str | None]
"""Returns why a receiver of `[[webhooks]]` with an address would not be told of keys; None if it is."""


def step_of(
    action: Play | PlayGetInput | Input, where: str, no_receiver: NoReceiver, warnings: list[str]
) -> PromptStep:
    """Return what an action becomes.

    Args:
        action: The action.
        where: Its place in the pipeline, for sentences.
        no_receiver: Knows the receivers that are told of keys.
        warnings: Gets what is done otherwise.

    Raises:
        NotHere: A gateway cannot do that.
        BadOrder: The fields do not fit together.
    """
    if isinstance(action, Play):
        step: dict[str, Any] = {"file": _file(action.file_name, f"{where}.file_name", warnings)}
    else:
        dtmf = action.dtmf
        step = {
            "keys": {
                "least": dtmf.min_digits,
                "most": dtmf.max_digits or dtmf.min_digits,
                "finish_on": dtmf.finish_on_key,
                "first_s": dtmf.first_digit_timeout,
                "next_s": dtmf.inter_digit_timeout,
                "fresh": dtmf.flush_buffer,
            },
            "receiver": _receiver(action.on_result, f"{where}.on_result", no_receiver),
            "await_answer": True,
        }
    if isinstance(action, PlayGetInput):
        if "speech" in action.input:
            raise NotHere(
                f"{where}.input: a gateway recognises no speech: keys only, or have the bot ask (docs/collecting.md)"
            )
        retries = action.retries
        step |= {
            "file": _prompt(action.prompt, f"{where}.prompt", warnings),
            "retries": retries.max,
            "silence_file": _prompt(retries.no_input_prompt, f"{where}.retries.no_input_prompt", warnings),
            "retry_file": _prompt(retries.invalid_prompt, f"{where}.retries.invalid_prompt", warnings),
        }
    try:
        return PromptStep.model_validate(step)
    except ValidationError as error:
        raise BadOrder(f"{where}: {fault_text(error.errors()[0])}") from None


def _prompt(prompt: PromptBody | None, where: str, warnings: list[str]) -> str | None:
    if prompt is None:
        return None
    if prompt.type == "say":
        raise NotHere(
            f"{where}: a gateway has no voice: put a recording into prompts_folder, and use type 'file',"
            " or have the bot speak"
        )
    if prompt.file_name is None:
        raise BadOrder(f"{where}.file_name: is missing")
    return _file(prompt.file_name, f"{where}.file_name", warnings)


def _file(name: str, where: str, warnings: list[str]) -> str:
    if "://" not in name:
        return name
    try:
        file = unquote(urlsplit(name).path.rpartition("/")[2])
    except ValueError:
        raise BadOrder(f"{where}: is no address") from None
    warnings.append(f"{where}: nothing is downloaded: {file!r} of prompts_folder is played")
    return file


def _receiver(result: ResultBody, where: str, no_receiver: NoReceiver) -> str:
    """Return who alone is told of the keys: an order names them, so that nobody else is meant."""
    if result.type == "pcmo":
        raise NotHere(
            f"{where}.ref: pipelines of Piopiy's dashboard are not here: use type 'url', and answer what comes next"
        )
    if result.url is None:
        raise BadOrder(f"{where}.url: is missing")
    if (why := no_receiver(result.url)) is not None:
        raise NotHere(f"{where}.url: {why}")
    return result.url
