"""Plays policies against what a bot knows of a turn, for `benchmarks/turn_end.py`, and counts what they cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.turn_end_corpus import Turn
from benchmarks.turn_end_signals import Signals, text_of
from piopiy_pipeline.turns.expected_answer import expected_answer
from piopiy_pipeline.turns.turn_end_policy import TurnEndPolicy, TurnWaits
from piopiy_pipeline.turns.turn_words import LastWord

__all__ = ["POLICIES", "Outcome", "Player", "play_smart_turn", "player_of"]

SMART_STOP_S = 3.0
"""pipecat's default: after so much silence the turn ends, whatever the model has said."""
START_S = 0.096


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy has made of a turn."""

    wait_s: float | None
    """From the last sound to the decision; None if there was none until the line ended."""
    cuts: int
    """Pauses in which the turn was taken for over."""
    reason: str = ""
    cut_at: tuple[float, ...] = ()


Player = Callable[[Turn, Signals, float, float], Outcome]
"""Takes a turn, what is known of it, and when its speech begins and ends on the line."""


def player_of(waits: TurnWaits, *, hold: bool) -> Player:
    """Return a player of our policy. Without `hold`, a sound that may become speech does not put a decision off."""

    def play(turn: Turn, signals: Signals, begins: float, ends: float) -> Outcome:
        policy = TurnEndPolicy(waits)
        policy.expected = expected_answer(turn.asked, "en")
        cuts: list[float] = []
        in_turn = False
        moments = [moment for moment in signals.moments if moment.what in ("start", "stop", "words", "smart")]
        end_of_line = ends + 4.0
        for i, moment in enumerate(moments):
            until = moments[i + 1].at if i + 1 < len(moments) else end_of_line
            if moment.what == "start":
                policy.speech(moment.at, since_s=START_S)
                if not in_turn:
                    policy.turn_begins()
                    in_turn = True
            elif moment.what == "stop":
                silence_s, crowded = moment.value
                policy.silence(moment.at, since_s=silence_s, crowded=crowded)
            elif moment.what == "smart":
                policy.sounds_finished(moment.value if waits.smart_turn else 0.5)
            else:
                if not in_turn:
                    policy.turn_begins()
                    in_turn = True
                word, sure = moment.value[-1]
                last = LastWord(word.endswith(","), sure)
                policy.final(moment.at, text_of(moment.value), finalized=True, last=last)
            now = moment.at
            while in_turn and (due := policy.due()) is not None and max(due, now) < until:
                now = max(due, now)
                end = policy.decide(now, sounding=hold and signals.sounds_at(now))
                if end is None:
                    continue
                policy.turn_ends(now)
                in_turn = False
                if now >= ends - 0.02:
                    return Outcome(now - ends, len(cuts), end.reason, tuple(cuts))
                cuts.append(now - begins)
        return Outcome(None, len(cuts), "", tuple(cuts))

    return play


def play_smart_turn(turn: Turn, signals: Signals, begins: float, ends: float) -> Outcome:
    """Do as pipecat's default does: smart-turn at each stop, and 3 s of silence if it is not convinced."""
    cuts: list[float] = []
    has_words, complete, stopped = False, False, None
    moments = signals.moments
    for i, moment in enumerate(moments):
        until = moments[i + 1].at if i + 1 < len(moments) else ends + 4.0
        if moment.what == "start":
            has_words = complete = False
            stopped = None
        elif moment.what == "stop":
            stopped = moment.at
        elif moment.what == "words":
            has_words = True
        elif moment.what == "smart":
            complete = moment.value > 0.5
        if stopped is None or not has_words:
            continue
        now = moment.at if complete else stopped + SMART_STOP_S
        if now < until and now >= moment.at:
            if now >= ends - 0.02:
                return Outcome(now - ends, len(cuts), "", tuple(cuts))
            cuts.append(now - begins)
            has_words = complete = False
            stopped = None
    return Outcome(None, len(cuts), "", tuple(cuts))


POLICIES: dict[str, Player] = {
    "timer 0.4 s": player_of(TurnWaits.of(0.6), hold=False),
    "timer 0.6 s": player_of(TurnWaits.of(0.8), hold=False),
    "smart-turn": play_smart_turn,
    "fast": player_of(TurnWaits.of("fast"), hold=True),
    "smart": player_of(TurnWaits.of("smart"), hold=True),
    "smart, model": player_of(TurnWaits(smart_turn=True), hold=True),
}
"""A timer counts from the VAD's stop, which comes 0.2 s after the last sound. 0.6 s is what the bot did before, and
pipecat's own timer."""
