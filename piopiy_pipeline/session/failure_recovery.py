"""`FailureRecovery`: what to do when a provider fails, as a state machine without I/O.

It is told what comes out of the pipeline, so it knows whether an answer is under way, and notices an answer
that makes no progress. After a failure the bot apologises and tries the same turn once more. A second failure
in that turn ends the call. The caller never meets silence. `ProviderFailures` carries out what is decided here.
"""

from __future__ import annotations

from enum import Enum

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.utils import obj_id

from piopiy_pipeline.text import has_words

__all__ = ["FailureRecovery", "RecoveryAction"]


class RecoveryAction(Enum):
    """What the call does after a failure."""

    RETRY = "retry"
    """Apologise, and ask for the answer once more."""
    END = "end"
    """Say that the bot does not work, and end the call."""
    NOTHING = "nothing"
    """An earlier failure is being dealt with: do nothing."""


BEHIND_S = 0.1
"""An error that comes so long behind the end of an answer, in seconds, says why it has ended: pipecat ends it first."""


class FailureRecovery:
    """Watches the answers of one call. All times are seconds of one clock.

    Args:
        patience_s: How long an answer may make no progress.
        voice_patience_s: How long a sentence may take until it is heard; None: as long.
    """

    def __init__(self, *, patience_s: float = 10.0, voice_patience_s: float | None = None) -> None:
        self.patience_s = patience_s
        self.voice_patience_s = voice_patience_s
        self._open = False
        self._asked_behind_cut = False
        self._announced = False
        self._written = False
        self.partly_said = False
        """Whether words of the latest answer are on their way to the voice."""
        self._written_at: float | None = None  # when the latest answer has ended, as its model tells
        self._broke_off = False
        self._tools: dict[str, str] = {}
        self._beside_tools = False  # the model was asked while a tool ran, and does not wait for its result
        self._progress_at = 0.0
        self._retried = False
        self._retry_from = 0  # frames with lower numbers are of the answer that has failed
        self._recovering = False
        self._ending = False

    @property
    def busy(self) -> bool:
        """Whether an answer is under way: the model speaks, or a tool runs whose result it will use."""
        return self._open or bool(self._tools)

    @property
    def is_recovering(self) -> bool:
        """Whether a failure is being dealt with: the retry has not begun, or the call is about to end."""
        return self._recovering or self._ending

    @property
    def answer_open(self) -> bool:
        """Whether the model was asked and has not finished its answer."""
        return self._open

    @property
    def tools_running(self) -> bool:
        """Whether a tool has not returned yet."""
        return bool(self._tools)

    @property
    def running_tools(self) -> tuple[str, ...]:
        """The names of the tools that have not returned yet."""
        return tuple(self._tools.values())

    @property
    def sentence_announced(self) -> bool:
        """Whether a sentence is on its way to the TTS, and there is no audio of it yet."""
        return self._announced

    # ------------------------------------------------------------------ progress

    def turn_ended(self) -> None:
        """Note the end of a turn whose words are written down later: it is a new turn, with a retry of its own.

        It is no progress: what was asked for before, and was not heard of, is as overdue as it was.
        """
        self._retried = self._recovering = False

    def user_turn(self, now: float, *, late_words: bool = False) -> None:
        """Note that the caller has said something: it is a new turn, with a retry of its own.

        Args:
            now: The time.
            late_words: Whether these are the words of a turn that was noted when it ended: its answer may have failed.
        """
        if not late_words:
            self.turn_ended()
        self._progress_at = now

    def asked(self, now: float, *, ahead: bool = False) -> None:
        """The model was asked: an answer has to come.

        If this is the retry, all that the model has told up to now is of the answer that has failed. Of one that was
        begun `ahead`, it is that answer itself.
        """
        if self._retried and not ahead:
            self._retry_from = obj_id()
        self._open = self._asked_behind_cut = True
        self._beside_tools = bool(self._tools)
        self._written = False
        self._progress_at = now

    def request_cut(self) -> None:
        """An interruption has come to the model, and goes on to the end of the pipeline (`interrupted`)."""
        self._asked_behind_cut = False

    def response_started(self, now: float, frame: int | None = None) -> None:
        """Note that the model has begun to answer, as the frame of this number tells.

        Until the retry has begun, this is the answer that has failed: it comes behind its failure where the loop is
        busy. One that was asked for since is open already.
        """
        if self._is_late(frame):
            return
        self._open = self._open or not self._recovering
        self._announced = False
        self._progress_at = now

    def model_wrote(self, frame: Frame, now: float) -> None:
        """Note what a model writes, in order: where an answer begins and ends, its words, and an error."""
        match frame:
            case LLMFullResponseStartFrame():
                self.partly_said = self._broke_off = False
                self._written_at = None
            case LLMTextFrame() if has_words(frame.text):
                self.partly_said = True
            case LLMFullResponseEndFrame():
                self._written_at = now
            case ErrorFrame() if frame.category is not ErrorCategory.APPLICATION:
                self.broke_off(open=self._written_at is None or now - self._written_at <= BEHIND_S)

    def broke_off(self, *, open: bool) -> None:
        """Note that no more comes of the answer under way, if one is open: it is not whole."""
        self._broke_off = self._broke_off or (open and self.partly_said)

    def take_broken_off(self) -> bool:
        """Return whether the turn of the bot that is over now is an answer that has broken off."""
        broken_off, self._broke_off = self._broke_off, False
        return broken_off

    def answer_written(self) -> None:
        """Note that the model has written all of its answer: what does not come now, the TTS keeps back."""
        self._written = True

    def text_announced(self, now: float) -> None:
        """Note that a sentence is on its way to the TTS, which is waited for from now on."""
        self._announced = True
        self._progress_at = now

    def progressed(self, now: float) -> None:
        """Audio was made, or the caller has heard some."""
        self._announced = False
        self._progress_at = now

    def response_ended(self, now: float, frame: int | None = None) -> None:
        """Note that the answer of the model is complete, as the frame of this number tells.

        The end of an answer that has failed may come behind the request for the retry, which it does not end.
        """
        if self._is_late(frame):
            return
        self._open = self._written = False
        self._progress_at = now

    def _is_late(self, frame: int | None) -> bool:
        return frame is not None and frame < self._retry_from

    def interrupted(self, now: float) -> None:
        """Note that the caller cut in: no more of this answer will come, unless the model was asked since."""
        self._open = self._open and self._asked_behind_cut
        self._asked_behind_cut = self._announced = self._written = False
        self._progress_at = now

    def tool_started(self, call: str, now: float, name: str = "") -> None:
        """Note that the model uses the tool called `name`; `call` is the id of this use."""
        self._tools[call] = name
        self._beside_tools = False
        self._progress_at = now

    def tool_ended(self, call: str, now: float) -> None:
        """Note that the tool has returned, or was cancelled."""
        self._tools.pop(call, None)
        self._progress_at = now

    def held(self, now: float) -> None:
        """Note that the caller is on hold and the bot's speech waits, so nothing is overdue."""
        self._progress_at = now

    # ------------------------------------------------------------------ failures

    def overdue(self, now: float) -> str | None:
        """Return what has been waited for too long: ``"llm"``, ``"tts"``, or None.

        Tools may take longer: they have deadlines of their own. An answer that the model gives beside them may not.
        """
        waits_for_tool = self._tools and not self._beside_tools
        if not (self._open or self._announced) or waits_for_tool or self._ending:
            return None  # an answer that is complete has to be heard, too
        patience_s = self.patience_s
        if self._announced and self.voice_patience_s is not None:
            patience_s = min(patience_s, self.voice_patience_s)
        if now - self._progress_at < patience_s:
            return None
        return "tts" if self._announced or self._written else "llm"

    def failed(self, now: float, *, hopeless: bool = False) -> RecoveryAction:
        """Decide what to do when a provider has failed: it reported an error, or it is overdue.

        Until the retry has begun (`retrying()`), more failures count as an echo of the first one.

        Args:
            now: The time, in seconds.
            hopeless: The provider takes no more work, so that a retry would be met with silence.

        Returns:
            What to do.
        """
        if self._ending or (self._recovering and not hopeless):
            return RecoveryAction.NOTHING
        self._open = self._announced = self._written = False
        self._progress_at = now
        if self._retried or hopeless:
            self._ending = True
            return RecoveryAction.END
        self._retried = self._recovering = True
        return RecoveryAction.RETRY

    def retrying(self, now: float, *, answer: bool) -> None:
        """Note that the second attempt has begun. With `answer`, the model was asked, so an answer has to
        come.
        """
        self._recovering = False
        self._open = self._open or answer
        self._progress_at = now
