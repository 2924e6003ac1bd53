"""Keys as words: which keys are one entry, and when it is complete."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.processors.keys import MAX_KEYS, KeyEntry
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate
from tests.support.bots import LONG, voice
from tests.support.virtual import YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")


def entries(keys: str, entry: KeyEntry, *, every_s: float = 0.3) -> list[str]:
    """What comes of these keys (a space is a second without one), and of the pause behind them."""
    found, now = [], 0.0
    for key in keys:
        now += 1.0 if key == " " else every_s
        found += [entry.tick(now), None if key == " " else entry.press(key, now)]
    found.append(entry.tick(now + 60))
    return [each for each in found if each]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("1234#", ["1234"]),
        ("1234", ["1234"]),
        ("12#34#", ["12", "34"]),
        ("12  34", ["12", "34"]),
        ("1 2 3", ["123"]),
        ("#", ["#"]),
        ("*1#", ["*1"]),
        ("", []),
    ],
)
@pytest.mark.three_services("nobody calls")
def test_an_entry_ends_with_the_terminator_or_with_a_pause(keys: str, expected: list[str]) -> None:
    assert entries(keys, KeyEntry()) == expected


@pytest.mark.three_services("nobody calls")
def test_without_a_terminator_every_key_counts() -> None:
    assert entries("12#", KeyEntry(terminator=None)) == ["12#"]
    assert entries("12#*", KeyEntry(terminator="*")) == ["12#"]


@pytest.mark.three_services("nobody calls")
def test_an_entry_without_an_end_goes_on_in_parts() -> None:
    assert [len(part) for part in entries("5" * 150, KeyEntry())] == [MAX_KEYS, MAX_KEYS, 22]


@pytest.mark.parametrize(
    "wrong", [{"terminator": "##"}, {"terminator": "A"}, {"terminator": ""}, {"timeout_s": 0}]
)
@pytest.mark.three_services("nobody calls")
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"terminator|timeout"):
        KeyEntry(**wrong)


# ---------------------------------------------------------------------- in a call


def press(*keys: str, pause_s: float = 6, **options: Any) -> SimulatedCall:
    async def bot(call: Call) -> None:
        agent = await voice(
            call,
            greeting=LONG,
            texts=["yes"],
            replies=["One.", "Two.", "Three."],
            **{"dtmf": "text", **options},
        )
        await agent.start()

    caller = Caller().pause(1)
    for entry in keys:
        caller = caller.press(entry).pause(pause_s)
    return simulate(bot, caller.say(YES))


def test_keys_are_the_callers_turn_and_cut_the_bot_off() -> None:
    call = press("4711#")
    assert texts(call, "user") == ["4711", "yes"]
    assert texts(call, "bot")[1:] == ["One.", "Two."]
    assert call.of("interruption")[0].at == pytest.approx(1.0, abs=0.1), "at the first key"
    assert call.of("user_turn")[0].at < 3.0


@pytest.mark.three_services("keys that a provider is told wait for no end of a turn")
def test_without_a_terminator_the_turn_comes_after_a_pause() -> None:
    call = press("12", "3", dtmf_timeout_secs=1.5)
    assert texts(call, "user") == ["12", "3", "yes"]
    assert call.of("user_turn")[0].at == pytest.approx(1.2 + 1.5 + 0.6, abs=0.3)


@pytest.mark.three_services("keys that a provider is told wait for no end of a turn")
@pytest.mark.parametrize(("pause_s", "turns"), [(3.0, ["12", "34"]), (6.0, ["12", "#", "34"])])
def test_a_terminator_behind_a_turn_that_a_pause_has_ended_belongs_to_it(
    pause_s: float, turns: list[str]
) -> None:
    call = press("12", "#", "34#", pause_s=pause_s)
    assert texts(call, "user") == [*turns, "yes"]


@pytest.mark.three_services("it takes its three services from the pipeline")
def test_where_nobody_may_cut_in_keys_do_not_either() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting=LONG, replies=["One."], dtmf="text")
        await agent.Action(
            **{name: agent.pipeline[name] for name in ("stt", "llm", "tts")},  # type: ignore[arg-type]
            allow_interruptions=False,
        )
        await agent.start()

    call = simulate(bot, Caller().pause(1).press("1#").pause(8))
    assert texts(call, "bot") == [LONG, "One."]
    assert texts(call, "user") == ["1"]


def test_as_an_event_keys_are_no_turn_unless_asked_for() -> None:
    assert texts(press("4711#", dtmf="event"), "user") == ["yes"]


def test_a_setting_that_there_is_not_is_an_error() -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        for wrong in ({"dtmf": "words"}, {"dtmf_terminator": "##"}, {"dtmf_timeout_secs": 0}):
            with pytest.raises(ValueError, match=r"dtmf|terminator|timeout") as failure:
                await voice(call, **wrong)
            said.append(str(failure.value))
        await (await voice(call)).start()

    simulate(bot, Caller())
    assert len(said) == 3
