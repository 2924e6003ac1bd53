"""`piopiy call`: calls an agent, speaks recordings or sentences to it, and tells what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.options import (
    AgentOption,
    CallerKeyOption,
    MetadataOption,
    RateOption,
    SentencesOption,
    UrlOption,
    choose_log_format,
    given_metadata,
    given_number,
    require_rate,
    require_seconds,
)
from piopiy_pipeline.cli.signals import stop_on_signals
from piopiy_pipeline.cli.target import Target, find_target, require_gateway
from piopiy_pipeline.log import log_to_stderr

if TYPE_CHECKING:
    from piopiy_pipeline.cli.call_report import CallOutcome
    from piopiy_pipeline.cli.narration import Narrator
    from piopiy_pipeline.signaling.caller import CallStart
    from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["call"]


def call(
    wavs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[WAV]...", help="Turns to speak: 8 to 48 kHz, mono or stereo.", show_default=False
        ),
    ] = None,
    say: SentencesOption = None,
    interrupt: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Speak this long into the bot's speech, instead of after it."),
    ] = None,
    rate: RateOption = 16000,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.wav", help="Save both sides: left the caller, right the bot.")
    ] = None,
    url: UrlOption = None,
    agent: AgentOption = None,
    key: CallerKeyOption = None,
    from_number: Annotated[
        str | None, typer.Option("--from", metavar="NUMBER", help="The caller's number.")
    ] = None,
    to_number: Annotated[
        str | None, typer.Option("--to", metavar="NUMBER", help="The number dialled.")
    ] = None,
    metadata: MetadataOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="The longest that the call may take.")
    ] = 300.0,
    hangup_after: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="After the last turn, hang up when nobody spoke for this long."),
    ] = 15.0,
) -> None:
    """Call a bot, speak to it, and print the conversation with its latencies.

    Each turn is spoken when the bot has finished; the last line sums up. The exit status is 0 when
    the call was answered and either side hung up or the bot handed the call over. It is 1 when it failed,
    which a timeout or a limit that ended it is as well, 2 when something typed is wrong. A bot that
    was lost and came back does not change it: the last line says how often (`recoveries` with --json).

    Examples:

      piopiy call tests/audio/booking/*.wav

      piopiy call --say "When are you open?" --say "Thank you, goodbye."

      piopiy call turn.wav --interrupt 1.0 --rate 8000 --out call.wav --json
    """
    call_rate = require_rate(rate)
    require_seconds("--timeout", timeout, at_least=1)
    require_seconds("--hangup-after", hangup_after, at_least=0.1)
    if interrupt is not None:
        require_seconds("--interrupt", interrupt, at_least=0)
    context = given_metadata(metadata)
    from_number, to_number = given_number("--from", from_number), given_number("--to", to_number)
    choose_log_format(None)
    target = find_target(url, agent, key)
    gone = _gone(target)
    # Only here: neither `piopiy call --help` nor one without a gateway has a use for numpy, soundfile and pydantic,
    # which take seconds on a busy machine.
    if gone is not None and not json_lines:
        raise gone
    from piopiy_pipeline.cli.narration import ForPeople, ForPrograms

    if gone is not None:
        ForPrograms().no_call(str(gone), 0.0)
        raise gone
    log_to_stderr()  # before anything loads pipecat, which greets then
    from piopiy_pipeline.cli.turns import load_script
    from piopiy_pipeline.signaling.caller import CallStart
    from piopiy_pipeline.testing.line.turn_taking import Habits

    start = CallStart(rate=call_rate, from_number=from_number, to_number=to_number, metadata=context)
    habits = Habits(hangup_after_s=hangup_after)
    caller = load_script(wavs or [], say or [], rate, interrupt_s=interrupt, habits=habits, quote=True)
    narrator: Narrator = ForPrograms() if json_lines else ForPeople()
    options = {"limit_s": timeout, "tells_barge_in": interrupt is not None, "out": out}
    outcome = asyncio.run(_call(target, caller, start, narrator, options))
    if outcome.failure:
        raise Failed(outcome.failure)


async def _call(
    target: Target, caller: Caller, start: CallStart, narrator: Narrator, options: dict[str, Any]
) -> CallOutcome:
    """Call, and hang up on Ctrl-C or SIGTERM; a second signal ends the program at once."""
    from piopiy_pipeline.cli.place_call import place_call

    loop = asyncio.get_running_loop()
    began = loop.time()
    narrator.begin(target)
    try:
        with stop_on_signals() as hang_up:
            return await place_call(target, caller, start, tell=narrator.tell, hang_up=hang_up, **options)
    except Failed as error:
        narrator.no_call(str(error), loop.time() - began)
        raise
    finally:
        narrator.close()


def _gone(target: Target) -> Failed | None:
    """Return why nobody can be called there, if that is known at once."""
    try:
        require_gateway(target)
    except Failed as error:
        return error
    return None
