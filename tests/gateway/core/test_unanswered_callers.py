"""What a caller has said and nobody has understood yet is said again to the next agent, when the first one is lost."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.caller_backlog import KEPT_S, PIECE_S, RECENT_S
from piopiy_pipeline.signaling.messages import ConversationEvent, Move
from tests.support.switchboard import NotedAgent, NotedLeg, NotedMedia, Room


def live(room: Room) -> tuple[NotedAgent, NotedAgent, NotedLeg]:
    """A call that `one` has, and `two` that is free."""
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.take()
    return one, two, leg


def say(leg: NotedLeg, *sizes: int) -> None:
    """Each piece has a size of its own, so that the notes tell which is which."""
    for size in sizes:
        leg.listener.caller_audio(bytes(size))


def understood(agent: NotedAgent) -> None:
    agent.say(ConversationEvent(call_id="call-1", at=1.0, event="user_turn", data={"text": "Hello."}))


def heard(media: NotedMedia) -> list[int]:
    return [int(note.split()[1]) for note in media.notes if note.startswith("audio")]


def test_the_turn_that_was_lost_with_its_agent_is_heard_by_the_next_one(room: Room) -> None:
    one, two, leg = live(room)
    say(leg, 640, 642, 644)
    one.lose()
    say(leg, 646)
    media = two.take()
    say(leg, 648)
    assert heard(media) == [640, 642, 644, 646, 648]


def test_what_was_understood_is_not_said_again(room: Room) -> None:
    one, two, leg = live(room)
    say(leg, 640, 642)
    understood(one)
    say(leg, 644)
    one.lose()
    media = two.take()
    say(leg, 646)
    assert heard(media) == [644, 646]


def test_a_second_loss_repeats_it_once_more(room: Room) -> None:
    one, two, three = room.agent("one"), room.agent("two"), room.agent("three")
    _, leg = room.call()
    one.take()
    say(leg, 640)
    one.lose()
    say(leg, 642)
    next_one, last = (two, three) if two.offers else (three, two)
    first = next_one.take()
    say(leg, 644)
    assert heard(first) == [640, 642, 644]
    next_one.lose()
    media = last.take()
    say(leg, 646)
    assert heard(media) == [640, 642, 644, 646]


def test_the_oldest_is_forgotten_first(room: Room) -> None:
    one, two, leg = live(room)
    second = 32_000
    for _ in range(10):
        say(leg, second)
    one.lose()
    media = two.take()
    say(leg, 640)
    assert RECENT_S * second <= sum(heard(media)) - 640 <= KEPT_S * second


@pytest.mark.parametrize("samples", [1, 128, 500, 960, 3000])
@pytest.mark.parametrize("moves", [False, True])
def test_as_many_seconds_are_kept_however_the_caller_cuts_them(room: Room, samples: int, moves: bool) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    leg.rate = 8000 if samples == 1 else 48_000
    one.take()
    second = 2 * leg.rate
    piece = bytes(2 * samples)
    for _ in range(6 * leg.rate // samples):
        leg.listener.caller_audio(piece)
    if moves:
        one.say(Move(call_id=call.call_id, heard_s=None))
        media = two.open_media()
        two.accept()
        two.start_media(media)
        for _ in range(int(4.6 * leg.rate) // samples):
            leg.listener.caller_audio(piece)
        two.answer()
        least = 4.6
    else:
        one.lose()
        media = two.take()
        leg.listener.caller_audio(piece)
        least = RECENT_S
    short = 2 * max(len(piece), int(PIECE_S * second))
    assert least * second - short <= len(media.heard) <= KEPT_S * second + short


def test_short_pieces_that_were_understood_are_not_joined_with_what_follows(room: Room) -> None:
    one, two, leg = live(room)
    say(leg, 100, 102)
    understood(one)
    say(leg, 104, 106)
    one.lose()
    say(leg, 108, 110)
    media = two.take()
    say(leg, 640)
    assert len(media.heard) == 104 + 106 + 108 + 110 + 640


def test_keys_are_not_pressed_again_because_the_lost_agent_may_have_acted_on_them(room: Room) -> None:
    one, two, leg = live(room)
    say(leg, 640)
    leg.listener.caller_dtmf("7")
    one.lose()
    leg.listener.caller_dtmf("8")
    media = two.take()
    say(leg, 642)
    assert media.notes == ["audio 640", "dtmf 8", "audio 642"]


def test_an_agent_that_gives_its_call_back_leaves_the_turn_to_the_next_one(room: Room) -> None:
    one, two, leg = live(room)
    say(leg, 640)
    one.hangup(EndReason.SHUTDOWN)
    media = two.take()
    say(leg, 642)
    assert heard(media) == [640, 642]
