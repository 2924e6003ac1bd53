"""Decides when a captured caller speaks, now that the bot may say something else.

It is a state machine without I/O. It learns when the bot is heard, and returns every 20 ms the caller's
audio. As long as the bot is heard when it was heard in the call, the caller is in step: each sample of theirs
comes at its own time, and so does all that follows from it. Then what they did follows the bot's events, and
between what they said there is the noise of their own line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.testing.replaying.acts import MERGE_BOT_S, Act, Anchor, Stretch

__all__ = ["Begun", "Reenactment", "ReenactmentStep"]

IN_STEP_S = 0.1
"""A bot that begins and ends within so many seconds of what it did in the call is the same so far."""
LEAD_S = 0.3
"""Seconds before a word that belong to it, because a recogniser needs the beginning of the sound."""
PATIENCE_S = 8.0
"""A caller who waited for something that does not come, and hears nothing at all, goes on after this."""
PAUSE_S = 3.0
"""A caller who has heard something waits this much longer for more than the pause lasted in which they did so."""
LAST_PATIENCE_S = 15.0
"""When they have done all that they did, and hear nothing, they hang up after this."""
LONGEST_BOT_S = 120.0
"""A bot that speaks for more seconds than this is cut off."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An act that has begun: its speech begins at `at`. `in_vain` says what was waited for and did not come."""

    number: int
    act: Act
    at: float
    in_vain: str = ""


@dataclass(frozen=True, slots=True)
class ReenactmentStep:
    """What one step returns: audio for the bot, and acts that begin. `hang_up` ends the call."""

    pcm: bytes
    begun: tuple[Begun, ...] = ()
    hang_up: bool = False


@dataclass(slots=True)
class _Playing:
    """A piece of the captured audio that is being played. Positions are in samples."""

    position: int
    end: int
    loop_from: int = -1  # -1: silence after its end


@dataclass(slots=True)
class Reenactment:
    """The caller of a capture, who does again what they did. All times are seconds since the answer.

    Args:
        acts: What the caller did.
        pcm: The caller's audio, int16 of shape ``[samples]``, placed in the time of the call.
        rate: Its sample rate in Hz.
        bot: The stretches in which the bot was heard in the call, each for itself however short the silence between.
        began: Is filled with the times at which the acts begin.
        ended: Is filled with the times at which the acts end.
        stretches: Is filled with the stretches in which the bot speaks, also where it holds its speech.
    """

    acts: Sequence[Act]
    pcm: NDArray[np.int16]
    rate: int
    bot: Sequence[Stretch]
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    in_step: bool = True
    """Whether the bot has been heard when it was heard in the call, so far."""
    held: bool = False
    """Whether the bot is not heard for now, and may go on with what it was saying."""
    _playing: _Playing | None = None

    def __post_init__(self) -> None:
        first = self._audio_start(0) if self.acts else self.pcm.size
        self._playing = _Playing(0, first, 0)

    # ------------------------------------------------------------------ the bot is heard

    def bot_started(self, now: float) -> None:
        """Take note that the bot is heard from `now` on."""
        self.held = False
        if self.stretches and now - self.stretches[-1].end < MERGE_BOT_S:
            self.stretches[-1] = Stretch(self.stretches[-1].start)
        elif not self.bot_speaks:
            self.stretches.append(Stretch(now))

    def bot_held(self) -> None:
        """Take note that the bot is not heard for now, and may go on with what it was saying."""
        self.held = self.bot_speaks

    def bot_stopped(self, now: float) -> None:
        """Take note that the bot is not heard any more."""
        self.held = False
        if self.bot_speaks:
            self.stretches[-1] = Stretch(self.stretches[-1].start, now)

    @property
    def bot_speaks(self) -> bool:
        """Whether the bot is heard, or holds what it was saying."""
        return bool(self.stretches) and self.stretches[-1].end == float("inf")

    # ------------------------------------------------------------------ every 20 ms

    def step(self, now: float, samples: int) -> ReenactmentStep:
        """Return the caller's next audio and acts.

        Args:
            now: When the audio is heard, in seconds since the answer.
            samples: The length of the audio in samples.
        """
        self.in_step = self.in_step and self._is_as_it_was(now)
        begun: list[Begun] = []
        while (next_act := self._due(now)) is not None:
            begun.append(next_act)
            if next_act.act.kind == "hangup":
                return ReenactmentStep(b"", tuple(begun), hang_up=True)
        if self.in_step and self._playing is not None:
            self._playing.position = round(now * self.rate)
            if self._playing.position + samples <= self.pcm.size:
                self._playing.end = max(self._playing.end, self._playing.position + samples)
        return ReenactmentStep(self._take(samples), tuple(begun), self._given_up(now))

    def silent_act_at(self, now: float) -> float | None:
        """Return when the caller does what makes no sound, if they are in step and that is within 20 ms from `now`."""
        number = len(self.began)
        if not self.in_step or number >= len(self.acts):
            return None
        act = self.acts[number]
        return act.start if act.kind != "speech" and act.start < now + FRAME_S else None

    def act(self) -> Begun:
        """Do what `silent_act_at` has told, at its time."""
        number = len(self.began)
        return self._begin(number, self.acts[number].start)

    def _is_as_it_was(self, now: float) -> bool:
        """Return whether the bot was heard in the call about `now`, if it is heard, and was not, if it is not."""
        if self.bot_speaks and not self.held:
            return any(each.start - IN_STEP_S <= now <= each.end + IN_STEP_S for each in self.bot)
        return not any(each.start + IN_STEP_S < now < each.end - IN_STEP_S for each in self.bot)

    def _due(self, now: float) -> Begun | None:
        number = len(self.began)
        if number >= len(self.acts):
            return None
        act = self.acts[number]
        lead = self._lead(number)
        if self.in_step:
            return self._begin(number, act.start) if now + FRAME_S > act.start - lead else None
        if self.ended and now < self.ended[-1]:
            return None
        base = self._base(number)
        comes = base is not None and (act.barges_in or not self.bot_speaks)
        if base is not None and comes and now >= base + act.anchor.delay_s - lead:
            return self._begin(number, now + lead)
        if self.bot_speaks:
            if comes or now - self.stretches[-1].start <= LONGEST_BOT_S:
                return None
            return self._begin(number, now + lead, "the bot did not stop speaking")
        silent_s = now - self._quiet_since()
        if silent_s < self._patience(act):
            return None
        times = len(self._heard(act.anchor))
        spoke = {0: "said nothing", 1: "spoke once"}.get(times, f"spoke {times} times")
        why = f"it was {act.anchor}, and now it {spoke}, and was silent for {silent_s:.1f} s"
        return self._begin(number, now + lead, why)

    def _begin(self, number: int, at: float, in_vain: str = "") -> Begun:
        act = self.acts[number]
        self.began.append(at)
        self.ended.append(at + act.end - act.start)
        if act.kind == "speech":
            self._play(number)
        return Begun(number, act, at, in_vain)

    def _heard(self, anchor: Anchor) -> list[Stretch]:
        """Return in which stretches the bot has spoken that an act may follow."""
        since = self.began[-1] if self.began else -1.0
        if anchor.count == 0:  # the speech in which the act before began
            return [stretch for stretch in self.stretches if stretch.start <= since][-1:]
        return [stretch for stretch in self.stretches if stretch.start > since]

    def _base(self, number: int) -> float | None:
        """Return when the event happened that an act follows, or None if it has not happened.

        In however many pieces the bot speaks now: it has finished when it was heard for as long as in the call. And
        who was silent for longer than they had waited for more does the same again after as long a silence.
        """
        anchor = self.acts[number].anchor
        if anchor.after == "answer":
            return 0.0
        if anchor.after == "act":
            return self.ended[-1] if self.ended else 0.0
        heard = self._heard(anchor)
        if anchor.after == "bot_started":
            if not heard or len(heard) < anchor.count:
                return None
            if anchor.count:
                return heard[anchor.count - 1].start
            apart = self.acts[number].start - self.acts[number - 1].end
            return max(heard[0].start, self.ended[-1] + apart - anchor.delay_s)
        closed = [stretch for stretch in heard if stretch.end < float("inf")]
        if not closed:
            return None
        if anchor.count == 0:
            return max(closed[-1].end, self.ended[-1])
        as_long = abs(sum(each.end - each.start for each in closed) - anchor.heard_s) < MERGE_BOT_S
        if as_long or len(closed) >= anchor.count or anchor.delay_s >= anchor.silence_s + PAUSE_S:
            return closed[-1].end
        return None

    def _patience(self, act: Act) -> float:
        """Return after how long a silence the caller goes on, whatever they waited for."""
        delay_s = 0.0 if act.barges_in else act.anchor.delay_s
        if self._heard(act.anchor):
            return max(delay_s, act.anchor.silence_s + PAUSE_S)
        return max(PATIENCE_S, delay_s + PATIENCE_S / 2)

    def _quiet_since(self) -> float:
        ends = [stretch.end for stretch in self.stretches[-1:]] + self.ended[-1:]
        return max(ends, default=0.0)

    def _given_up(self, now: float) -> bool:
        if len(self.began) < len(self.acts):
            return False
        if self.bot_speaks:
            return now - self.stretches[-1].start > LONGEST_BOT_S
        left = self.pcm.size / self.rate - (self.acts[-1].end if self.acts else 0.0)
        return now - self._quiet_since() > max(LAST_PATIENCE_S, left + LAST_PATIENCE_S / 3)

    # ------------------------------------------------------------------ the sound of it

    def _lead(self, number: int) -> float:
        act = self.acts[number]
        if act.kind != "speech":
            return 0.0
        before = self.acts[number - 1].end if number else 0.0
        return max(0.0, min(LEAD_S, act.start - before))

    def _audio_start(self, number: int) -> int:
        return round((self.acts[number].start - self._lead(number)) * self.rate)

    def _play(self, number: int) -> None:
        """Play the act's own audio, and after it, over and over, the noise that was there until the next act."""
        following = next(
            (i for i in range(number + 1, len(self.acts)) if self.acts[i].kind == "speech"), None
        )
        end = self.pcm.size if following is None else self._audio_start(following)
        self._playing = _Playing(self._audio_start(number), end, round(self.acts[number].end * self.rate))

    def _take(self, samples: int) -> bytes:
        playing = self._playing
        pieces: list[NDArray[np.int16]] = []
        left = samples
        while left and playing is not None:
            piece = self.pcm[playing.position : min(playing.end, playing.position + left)]
            playing.position += piece.size
            left -= piece.size
            pieces.append(piece)
            if left:
                if (
                    playing.end - playing.loop_from < self.rate // 2
                ):  # too short to be repeated without a buzz
                    break
                playing.position = playing.loop_from
        pieces.append(np.zeros(left, np.int16))
        return np.concatenate(pieces).astype("<i2").tobytes()
