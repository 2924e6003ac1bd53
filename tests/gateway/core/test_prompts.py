"""Prompts that the gateway plays: what the caller hears, which keys are collected, and what the bot learns of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.prompts import (
    ANSWER_S,
    KEYS_AHEAD,
    PROMPT_RATE,
    KeyRules,
    KeysOutcome,
    Prompt,
    PromptPlayer,
)
from tests.support.live_call import FRAME, Live, holds

LEG_RATE = 8000
TONE = np.full(PROMPT_RATE // 10, 8000, dtype="<i2").tobytes()  # 100 ms, which are five frames
OTHER = np.full(PROMPT_RATE // 25, -8000, dtype="<i2").tobytes()  # 40 ms
PIN = KeyRules(least=4, most=4, first_s=2, next_s=1)


class Player:
    """A player, and what it has told."""

    def __init__(self, *prompts: Prompt, rate: int = PROMPT_RATE, waits: bool = False) -> None:
        self.told: list[tuple[int, str, str, int]] = []
        self.waits = waits
        self.ends: list[bool] = []
        self.player = PromptPlayer(
            prompts,
            rate=rate,
            request_id="p1",
            on_keys=self.on_keys,
            on_end=self.ends.append,
        )

    def on_keys(self, number: int, outcome: KeysOutcome, keys: str, attempts: int) -> bool:
        self.told.append((number, outcome, keys, attempts))
        return self.waits

    def frames(self, seconds: float) -> bytes:
        return b"".join(self.player.frame() for _ in range(round(seconds / FRAME_S)))

    def heard(self, seconds: float) -> str:
        """What is heard, 20 ms a letter: the ``t``one, the ``o``ther, or silence."""
        frames = np.frombuffer(self.frames(seconds), dtype="<i2").reshape(-1, PROMPT_RATE // 50)
        return "".join("." if not frame.any() else "t" if frame[0] > 0 else "o" for frame in frames)


def test_sounds_follow_on_each_other_at_the_legs_rate_and_then_it_is_over() -> None:
    player = Player(Prompt(TONE), Prompt(OTHER))
    assert player.heard(0.18) == "ttttt.oo."
    assert player.ends == [True]
    assert player.heard(0.06) == "..."
    assert player.ends == [True]
    slower = Player(Prompt(TONE), rate=LEG_RATE)
    pcm = np.frombuffer(slower.frames(0.1), dtype="<i2")
    assert len(pcm) == LEG_RATE // 10
    assert abs(int(pcm[len(pcm) // 2]) - 8000) < 200


def test_the_first_key_cuts_the_sound_off_and_the_last_one_ends_the_input() -> None:
    player = Player(Prompt(TONE, keys=PIN), Prompt(OTHER))
    assert player.heard(0.02) == "t"
    player.player.press("1")
    assert player.heard(0.02) == "."
    player.player.press("234")
    assert player.told == [(0, "collected", "1234", 0)]
    assert player.heard(0.04) == "oo"


@pytest.mark.parametrize(
    ("keys", "outcome", "value"),
    [("12#", "collected", "12"), ("1#", "attempts", "1"), ("#", "attempts", ""), ("", "silence", "")],
)
def test_an_input_ends_with_its_key_or_with_the_time_and_may_be_too_short(
    keys: str, outcome: str, value: str
) -> None:
    player = Player(Prompt(keys=KeyRules(least=2, most=8, first_s=2, next_s=1)))
    player.player.press(keys)
    player.frames(2)
    assert player.told == [(0, outcome, value, 0 if outcome == "collected" else 1)]
    assert player.ends == [True]


def test_what_was_pressed_counts_when_no_more_comes() -> None:
    player = Player(Prompt(keys=KeyRules(least=1, most=8, finish_on="", first_s=2, next_s=1)))
    player.player.press("7#")
    player.frames(0.98)
    assert player.told == []
    player.frames(0.02)
    assert player.told == [(0, "collected", "7#", 0)]


def test_it_is_asked_again_with_another_sound_for_silence_than_for_too_few_keys() -> None:
    prompt = Prompt(TONE, keys=PIN, retries=2, silence_sound=OTHER, retry_sound=OTHER + OTHER)
    player = Player(prompt)
    assert player.heard(0.1 + 2) == "ttttt" + "." * 100
    assert player.heard(0.14) == "oottttt"
    player.player.press("12")
    assert player.heard(1) == "." * 50
    assert player.heard(0.18) == "ooooottttt"[1:]
    assert player.told == []
    player.player.press("987#")
    assert player.told == [(0, "attempts", "987", 3)]
    again = Player(replace(prompt, retries=1))
    again.player.press("1#")
    again.player.press("1234")
    assert again.told == [(0, "collected", "1234", 1)]


def test_keys_that_nobody_asks_for_yet_wait_for_the_next_prompt_unless_it_wants_fresh_ones() -> None:
    player = Player(Prompt(TONE), Prompt(TONE, keys=PIN), Prompt(TONE, keys=KeyRules()))
    player.player.press("12345")
    assert player.told == []
    player.frames(0.12)
    assert player.told == [(1, "collected", "1234", 0), (2, "collected", "5", 0)]
    fresh = Player(Prompt(TONE), Prompt(keys=PIN), Prompt(keys=KeyRules(first_s=1, fresh=True)))
    fresh.player.press("12345")
    fresh.frames(0.12 + 1)
    assert fresh.told == [(1, "collected", "1234", 0), (2, "silence", "", 1)]
    many = Player(Prompt(TONE), Prompt(keys=KeyRules(most=64, finish_on="", next_s=1)))
    many.player.press("1" * 1000)
    many.frames(0.12 + 1)
    assert many.told == [(1, "collected", "1" * KEYS_AHEAD, 0)]


@pytest.mark.parametrize("keys", ["1234#56#7", "12345#67"])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_end_key_behind_a_whole_input_is_no_key_of_the_next_prompt(keys: str, at_once: bool) -> None:
    asks = Prompt(TONE, keys=KeyRules(least=2, most=2, first_s=10))
    player = Player(Prompt(keys=PIN), Prompt(TONE), asks, Prompt(TONE, keys=KeyRules(first_s=10)))
    for piece in [keys] if at_once else keys:
        player.player.press(piece)
        player.frames(0 if at_once else 0.3)
    player.frames(1)
    value = "56" if keys.startswith("1234#") else "5"
    outcome = "collected" if value == "56" else "attempts"
    told = [(0, "collected", "1234", 0), (2, outcome, value, 0 if outcome == "collected" else 1)]
    assert player.told == [*told, (3, "collected", "7" if outcome == "collected" else "6", 0)]


def test_the_end_key_alone_does_not_cut_the_next_sound_off_within_three_seconds() -> None:
    for pause_s, sound in ((0.3, "t"), (2.9, "t"), (3.1, ".")):
        player = Player(Prompt(keys=PIN), Prompt(TONE * 50, keys=replace(PIN, first_s=1), retries=1))
        player.player.press("1234")
        player.frames(pause_s)
        player.player.press("#")
        assert player.heard(0.02) == sound or sound == "."
        player.player.press("5678")
        assert player.told == [
            (0, "collected", "1234", 0),
            (1, "collected", "5678", 0 if sound == "t" else 1),
        ]


def test_an_answer_is_waited_for_so_long_and_keys_wait_with_it() -> None:
    player = Player(Prompt(keys=PIN), Prompt(TONE, keys=KeyRules(most=2, first_s=1)), waits=True)
    player.player.press("1234")
    assert player.heard(1) == "." * 50
    player.player.press("#5")
    assert player.player.awaits_answer_of(0)
    assert player.heard(ANSWER_S - 1) == "." * round((ANSWER_S - 1) / FRAME_S)
    assert not player.player.awaits_answer_of(0)
    player.player.press("6")
    assert player.told == [(0, "collected", "1234", 0), (1, "collected", "56", 0)]
    assert player.player.awaits_answer_of(1)
    player.player.go_on()
    assert player.ends == [True]


def test_what_an_answer_orders_takes_the_place_of_the_rest() -> None:
    player = Player(Prompt(keys=PIN), Prompt(TONE), waits=True)
    player.player.press("1234")
    player.player.press("98")
    assert player.player.give_up() == "98"
    assert player.heard(ANSWER_S + 1) == "." * round((ANSWER_S + 1) / FRAME_S)
    assert player.ends == []
    over = Player(Prompt(keys=PIN), Prompt(TONE), waits=True)
    over.player.press("1234")
    over.player.stop()
    assert (over.told, over.ends) == ([(0, "collected", "1234", 0)], [False])
    assert not over.player.awaits_answer_of(0)


def test_it_can_be_given_up_and_tells_that_once() -> None:
    player = Player(Prompt(TONE, keys=PIN), Prompt(OTHER))
    player.player.press("12")
    player.player.stop()
    player.player.stop()
    player.player.press("34")
    assert player.heard(0.04) == ".."
    assert player.told == [(0, "hangup", "12", 0)]
    assert player.ends == [False]


# ---------------------------------------------------------------------- in a call


def play(live: Live, *prompts: Prompt) -> Player:
    """Play prompts in a call, which gives the caller back at their end."""
    player = Player(*prompts, rate=live.leg.rate)
    told_end = player.ends.append

    def on_end(all_played: bool) -> None:
        told_end(all_played)
        if all_played:
            live.call.control.played()

    player.player = PromptPlayer(
        prompts,
        rate=live.leg.rate,
        request_id="p1",
        on_keys=player.on_keys,
        on_end=on_end,
    )
    live.call.control.play(player.player)
    return player


def test_the_bot_is_on_hold_while_prompts_are_played_and_gets_no_key(live: Live) -> None:
    player = play(live, Prompt(TONE, keys=PIN))
    assert holds(live.agent) == [True]
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick(2)
    assert (live.media.frame_ticks, live.media.pauses, live.media.notes) == (0, 2, [])
    assert live.leg.notes.count("frame") == 2
    live.leg.listener.caller_dtmf("1234")
    assert (player.told, player.ends) == ([(0, "collected", "1234", 0)], [True])
    assert holds(live.agent) == [True, False]
    live.leg.listener.caller_dtmf("5")
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick()
    assert live.media.notes == ["dtmf 5", f"audio {len(FRAME)}"]
    assert live.media.frame_ticks == 1


@pytest.mark.parametrize(
    ("pause_s", "keys", "bot_gets"),
    [
        (0.0, ["#"], []),
        (2.9, ["#", "#5"], ["dtmf 5"]),
        (3.1, ["#"], ["dtmf #"]),
        (1.0, ["5", "#"], ["dtmf 5", "dtmf #"]),
    ],
)
def test_the_end_key_behind_the_last_prompt_is_no_key_for_the_bot(
    live: Live, pause_s: float, keys: list[str], bot_gets: list[str]
) -> None:
    play(live, Prompt(TONE, keys=PIN))
    live.room.frame_tick(10)
    live.leg.listener.caller_dtmf("1234")
    live.room.frame_tick(round(pause_s / FRAME_S))
    for each in keys:
        live.leg.listener.caller_dtmf(each)
    assert live.media.notes == bot_gets


def test_the_end_key_behind_the_last_prompt_is_no_key_of_the_next_order(live: Live) -> None:
    play(live, Prompt(keys=PIN))
    live.leg.listener.caller_dtmf("1234")
    player = play(live, Prompt(keys=PIN))
    live.room.frame_tick(50)
    live.leg.listener.caller_dtmf("#")
    live.leg.listener.caller_dtmf("5678")
    assert player.told == [(0, "collected", "5678", 0)]


def test_a_hold_that_was_asked_for_goes_on_behind_prompts(live: Live) -> None:
    live.control("hold", True)
    play(live, Prompt(TONE))
    live.control("hold", False)
    live.control("hold", True)
    live.room.frame_tick(6)
    assert live.call.media_path.held
    assert frame_bytes(live.leg.rate) == len(FRAME)
    play(live, Prompt(TONE))
    live.control("hold", False)
    assert live.call.media_path.held, "the prompts hold the caller"
    live.room.frame_tick(6)
    assert not live.call.media_path.held


def test_nobody_is_transferred_while_prompts_are_played_and_nothing_is_played_while_it_rings(
    live: Live,
) -> None:
    play(live, Prompt(TONE))
    live.transfer()
    assert live.results == [("refused", "the caller hears prompts")]
    assert live.call.control.request_under_way == "p1"
    live.room.frame_tick(6)
    live.transfer()
    assert live.call.control.no_transfer_because == "another transfer is under way"


def test_the_next_instance_goes_on_behind_prompts_when_the_agent_is_lost(live: Live) -> None:
    player = play(live, Prompt(TONE, keys=KeyRules(most=2)))
    live.agent.lose()
    other = live.room.agent("two")
    live.leg.listener.caller_dtmf("1")
    live.room.frame_tick()
    assert live.leg.notes.count("frame") == 1
    other.start_media(other.open_media())
    other.accept()
    other.answer()
    assert holds(other) == [True]
    live.leg.listener.caller_dtmf("2")
    assert player.told == [(0, "collected", "12", 0)]
    assert holds(other) == [True, False]


def test_a_call_that_ends_meanwhile_ends_the_prompts(live: Live) -> None:
    player = play(live, Prompt(TONE, keys=PIN), Prompt(TONE))
    live.leg.listener.caller_dtmf("1")
    live.leg.listener.caller_hangup(live.room.now)
    assert (player.told, player.ends) == ([(0, "hangup", "1", 0)], [False])
    assert live.room.ended().reason is EndReason.CALLER_HANGUP
    live.leg.listener.caller_dtmf("234")
    live.room.frame_tick(3)
    assert len(player.told) == 1
