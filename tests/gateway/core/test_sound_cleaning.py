"""Which calls are cleaned, how many at a time, and what the record says of it."""

from __future__ import annotations

import sys

import pytest
from loguru import logger

from piopiy_pipeline.audio.sound_cleaner import SoundCleaner
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.core.gateway_call import CallOptions
from piopiy_pipeline.gateway.core.sound_cleaning import SoundCleaning
from piopiy_pipeline.signaling.messages import Control
from tests.support.switchboard import NotedMedia, Room

FRAME = b"\1\0" * 320  # 20 ms at 16 kHz
HALF = FRAME[:320]


def room(**cleaning: object) -> Room:
    made = Room()
    made.board.resources.cleaning = SoundCleaning(**cleaning)  # type: ignore[arg-type]
    return made


def info(number: int = 1) -> CallInfo:
    return CallInfo(agent_id="desk", call_id=f"c{number}")


def test_nothing_is_cleaned_unless_it_is_asked_for() -> None:
    made = Room()
    agent = made.agent()
    call, _ = made.call()
    agent.take()
    assert call.snapshot().line == {}
    assert made.board.resources.cleaning.cleaned == 0


def test_a_kind_of_leg_is_cleaned_until_the_call_ends_and_the_record_says_so() -> None:
    made = room(by_kind={"stream": "both"})
    agent = made.agent()
    call, leg = made.call()
    media: NotedMedia = agent.take()
    leg.listener.caller_audio(FRAME)
    made.frame_tick()
    assert media.notes == [f"audio {len(FRAME)}"]
    assert made.board.resources.cleaning.cleaned == 1
    leg.listener.caller_hangup(made.now)
    assert made.board.resources.cleaning.cleaned == 0
    assert {"echo_removed_db", "noise_removed_db"} <= call.snapshot().line.keys()


def test_only_whole_steps_are_passed_on() -> None:
    made = room(by_kind={"stream": "noise"})
    agent = made.agent()
    _, leg = made.call()
    media: NotedMedia = agent.take()
    for piece in (FRAME[:100], FRAME[100:320], HALF):
        leg.listener.caller_audio(piece)
    assert sum(int(note.split()[1]) for note in media.notes) == len(FRAME)
    assert all(int(note.split()[1]) % len(HALF) == 0 for note in media.notes)


def test_other_kinds_of_leg_are_left_alone() -> None:
    cleaning = SoundCleaning({"phone": "both"})
    assert cleaning.begin(info(), 16_000) is None


def test_a_call_may_ask_for_something_else_than_its_kind_has() -> None:
    cleaning = SoundCleaning({"stream": "noise"})
    assert cleaning.begin(info(1), 16_000, "off") is None
    cleaner = cleaning.begin(info(2), 16_000, "both")
    assert cleaner is not None
    assert cleaner.what == "both"
    assert CallOptions(clean_sound="off").clean_sound == "off"


def test_one_call_too_many_goes_on_uncleaned_until_another_ends() -> None:
    cleaning = SoundCleaning({"stream": "echo"}, limit=1)
    first = cleaning.begin(info(1), 8_000)
    assert first is not None
    assert cleaning.begin(info(2), 8_000) is None
    cleaning.end(first)
    assert cleaning.begin(info(3), 8_000) is not None


def test_an_agent_switches_it_on_and_off_in_mid_call() -> None:
    made = room()
    agent = made.agent()
    call, _ = made.call()
    agent.take()
    for on, cleaned in ((True, 1), (True, 1), (False, 0), (False, 0)):
        agent.say(Control(call_id=call.call_id, what="clean_sound", on=on))
        assert made.board.resources.cleaning.cleaned == cleaned
    assert {"echo_removed_db", "noise_removed_db"} <= call.snapshot().line.keys()


def test_who_asks_twice_does_not_lose_what_was_learnt_of_the_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    made = room()
    agent = made.agent()
    call, _ = made.call()
    agent.take()
    cleaning = made.board.resources.cleaning
    ended: list[SoundCleaner] = []
    monkeypatch.setattr(cleaning, "end", ended.append)
    for _ in range(2):
        agent.say(Control(call_id=call.call_id, what="clean_sound", on=True))
    assert cleaning.cleaned == 1
    assert ended == []


def test_without_the_package_a_call_goes_on_and_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        assert SoundCleaning({"stream": "both"}).begin(info(), 8_000) is None
    finally:
        logger.remove(sink)
    assert "pip install 'piopiy-pipeline[clean]'" in said[0]
