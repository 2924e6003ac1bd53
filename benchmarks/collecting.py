"""How many values of a synthetic caller the offline recogniser collects, on a telephone's line and on a wide one.

    python -m benchmarks.collecting

Each value is said once, by espeak's voice, and agreed to, whatever is read back: what is not right here a person who
hears it would deny. It needs the extra ``offline``. In virtual time; about a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

from piopiy_pipeline.collect import (
    NotCollected,
    collect_address,
    collect_date,
    collect_digits,
    collect_email,
    collect_phone_number,
    confirm,
)
from piopiy_pipeline.services.providers import from_environment
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, Providers, Replies, ScriptedLLM, ScriptedTTS, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent

PLAYBOOK = Path(__file__).parents[1] / "examples" / "front_desk.yaml"
TODAY = date(2026, 11, 29)
Form = Callable[[Call], Awaitable[Any]]


def code(call: Call) -> Awaitable[Any]:
    return collect_digits(call, prompt="Code?", length=6, read_back=True)


def card(call: Call) -> Awaitable[Any]:
    return collect_digits(call, prompt="Card?", length=16, checksum="luhn", read_back=True)


def phone(call: Call) -> Awaitable[Any]:
    return collect_phone_number(call, prompt="Number?", region="US")


def day(call: Call) -> Awaitable[Any]:
    return collect_date(call, prompt="Which day?", today=TODAY)


def birthday(call: Call) -> Awaitable[Any]:
    return collect_date(call, prompt="When were you born?", today=TODAY, past=True)


def email(call: Call) -> Awaitable[Any]:
    return collect_email(call, prompt="Mail?")


def address(call: Call) -> Awaitable[Any]:
    return collect_address(call, prompt="Address?", region="US")


def really(call: Call) -> Awaitable[Any]:
    return confirm(call, "Really?")


SAID: list[tuple[Form, Any, tuple[str, ...]]] = [
    (code, "904661", ("nine zero four, six six one",)),
    (code, "271828", ("two seven one", "eight two eight")),
    (code, "904665", ("nine zero four, six six one", "no, the last digit is five")),
    (card, "4111111111111111", ("four one one one, one one one one, one one one one, one one one one",)),
    (phone, "+14152718293", ("four one five, two seven one, eight two nine three",)),
    (phone, "+14155218056", ("it is four one five, five two one, eight zero five six",)),
    (day, date(2026, 12, 4), ("next Friday",)),
    (day, date(2026, 12, 23), ("on the twenty fourth of December", "no, the twenty third")),
    (day, date(2026, 12, 13), ("in two weeks",)),
    (birthday, date(1984, 5, 5), ("May the fifth, nineteen eighty four",)),
    (email, "anna.smith@gmail.com", ("anna dot smith at gmail dot com",)),
    (email, "bob22@example.org", ("B, O, B, two, two", "at example dot org")),
    (address, "97201", ("twenty three Main Street, Portland, Oregon, nine seven two zero one",)),
    (really, True, ("yes, I do",)),
]


def collected(form: Form, texts: tuple[str, ...], rate: int) -> tuple[Any, list[str]]:
    """Return the value, or None, and what the recogniser has written."""
    found: list[Any] = []
    written: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)

        async def fill_in(_: object) -> None:
            try:
                found.append((await form(call)).value)
            except NotCollected:
                found.append(None)

        agent.on("answered", fill_in)
        agent.on("user_turn", lambda turn: written.append(turn.text))
        stt, _, _ = from_environment(playbook=PLAYBOOK)
        await agent.Action(stt=stt, llm=ScriptedLLM(Replies()), tts=ScriptedTTS())
        await agent.start()

    caller = Caller()
    for text in texts if form is really else (*texts, "yes, that is right"):
        caller = caller.say(text)
    providers = Providers(llm=Replies(otherwise="Yes."), tts=Voice())
    simulate(bot, caller, providers=providers, rate=rate, limit_s=200)
    return (found[-1] if found else None), written


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for rate in (8000, 16000):
        right = 0
        for form, value, texts in SAID:
            got, written = collected(form, texts, rate)
            got = getattr(got, "postal_code", got)
            right += got == value
            print(
                f"{rate:>6} Hz  {'right' if got == value else 'WRONG':5}  {form.__name__:8}  {got}  <- {written}"
            )
        print(f"{rate:>6} Hz: {right} of {len(SAID)} are right")


if __name__ == "__main__":
    main()
