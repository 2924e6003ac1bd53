"""`piopiy drain` has a gateway take no new calls, or take them again."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Annotated

import typer

from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.target import CONNECT_S, gateway_url
from piopiy_pipeline.text import counted

__all__ = ["drain"]


def drain(
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The gateway. [PIOPIY_URL, else ws://127.0.0.1:7860]", show_default=False
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="One of its api_keys. [PIOPIY_API_KEY]", show_default=False),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Take calls again.")] = False,
) -> None:
    """Have a gateway take no new calls. Those in progress go on, and it does not end by this.

    In a cluster its agents find another home. At SIGTERM, a gateway with `drain_s` does the same, and ends.

    Example:

      piopiy drain --gateway ws://10.0.0.5:7860
    """
    url = gateway_url(gateway)
    key = api_key or os.environ.get("PIOPIY_API_KEY")
    request = urllib.request.Request(
        f"http{url.removeprefix('ws')}/api/drain",
        data=json.dumps({"on": not off}).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_S) as response:
            state = json.load(response)
    except urllib.error.HTTPError as error:
        raise Failed(f"{url} refuses it: {_refusal(error)} (--api-key)") from None
    except (OSError, HTTPException) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(why, OSError) and why.errno:
            why = why.strerror or why
        raise Failed(f"no gateway at {url} ({why or type(why).__name__}): name it with --gateway") from None
    except ValueError:
        raise Failed(f"what answers at {url} is no gateway: name it with --gateway") from None
    calls = f"{counted(state['calls'], 'call')} in progress"
    print(f"{'drains' if state['draining'] else 'takes calls'}, {calls}")


def _refusal(error: urllib.error.HTTPError) -> str:
    """Return what the gateway says in its answer."""
    text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code} {error.reason}"
