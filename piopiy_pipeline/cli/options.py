"""Options and checks that several verbs share, so that the same option reads and fails the same way everywhere."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.log import LOG_FORMAT, LOG_FORMS

__all__ = [
    "AgentOption",
    "CallerKeyOption",
    "LogFormatOption",
    "MetadataOption",
    "RateOption",
    "SentencesOption",
    "UrlOption",
    "choose_log_format",
    "given_metadata",
    "given_number",
    "require_bot",
    "require_rate",
    "require_seconds",
    "require_writable",
]

A_DAY_S = 86_400
METADATA_BYTES = 60 << 10
"""The most that ``--metadata`` may have as JSON: the first event of a call is 64 KiB at most, with all that it says."""

_NUMBER = re.compile(r"(?:\+?[0-9*#]{1,128}|(?:sips?:)?[A-Za-z0-9_][^\s\x00-\x1f\x7f]{0,250})")
"""A phone number; or the name or the URI of a phone, which SIP's callers have in its place."""

AgentOption = Annotated[
    str | None, typer.Option(metavar="ID", help="The agent. [AGENT_ID, or that of `piopiy dev`]")
]
CallerKeyOption = Annotated[
    str | None, typer.Option(help="The caller's key. [PIOPIY_CALLER_KEY, or that of `piopiy dev`]")
]
MetadataOption = Annotated[
    str | None, typer.Option(metavar="JSON", help="A JSON object, handed to the bot's callback.")
]
RateOption = Annotated[
    int, typer.Option(metavar="HZ", help="16000, or 8000: as a telephone, G.711 both ways.")
]
SentencesOption = Annotated[
    list[str] | None,
    typer.Option("--say", metavar="TEXT", help="A sentence to speak, after the WAVs. May be repeated."),
]
UrlOption = Annotated[
    str | None,
    typer.Option(help="The gateway. [PIOPIY_URL, else ws://127.0.0.1:7860]", show_default=False),
]


LogFormatOption = Annotated[
    str | None,
    typer.Option(
        metavar="text|json",
        help="json: one JSON object a line, with the call's id. [PIOPIY_LOG_FORMAT, else text]",
        show_default=False,
    ),
]


def choose_log_format(given: str | None) -> None:
    """Have this process, and those that it starts, log in this form. Raises `BadInput` if there is no such form."""
    form = os.environ.get(LOG_FORMAT, "") if given is None else given
    if form not in LOG_FORMS or given == "":
        raise BadInput(
            f"{'--log-format' if given is not None else LOG_FORMAT}: {form!r} is neither text nor json"
        )
    if given is not None:
        os.environ[LOG_FORMAT] = given


def given_metadata(text: str | None) -> dict[str, Any] | None:
    """Return what ``--metadata`` says. None: it was not given.

    Raises:
        BadInput: It is no JSON object, or one of more than `METADATA_BYTES`.
    """
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except ValueError as error:
        raise BadInput(f"--metadata is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f'--metadata must be a JSON object, such as {{"name": "Ann"}}, not {text}')
    if (size := len(json.dumps(value))) > METADATA_BYTES:
        raise BadInput(
            f"--metadata has {size} bytes as JSON: {METADATA_BYTES} are the limit. Send a key to more of it"
        )
    return value


def given_number(option: str, text: str | None) -> str | None:
    """Return the number that an option says, or the name or URI of a phone in its place. None: it was not given.

    Raises:
        BadInput: It is empty, has a blank, or begins as none of them does.
    """
    if text is None or _NUMBER.fullmatch(text):
        return text
    raise BadInput(
        f"{option} {text!r}: it is a number, such as +4930123456, or the name or sip: URI of a phone; without blanks"
    )


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is too large a number")
    return value


def require_bot(bot: Path) -> None:
    """Raise `BadInput` if `bot` is not a Python file."""
    if not bot.is_file():
        raise BadInput(f"{bot}: there is no such bot; give the path of a Python file")
    if bot.suffix != ".py":
        raise BadInput(f"{bot}: not a Python file, whose name ends in .py")


def require_rate(rate: int) -> Literal[8000, 16000]:
    """Return the sample rate of a call in Hz, or raise `BadInput` if a call cannot have it."""
    if rate == 8000:
        return 8000
    if rate == 16000:
        return 16000
    raise BadInput(f"--rate {rate}: it is 8000 or 16000")


def require_seconds(option: str, seconds: float, *, at_least: float | None = None) -> None:
    """Raise `BadInput` if a number of seconds is not allowed.

    Args:
        option: The option that it was given with, such as ``"--timeout"``.
        seconds: The number. NaN and infinity are not allowed.
        at_least: The least that is allowed. None: anything above 0. The most is a day.
    """
    if at_least is None:
        if not 0 < seconds <= A_DAY_S:
            raise BadInput(f"{option} {seconds:g}: it is a number of seconds, more than 0")
    elif not at_least <= seconds <= A_DAY_S:
        raise BadInput(f"{option} {seconds:g}: it is a number of seconds from {at_least:g} to a day")


def require_writable(option: str, path: Path) -> None:
    """Raise `BadInput` if a file could not be written, before the work whose result it is to hold.

    No folder is made: one that is not there is most often a name with a mistake in it.

    Args:
        option: The option that it was given with, such as ``"--html"``.
        path: The file. One that is there already may be written over.
    """
    folder = path.parent
    if not folder.is_dir():
        why = f"there is no folder {folder}"
    elif path.is_dir():
        why = "it is a folder"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = "you may not write there"
    else:
        return
    raise BadInput(f"{option} {path}: cannot be written ({why})")
