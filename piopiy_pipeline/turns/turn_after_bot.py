"""Begins the turn of a caller who may not interrupt, or only with so many words: when the bot has finished.

Words that are said over the bot's speech are kept, so that neither the conversation nor the model learns of them
before what the bot says was heard. Then they are one turn, together with what the caller still says.
"""

from __future__ import annotations

from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.types import ProcessFrameResult

from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.backchannels import WordsOver, words_over
from piopiy_pipeline.turns.kept_turn_start import KeptTurnStart

__all__ = ["TurnAfterBot"]

POLL_S = 0.1
"""How often it is looked whether the bot has finished, while words are kept."""
ANSWER_S = 10.0
"""A bot that is to answer and is not heard for so long has no answer."""
ANSWERED_S = 1.0
"""With so little of its speech left, a bot that asks is answered by a "yeah", too."""


class TurnAfterBot(KeptTurnStart):
    """Pipecat's start strategy for a bot that is heard to its end.

    Args:
        output: The stage that speaks.
        words: So many words of one stretch interrupt the bot, and what only a listener says is no turn. None:
            nothing interrupts it, and every word is part of a turn.
        vad: Whether the sound of speech begins a turn, where the bot has finished.
        spared: Only what must not be interrupted is heard to its end, and this strategy begins no other turn: it
            stands before those that do.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(
        self,
        output: FrameProcessor,
        *,
        words: int | None = None,
        vad: bool = True,
        spared: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"enable_interruptions": spared or words is not None, **kwargs})
        self._output = output if isinstance(output, BotOutput) else None
        self._least_words = words
        self._vad = vad
        self._spared = spared
        self._bot_speaks = False
        self._speaking = False
        self._waits_since: float | None = None

    # ------------------------------------------------------------------ what pipecat calls

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        match frame:
            case BotStartedSpeakingFrame():
                self._bot_speaks = True
            case BotStoppedSpeakingFrame():
                self._bot_speaks = False
                self._look()
            case VADUserStartedSpeakingFrame():
                return await self._speech(True)
            case VADUserStoppedSpeakingFrame():
                return await self._speech(False)
            case InterimTranscriptionFrame():
                return await self._interim(frame)
            case TranscriptionFrame() if frame.text.strip():
                return await self._final(frame)
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        """Have what is kept heard in this turn, if another strategy has begun it: it is no turn of its own later."""
        await super().handle_user_turn_started()
        self._clear_timer()
        await self._hear(self._kept.taken())

    # ------------------------------------------------------------------ who has the floor

    @property
    def _bot_has_floor(self) -> bool:
        output = self._output
        if output is None:
            return self._bot_speaks and not self._spared
        if self._spared:
            return output.is_spared
        # What cannot be cut off is waited for from the moment at which it is begun, and not only while it is heard.
        begun = self._least_words is None and (output.has_unheard or output.left_s is None)
        if output.has_floor or not begun:
            self._waits_since = None
            return output.has_floor
        if self._waits_since is None:
            self._waits_since = self._now()
        return self._now() - self._waits_since < ANSWER_S

    # ------------------------------------------------------------------ what the caller does

    async def _speech(self, speaking: bool) -> ProcessFrameResult:
        self._speaking = speaking
        self._kept.voice(speaking, self._now())
        if self._in_turn or not speaking:
            return ProcessFrameResult.CONTINUE
        if self._bot_has_floor:
            if self._vad:
                self._look_again()
            return ProcessFrameResult.STOP
        return await self._start_here() if self._vad else ProcessFrameResult.CONTINUE

    async def _interim(self, frame: InterimTranscriptionFrame) -> ProcessFrameResult:
        if self._in_turn:
            return ProcessFrameResult.CONTINUE
        if not self._bot_has_floor:
            return await self._start_here()
        if self._enough(frame.text):
            self._start_soon()
        return ProcessFrameResult.STOP

    async def _final(self, frame: TranscriptionFrame) -> ProcessFrameResult:
        if self._in_turn:
            return ProcessFrameResult.CONTINUE
        if not (self._kept or self._bot_has_floor):
            return await self._start_here()
        if not self._kept and self._enough(frame.text):
            await self._start()
            return ProcessFrameResult.STOP
        await self.trigger_reset_aggregation()
        if self._is_backchannel(frame):
            await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))
            return ProcessFrameResult.STOP
        self._kept.keep(frame, self._now())
        if self._enough():
            self._start_soon()
        else:
            self._look_again()
        return ProcessFrameResult.STOP

    def _enough(self, interim: str = "") -> bool:
        if self._least_words is None or (self._output is not None and self._output.is_spared):
            return False
        return self._kept.words(self._now(), interim) >= self._least_words

    def _is_backchannel(self, frame: TranscriptionFrame) -> bool:
        if (self._least_words is None and not self._spared) or self._kept:
            return False
        left_s = self._output.left_s if self._output is not None else None
        if self._output is not None and self._output.asks and left_s is not None and left_s <= ANSWERED_S:
            return False
        return words_over(frame.text, frame.language or "en") is WordsOver.BACKCHANNEL

    # ------------------------------------------------------------------ the turn

    async def _start_here(self) -> ProcessFrameResult:
        """Begin the turn with this frame, if that is not for the strategies behind this one to say."""
        if self._spared:
            return ProcessFrameResult.CONTINUE
        await self._start()
        return ProcessFrameResult.STOP

    def _look(self) -> None:
        if self._in_turn:
            return
        if self._kept or (self._vad and self._speaking):
            if self._bot_has_floor:
                self._look_again()
            else:
                logger.debug("the bot has finished: the caller, who has spoken meanwhile, has the floor")
                self._start_soon()

    def _look_again(self) -> None:
        if self._timer is None:
            self._set_timer(POLL_S)
