"""When a provider fails, the caller hears of it: a state machine without I/O.

Told what comes out of the pipeline, it knows whether an answer is under way, and notices one that
has stopped coming. A failure is answered with an apology and one retry of the same turn; a second
failure in that turn ends the call. Never silence.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["FailureRecovery", "RecoveryAction"]


class RecoveryAction(Enum):
    """What to do about a failure."""

    RETRY = "retry"
    """Apologise, and ask for the answer once more."""
    END = "end"
    """Say that it does not work, and end the call."""
    NOTHING = "nothing"
    """It is being dealt with already."""


class FailureRecovery:
    """Watches over the answers of one call. `patience_s` is how long an answer may make no progress.

    All times are seconds of one clock.
    """

    def __init__(self, *, patience_s: float = 10.0) -> None:
        self.patience_s = patience_s
        self._open = False
        self._announced = False
        self._tools: set[str] = set()
        self._progress_at = 0.0
        self._retried = False
        self._recovering = False
        self._ending = False

    @property
    def busy(self) -> bool:
        """Whether an answer is under way: the model speaks, or a tool runs whose result it will use."""
        return self._open or bool(self._tools)

    @property
    def tools_running(self) -> bool:
        """Whether a tool has not returned yet."""
        return bool(self._tools)

    @property
    def text_waits(self) -> bool:
        """Whether a sentence was announced of which there is no audio yet."""
        return self._announced

    # ------------------------------------------------------------------ what happens

    def user_turn(self, now: float) -> None:
        """The caller has said something: a new turn, with a retry of its own."""
        self._retried = self._recovering = False
        self._progress_at = now

    def response_started(self, now: float) -> None:
        """The model has begun to answer."""
        self._open = True
        self._announced = False
        self._progress_at = now

    def text_announced(self, now: float) -> None:
        """A sentence is about to be spoken: from here on it is the TTS that is waited for."""
        self._announced = True
        self._progress_at = now

    def progressed(self, now: float) -> None:
        """There is audio, or the caller is hearing some."""
        self._announced = False
        self._progress_at = now

    def response_ended(self, now: float) -> None:
        """The answer is complete."""
        self._open = False
        self._progress_at = now

    def interrupted(self, now: float) -> None:
        """The caller cut in: nothing more of this answer will come."""
        self._open = self._announced = False
        self._progress_at = now

    def tool_started(self, call: str, now: float) -> None:
        """The model uses a tool."""
        self._tools.add(call)
        self._progress_at = now

    def tool_ended(self, call: str, now: float) -> None:
        """The tool has returned, or was cancelled."""
        self._tools.discard(call)
        self._progress_at = now

    def on_hold(self, now: float) -> None:
        """The caller is on hold, and the bot's speech waits: nothing is late."""
        self._progress_at = now

    # ------------------------------------------------------------------ what goes wrong

    def overdue(self, now: float) -> str | None:
        """What has been waited for longer than the patience: ``"llm"``, ``"tts"``, or None.

        A tool may take its time: it is the author's own code, and the idle timeout is for it.
        """
        if not self._open or self._tools or self._ending:
            return None
        if now - self._progress_at < self.patience_s:
            return None
        return "tts" if self._announced else "llm"

    def failed(self, now: float, *, hopeless: bool = False) -> RecoveryAction:
        """A provider has failed, by its own word or by `overdue()`. Says what to do about it.

        `hopeless` means that it takes no more work, so that a retry would be met with silence. Until
        the retry has begun (`retrying()`), more failures are the echo of the one that is dealt with.
        """
        if self._ending or (self._recovering and not hopeless):
            return RecoveryAction.NOTHING
        self._open = False
        self._announced = False
        self._progress_at = now
        if self._retried or hopeless:
            self._ending = True
            return RecoveryAction.END
        self._retried = self._recovering = True
        return RecoveryAction.RETRY

    def retrying(self, now: float, *, answer: bool) -> None:
        """The second attempt has begun. `answer`: the model was asked for it, so something has to come."""
        self._recovering = False
        self._open = self._open or answer
        self._progress_at = now
