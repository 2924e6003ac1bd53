"""`piopiy load`: many callers at once against a gateway, and what they notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.options import (
    AgentOption,
    CallerKeyOption,
    LogFormatOption,
    RateOption,
    SentencesOption,
    choose_log_format,
    require_rate,
    require_seconds,
    require_writable,
)
from piopiy_pipeline.cli.signals import stop_on_signals
from piopiy_pipeline.cli.target import Target, find_target, require_gateway
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.text import counted, well_formed

if TYPE_CHECKING:
    from piopiy_pipeline.cli.loading.figures import CallerKind, LoadFigures
    from piopiy_pipeline.cli.loading.load_run import LoadPlan, PlacesCalls
    from piopiy_pipeline.cli.loading.phone_callers import SipAddress
    from piopiy_pipeline.cli.loading.thresholds import Threshold
    from piopiy_pipeline.signaling.caller import CallStart
    from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["load"]

MAX_CALLS = 2000
"""Callers of one process: more than a core can carry. Several machines can be started beside each other."""
MAX_PER_SECOND = 200.0
FILES_A_CALL = 4
"""Sockets of one caller: two of a telephone, up to three of a browser's ICE."""
SPARE_FILES = 100
_INTERRUPTED = 130


def load(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]", help="The gateway. [PIOPIY_URL, else ws://127.0.0.1:7860]", show_default=False
        ),
    ] = None,
    wavs: Annotated[
        list[Path] | None,
        typer.Option("--wav", metavar="FILE", help="A turn to speak: a WAV file. May be repeated."),
    ] = None,
    say: SentencesOption = None,
    interrupt: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Speak this long into the bot's speech, instead of after it."),
    ] = None,
    calls: Annotated[int, typer.Option(metavar="N", min=1, max=MAX_CALLS, help="Callers at a time.")] = 10,
    per_second: Annotated[
        float, typer.Option(metavar="N", help="How many calls begin in a second at most.")
    ] = 2.0,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Callers who have hung up call again for so long. [each calls once]",
            show_default=False,
        ),
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            metavar="KIND,KIND",
            help="What they call with, in turn: stream, sip, webrtc. stream,stream,sip makes every third a telephone.",
        ),
    ] = "stream",
    sip: Annotated[
        str | None,
        typer.Option(
            metavar="sip:TO@HOST:PORT",
            help="What telephones call. [the agent at the gateway's host, port 5060]",
            show_default=False,
        ),
    ] = None,
    sip_user: Annotated[
        str | None,
        typer.Option(
            metavar="USER", help="As whom; the password is in PIOPIY_SIP_PASSWORD.", show_default=False
        ),
    ] = None,
    agent: AgentOption = None,
    key: CallerKeyOption = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="For browsers' client tokens. [PIOPIY_API_KEY; `piopiy dev` needs none]", show_default=False
        ),
    ] = None,
    rate: RateOption = 16000,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="The longest that one call may take.")
    ] = 300.0,
    hangup_after: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="After the last turn, hang up when nobody spoke for this long."),
    ] = 5.0,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THRESHOLD",
            help="Exit with 1 if this holds: a number of the JSON, such as voice_to_voice_ms.p95>1500."
            " [failed_share>0.05]",
            show_default=False,
        ),
    ] = None,
    json_object: Annotated[
        bool, typer.Option("--json", help="Print the results as one JSON object, the last line.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a report with plots.", show_default=False)
    ] = None,
    may_load: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST", help="A host that is not this machine and may be loaded.", show_default=False
        ),
    ] = None,
    log_format: LogFormatOption = None,
) -> None:
    """Call a gateway with many callers at once, and print what they notice: percentiles, and failures by reason.

    Each caller says the same, as `piopiy call` does, and hangs up. The run ends by itself; Ctrl-C makes all callers
    hang up, and the results so far are printed. The exit status is 0 when calls were answered and no threshold was
    crossed, 1 when not or when there is no gateway, 2 when something typed is wrong, 130 after Ctrl-C. More than 5% of
    calls that failed are too many, unless --fail-if says another failed or failed_share.

    Examples:

      piopiy load --calls 20 --wav tests/audio/booking/01-people.wav

      piopiy load --calls 50 --per-second 5 --duration 300 --say "When are you open?" --html report.html

      piopiy load --kinds stream,sip,webrtc --sip sip:front_desk@127.0.0.1:5060 --say "Hello."

      piopiy load --interrupt 1 --wav turn.wav --fail-if "voice_to_voice_ms.p95>1500" --fail-if "failed>0" --json
    """
    # Only here: `piopiy load --help` has no use for numpy, aiortc and pydantic.
    from piopiy_pipeline.cli.loading.load_run import LoadPlan
    from piopiy_pipeline.cli.loading.thresholds import with_default_limit
    from piopiy_pipeline.cli.turns import load_script
    from piopiy_pipeline.signaling.caller import CallStart
    from piopiy_pipeline.testing.line.turn_taking import Habits

    call_rate = require_rate(rate)
    require_seconds("--timeout", timeout, at_least=1)
    require_seconds("--hangup-after", hangup_after, at_least=0.1)
    if duration is not None:
        require_seconds("--duration", duration)
    if interrupt is not None:
        require_seconds("--interrupt", interrupt, at_least=0)
    if not 0 < per_second <= MAX_PER_SECOND:
        raise BadInput(f"--per-second {per_second:g}: it is a number above 0, at most {MAX_PER_SECOND:g}")
    choose_log_format(log_format)
    target = find_target(url, agent, key)
    plan = LoadPlan(
        calls=calls,
        per_second=per_second,
        duration_s=duration,
        kinds=_kinds(kinds),
        limit_s=timeout,
        tells_barge_in=interrupt is not None,
    )
    address = _sip_address(sip, sip_user, target) if "sip" in plan.kinds else None
    for host in (urlsplit(target.url).hostname or "", address.host if address else ""):
        _require_permission(host, may_load or [], calls)
    thresholds = [*map(_threshold(plan.kinds), with_default_limit(fail_if or []))]
    if html is not None:
        require_writable("--html", html)
    habits = Habits(hangup_after_s=hangup_after)
    callers = {
        kind: load_script(
            wavs or [],
            say or [],
            8000 if kind == "sip" else 16000 if kind == "webrtc" else call_rate,
            interrupt_s=interrupt,
            habits=habits,
        )
        for kind in set(plan.kinds)
    }
    _require_open_files(calls)
    if set(plan.kinds) != {"sip"}:
        require_gateway(
            target
        )  # else each caller would find out by itself, once all that they call with is loaded
    log_to_stderr()
    start = CallStart(rate=call_rate, watch=False)
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    run = _Load(target, plan, callers, start, address, api_key or os.environ.get("PIOPIY_API_KEY") or None)
    figures, stopped = asyncio.run(run.run())
    about = {"began": began, "stopped": stopped}
    passed = run.report(figures, about, thresholds, _Output(json_object, html))
    raise typer.Exit(_INTERRUPTED if stopped else int(not passed))


class _Load:
    """One command: what is called, and by whom."""

    def __init__(
        self,
        target: Target,
        plan: LoadPlan,
        callers: dict[CallerKind, Caller],
        start: CallStart,
        address: SipAddress | None,
        api_key: str | None,
    ) -> None:
        self._target, self._plan, self._callers, self._start = target, plan, callers, start
        self._address, self._api_key = address, api_key

    async def run(self) -> tuple[LoadFigures, bool]:
        """Call, show how it goes, and return what was measured, and whether it was stopped by a signal."""
        from piopiy_pipeline.cli.loading.figures import LoadFigures
        from piopiy_pipeline.cli.loading.load_progress import LoadProgress
        from piopiy_pipeline.cli.loading.load_run import LoadRun

        async with contextlib.AsyncExitStack() as stack:
            place = await self._ways(stack)
            with stop_on_signals() as stop:
                figures = LoadFigures(self._plan.kinds)
                showing = asyncio.create_task(LoadProgress(figures).show())
                try:
                    await LoadRun(self._plan, place, self._callers, self._start, figures).run(stop)
                finally:
                    showing.cancel()
                    await asyncio.wait({showing})
                return figures, stop.is_set()

    def report(
        self, figures: LoadFigures, about: dict[str, Any], thresholds: list[Threshold], to: _Output
    ) -> bool:
        """Print what was measured and write the page. Returns whether the run passed."""
        from piopiy_pipeline.cli.loading.load_page import load_page
        from piopiy_pipeline.cli.loading.load_progress import summary_table
        from piopiy_pipeline.cli.loading.thresholds import why_failed

        found = {
            "url": self._target.url,
            "agent_id": self._target.agent_id,
            "calls": self._plan.calls,
            "per_second": self._plan.per_second,
            "kinds": list(self._plan.kinds),
            **about,
            **figures.to_json(),
        }
        verdicts = [one.judge(found) for one in thresholds]
        why = why_failed(found, verdicts)
        found |= {"passed": why is None, "why": why}
        if to.json:
            judged = [{"fail_if": one.text, "value": one.value, "failed": one.failed} for one in verdicts]
            print(json.dumps(found | {"thresholds": judged}, ensure_ascii=False))
        else:
            print("\n".join(summary_table(found, verdicts)))
        if why is not None:
            print(f"piopiy load: failed: {why}", file=sys.stderr)
        if to.html is not None:
            command = "piopiy " + shlex.join(_without_keys(sys.argv[1:]))
            page = well_formed(load_page(figures, found, verdicts, command=command))
            try:
                to.html.write_text(page, encoding="utf-8")
            except OSError as error:
                raise Failed(f"--html {to.html}: {error.strerror or error}") from None
        return why is None

    async def _ways(self, stack: contextlib.AsyncExitStack) -> dict[CallerKind, PlacesCalls]:
        """Return how calls of each kind are placed. What that needs ends with `stack`."""
        from piopiy_pipeline.cli.place_call import place_call

        place: dict[CallerKind, PlacesCalls] = {"stream": partial(place_call, self._target)}
        if self._address is not None:
            from piopiy_pipeline.cli.loading.phone_callers import PhoneCallers

            place["sip"] = (await stack.enter_async_context(PhoneCallers(self._address))).call
        if "webrtc" in self._plan.kinds:
            from piopiy_pipeline.cli.loading.browser_callers import BrowserCallers

            own = _is_loopback(urlsplit(self._target.url).hostname or "")
            browsers = BrowserCallers(self._target, self._api_key, loopback=own)
            place["webrtc"] = (await stack.enter_async_context(browsers)).call
        return place


@dataclass(frozen=True, slots=True)
class _Output:
    """Where the results go: lines for people, or one JSON object; and a page."""

    json: bool
    html: Path | None


def _kinds(text: str) -> tuple[CallerKind, ...]:
    from piopiy_pipeline.cli.loading.figures import KINDS

    named = [name.strip() for name in text.split(",")]
    found = tuple(kind for name in named for kind in KINDS if kind == name)
    if len(found) != len(named):
        raise BadInput(f"--kinds {text}: each is one of {', '.join(KINDS)}")
    return found


def _sip_address(text: str | None, user: str | None, target: Target) -> SipAddress:
    from piopiy_pipeline.cli.loading.phone_callers import SipAddress

    host = urlsplit(target.url).hostname or ""
    text = text or f"sip:{target.agent_id}@{f'[{host}]' if ':' in host else host}"
    password = os.environ.get("PIOPIY_SIP_PASSWORD") or None
    if user is not None and password is None:
        raise BadInput(f"--sip-user {user}: put the password into PIOPIY_SIP_PASSWORD")
    return SipAddress.parse(text, user=user, password=password if user is not None else None)


def _threshold(kinds: tuple[CallerKind, ...]) -> Any:
    """Return what parses a threshold, for runs with callers of these kinds."""
    from piopiy_pipeline.cli.loading.figures import CallerFigures
    from piopiy_pipeline.cli.loading.thresholds import Threshold

    one = CallerFigures().to_json()
    machine = {"late_ms": one["answer_ms"], "core": None, "peak_mb": None}
    example = one | {
        "most_at_once": None,
        "seconds": None,
        "by_kind": dict.fromkeys(kinds, one),
        "load_generator": machine,
    }
    return partial(Threshold.parse, example=example)


def _require_permission(host: str, may_load: list[str], calls: int) -> None:
    """Raise `BadInput` for a host that is not this machine and was not named."""
    if not host or _is_loopback(host) or host in may_load:
        return
    raise BadInput(
        f"{host} is not this machine. {counted(calls, 'caller')} at a time take its agents' places from real ones,"
        f" and cost what its providers charge. If it is yours to load, say so: --may-load {host}"
    )


def _require_open_files(calls: int) -> None:
    """Raise this process's limit of open files to what the callers need, or `BadInput` if the system allows less."""
    files = calls * FILES_A_CALL + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    if hard != resource.RLIM_INFINITY and hard < files:
        raise BadInput(
            f"--calls {calls}: they may need {files} open files, and this process may have {hard}: raise its limit"
            " (ulimit -Hn), or take fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_keys(arguments: list[str]) -> list[str]:
    """Return the command line with the keys in it replaced, because reports are passed on."""
    shown = list(arguments)
    for number, argument in enumerate(arguments):
        name, equals, _ = argument.partition("=")
        if name in ("--key", "--api-key"):
            if equals:
                shown[number] = f"{name}=..."
            elif number + 1 < len(shown):
                shown[number + 1] = "..."
    return shown
