"""Prompts: sound that the gateway itself plays to a caller, and the keys that it collects, while the bot is on hold.
No I/O.

The prompts of one order are the sound of a hold (`HoldSound`): they are asked for 20 ms at each frame tick. They count
time by these frames, so that they need no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.audio.resample import resampler_between
from piopiy_pipeline.late_keys import LateKeys

__all__ = ["ANSWER_S", "PROMPT_RATE", "KeyRules", "KeysOutcome", "Prompt", "PromptPlayer"]

PROMPT_RATE = 16_000
"""The sample rate of the sound of prompts, in Hz. It is resampled as it is played, because legs have several."""
KEYS_AHEAD = 64
"""So many keys that were pressed before they are asked for are kept; more are dropped."""
ANSWER_S = 5.0
"""So long it is waited for an answer that says what comes next, in seconds. The caller hears nothing meanwhile."""

KeysOutcome = Literal["collected", "silence", "attempts", "hangup"]
"""``collected``; or why not, in the words of `collect`: no key, too few keys, or the call is over."""


@dataclass(frozen=True, slots=True)
class KeyRules:
    """Which keys a prompt collects."""

    least: int = 1
    most: int = 1
    """So many keys end the input by themselves."""
    finish_on: str = "#"
    """The key that ends the input and is not part of it. Empty: none does."""
    first_s: float = 5.0
    """How long the first key is waited for after the sound, in seconds."""
    next_s: float = 5.0
    """How long each further key is waited for, in seconds."""
    fresh: bool = False
    """Whether keys that were pressed before this prompt are dropped."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sound, keys that are collected during and after it, or both. Sounds are PCM16 mono at `PROMPT_RATE`."""

    sound: bytes = b""
    keys: KeyRules | None = None
    retries: int = 0
    """How often it is asked again after no key, or too few."""
    silence_sound: bytes = b""
    """Played before it is asked again because no key came."""
    retry_sound: bytes = b""
    """Played before it is asked again because too few keys came."""


class PromptPlayer:
    """Plays prompts one after the other, and collects keys. The first key cuts the sound of its prompt off.

    Args:
        prompts: What to play and to collect.
        rate: The sample rate of the leg in Hz.
        request_id: Of the order.
        on_keys: Called for each prompt that collects keys, when that is over: with the prompt's number, what came of
            it, the keys, and how many inputs before were none. It only tells others of it. It returns whether `go_on`
            or `give_up` is to be waited for, `ANSWER_S` at most.
        on_end: Called once at the end, with whether all was played: not after `stop`.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        rate: int,
        request_id: str,
        on_keys: Callable[[int, KeysOutcome, str, int], bool],
        on_end: Callable[[bool], None],
    ) -> None:
        self.request_id = request_id
        self.prompts = tuple(prompts)
        self._rate = rate
        self._on_keys = on_keys
        self._on_end = on_end
        self._number = self._attempts = 0
        self._keys = ""
        self._ahead = ""
        self._late = LateKeys()
        self._frames = self._waited_frames = 0
        self._answer_due: int | None = None  # the frame until which an answer is waited for
        self._over = False
        self._begin()

    def stop(self) -> None:
        """Give up, because the call is over: a prompt that collects keys is told of as ``hangup``."""
        if self._over:
            return
        collects = self._rules is not None and not self._awaits_answer
        self._over = True
        if collects:
            self._on_keys(self._number, "hangup", self._keys, self._attempts)
        self._on_end(False)

    def awaits_answer_of(self, number: int) -> bool:
        """Return whether it waits for `go_on` or `give_up` behind the prompt of this number."""
        return self._awaits_answer and number == self._number

    @property
    def _awaits_answer(self) -> bool:
        return self._answer_due is not None and not self._over

    def go_on(self) -> None:
        """Go on with the next prompt, because there is no answer that says anything else."""
        self._answer_due = None
        self._go_on()

    def give_up(self) -> str:
        """End without a word, because something else comes next. Returns the keys that were pressed for that."""
        self._over = True
        return self._ahead

    def frame(self) -> bytes:
        """Return the 20 ms that are due: PCM16 little-endian mono at the leg's rate; silence behind the sound."""
        self._frames += 1
        frame = self._sound.frame()
        if self._awaits_answer:
            if self._frames == self._answer_due:
                self.go_on()
        elif frame is None and not self._over:
            self._wait()
        return frame or bytes(frame_bytes(self._rate))

    def press(self, keys: str) -> None:
        """Take keys that the caller has pressed. Those that nothing asks for yet wait for the next prompt."""
        for key in keys:
            if self._keys or self._ahead or not self._late.has(key, self._frames * FRAME_S):
                self._ahead = (self._ahead + key)[:KEYS_AHEAD]
                self._take_ahead()

    def is_late(self, key: str, seconds: float) -> bool:
        """Return whether a key that comes so many seconds behind the end of all prompts belongs to their last input."""
        return self._late.has(key, self._frames * FRAME_S + seconds)

    def _take_ahead(self) -> None:
        while self._ahead and not (self._over or self._awaits_answer) and (rules := self._rules) is not None:
            key, self._ahead = self._ahead[0], self._ahead[1:]
            self._pressed(rules, key)

    @property
    def _rules(self) -> KeyRules | None:
        return self.prompts[self._number].keys

    def _begin(self) -> None:
        self._attempts = 0
        self._ask(self.prompts[self._number].sound)
        if self._rules is not None and self._rules.fresh:
            self._ahead = ""
        self._take_ahead()

    def _ask(self, sound: bytes) -> None:
        self._sound = _PromptSound(sound, self._rate)
        self._keys = ""
        self._waited_frames = 0

    def _wait(self) -> None:
        """Go on when the sound is over, and no key came in time."""
        if self._rules is None:
            self._next()
            return
        self._waited_frames += 1
        wait_s = self._rules.next_s if self._keys else self._rules.first_s
        if self._waited_frames * FRAME_S >= wait_s:
            self._entered(self._rules, pressed=bool(self._keys))

    def _pressed(self, rules: KeyRules, key: str) -> None:
        self._sound = _PromptSound(b"", self._rate)
        self._waited_frames = 0
        if key != rules.finish_on:
            self._keys += key
        if key == rules.finish_on or len(self._keys) >= rules.most:
            self._entered(rules, pressed=True)

    def _entered(self, rules: KeyRules, *, pressed: bool) -> None:
        """Handle the end of an input. `pressed`: any key came, be it the one that ends it."""
        prompt = self.prompts[self._number]
        if self._keys:
            self._late.ended(self._frames * FRAME_S, rules.finish_on)
            self._ahead = self._ahead.removeprefix(rules.finish_on)
        if len(self._keys) >= rules.least:
            self._next("collected")
            return
        self._attempts += 1
        if self._attempts > prompt.retries:
            self._next("attempts" if pressed else "silence")
        else:
            self._ask((prompt.retry_sound if pressed else prompt.silence_sound) + prompt.sound)

    def _next(self, outcome: KeysOutcome | None = None) -> None:
        if outcome is not None and self._on_keys(self._number, outcome, self._keys, self._attempts):
            self._answer_due = self._frames + round(ANSWER_S / FRAME_S)
            self._keys = ""
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._number + 1 < len(self.prompts):
            self._number += 1
            self._begin()
        else:
            self._over = True
            self._on_end(True)


class _PromptSound:
    """A sound in frames of 20 ms at a leg's rate."""

    def __init__(self, pcm: bytes, rate: int) -> None:
        self._pcm = memoryview(pcm)
        self._at = 0
        self._step = frame_bytes(PROMPT_RATE)
        self._resampler = resampler_between(PROMPT_RATE, rate)

    def frame(self) -> bytes | None:
        if self._at >= len(self._pcm):
            return None
        piece = bytes(self._pcm[self._at : self._at + self._step]).ljust(self._step, b"\0")
        self._at += self._step
        return piece if self._resampler is None else self._resampler.process(piece)
