"""Begins the caller's turn, and over the bot's speech not before it is clear that it is one.

A sound over the bot's speech *holds* it: the caller hears silence at once, and nothing is thrown away. Then
`BargeInPolicy` decides. An interruption begins a turn as any other does, and pipecat's aggregator tells the pipeline. A
cough or a "mhm" lets the speech go on, and no stage has learnt of it. The STT hears everything in any case.

It is a turn-start strategy because that is where pipecat asks whether a turn begins, and where transcripts are seen
before they are counted as a turn. Of the VAD it is given each window by a function call, which is 0.1 s sooner
than the VAD's own word.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from piopiy_pipeline.processors.vad_segments import FLOOR_POWER
from piopiy_pipeline.running_time import running_time
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy, BargeInVerdict, Decision
from piopiy_pipeline.turns.credible_words import HeardWords
from piopiy_pipeline.turns.echo_gauge import WINDOW_S, EchoGauge
from piopiy_pipeline.turns.onset_evidence import OnsetEvidence

__all__ = ["HeldTurnStart"]

VOICED = 0.5
"""Least probability of a window that counts as voiced."""
POLL_S = 0.05
"""How often an undecided sound is looked at, besides at each window."""
STALE_S = 0.1
"""Without a window for so long, the VAD's frames say whether the caller makes a sound."""
LEAST_WORDS_S, MOST_WORDS_S = 0.35, 0.6
"""Words are waited for a little longer than the STT says that it takes, within these bounds of seconds."""
LISTENER_S = 0.2
"""Nobody answers sooner than this: a sound that begins so soon behind the bot's last one was begun before its end."""
WORDS_AFTER_END_S = 3.0
"""The words of such a sound come this much later than it at most."""


class HeldTurnStart(BaseUserTurnStartStrategy):
    """Pipecat's start strategy for a bot whose speech can be held.

    Args:
        output: The stage that speaks.
        policy: Decides on sounds over the bot's speech. None: the default.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(self, output: BotOutput, policy: BargeInPolicy | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._output = output
        self._policy = (
            copy(policy) if policy is not None else BargeInPolicy()
        )  # an author's may serve many calls
        self._evidence = OnsetEvidence()
        self._echo = EchoGauge()
        self._now = running_time
        self._vad_speaking = False
        self._window_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self._began = 0.0  # the sound that is decided on
        self._in_turn = False
        self._stopped_at = float("-inf")
        self._listens_until = float("-inf")  # of a sound that was begun before the end of a statement

    # ------------------------------------------------------------------ the VAD's windows

    def on_window(self, probability: float, power: float) -> None:
        """Take the score of 32 ms of the caller's audio, as it comes from the VAD.

        Args:
            probability: That it is speech, 0 to 1.
            power: Its mean power, 1.0 at full scale.
        """
        now = self._now()
        self._window_at = now
        has_floor = self._output.has_floor
        may_listen = now <= self._listens_until and not (self._in_turn or has_floor)
        if not (may_listen or has_floor) or self._output.is_spared:
            self._evidence.window(0.0)
            self._echo.window(power, 0.0)
            return
        self._echo.window(power, self._output.power(WINDOW_S))
        if power < FLOOR_POWER or (self._echo.heard and self._echo.explains()):
            probability = power = 0.0
        self._policy.window(now, WINDOW_S, voiced=probability >= VOICED, power=power)
        if may_listen:
            self._decide(now)
            return
        onset = self._evidence.window(probability)
        if onset and not (self._policy.under_way or self._in_turn):
            self._sound_begins(now, power)
        if self._policy.under_way:
            self._decide(now)

    def _sound_begins(self, now: float, power: float = 0.0) -> None:
        self._echo.learn()
        if self._echo.heard and self._echo.explains():
            self._evidence.was_none()
            return
        self._began = now
        self._policy.begin(now, voiced_s=2 * WINDOW_S, power=power)
        if self._vad_speaking:
            self._policy.speech()
        self._output.hold()
        self._set_timer()

    def _decide(self, now: float) -> None:
        decision = self._policy.decide(now)
        if decision is not None:
            self._act(decision)

    def _act(self, decision: Decision) -> None:
        self._report(decision)
        self._policy.end()
        self._clear_timer()
        if decision.verdict is BargeInVerdict.INTERRUPT:
            self._start_soon()
        else:
            self._evidence.was_none()
            self._output.resume()

    def _start_soon(self) -> None:
        if self._starting is None or self._starting.done():
            self._starting = self.task_manager.create_task(
                self.trigger_user_turn_started(), f"{self}::barge_in"
            )

    # ------------------------------------------------------------------ what pipecat calls

    # pipecat's own setup differs from its base class in just this way.
    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        await super().setup(setup)
        self._now = asyncio.get_running_loop().time

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        match frame:
            case VADUserStartedSpeakingFrame():
                return await self._speech_begins(self._now() - frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                self._vad_speaking = False
                if self._may_listen:
                    self._listens_until = self._now() + WORDS_AFTER_END_S
            case InterimTranscriptionFrame():
                return await self._interim(frame)
            case TranscriptionFrame():
                return await self._final(frame)
            case BotStoppedSpeakingFrame():
                return await self._bot_stopped()
            case STTMetadataFrame():
                takes_s = frame.ttfs_p99_latency + POLL_S  # words that take just so long are in time
                self._policy.words_s = min(max(takes_s, LEAST_WORDS_S), MOST_WORDS_S)
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        """Decide nothing any more: the caller has the floor, for whatever reason."""
        self._in_turn = True
        self._listens_until = float("-inf")
        self._policy.end()
        self._clear_timer()

    async def handle_user_turn_stopped(self) -> None:
        """Listen for the next turn."""
        self._in_turn = False

    async def cleanup(self) -> None:
        await super().cleanup()
        self._policy.end()
        self._clear_timer()
        task, self._starting = self._starting, None
        if task is not None and not task.done():
            await self.task_manager.cancel_task(task)

    @property
    def _is_free(self) -> bool:
        """Whether nothing is to be decided: the bot is silent, or the caller's turn has begun already."""
        return self._in_turn or not (self._output.has_floor or self._may_listen)

    @property
    def _may_listen(self) -> bool:
        """Whether the bot has ended with a statement, and the caller's words may be those of a listener."""
        return self._now() <= self._listens_until and not self._in_turn and not self._output.has_floor

    async def _speech_begins(self, began: float) -> ProcessFrameResult:
        self._vad_speaking = True
        now = self._now()
        if self._is_free and not self._in_turn and began <= self._stopped_at + LISTENER_S:
            self._listens(now)
        elif self._may_listen:
            self._listens_until = float("-inf")  # the caller says more
        if self._is_free:
            return await self._start()
        if not self._policy.under_way:
            self._sound_begins(self._now())
        self._policy.speech()
        return ProcessFrameResult.CONTINUE

    async def _interim(self, frame: InterimTranscriptionFrame) -> ProcessFrameResult:
        if self._is_free:
            return await self._start()
        decision = self._policy.interim(frame.text, language=frame.language)
        if decision is None:
            return ProcessFrameResult.CONTINUE
        return await self._start(decision)

    async def _final(self, frame: TranscriptionFrame) -> ProcessFrameResult:
        if self._is_free:
            return await self._start()
        decision = self._policy.final(
            frame.text,
            confidence=_confidence(frame.result),
            heard=_heard_words(frame.result),
            language=frame.language,
            bot_left_s=0.0 if self._may_listen else self._output.left_s,
            bot_asks=self._output.asks,
        )
        if decision.verdict is BargeInVerdict.INTERRUPT:
            return await self._start(decision)
        if self._policy.under_way:
            self._act(decision)
        if frame.text.strip():
            await self.trigger_reset_aggregation()
            await self.push_frame(UserBackchannelFrame(frame.text, frame.user_id, frame.timestamp))
        return ProcessFrameResult.STOP

    async def _bot_stopped(self) -> ProcessFrameResult:
        """Give the floor to a caller who speaks at the end of the bot's speech, if it does not end with a statement."""
        now = self._now()
        self._stopped_at = float("-inf") if self._output.asks else now
        if self._policy.under_way and self._policy.sounds(now):
            if self._output.asks:
                return await self._start()
            self._listens(now)
        return ProcessFrameResult.CONTINUE

    def _listens(self, now: float) -> None:
        """Decide by its words, or its length, on a sound that was begun before the end of a statement."""
        self._listens_until = now + WORDS_AFTER_END_S
        if not self._policy.under_way:
            self._began = now
            self._policy.begin(now, voiced_s=2 * WINDOW_S)
            self._policy.speech()
        self._set_timer()

    async def _start(self, decision: Decision | None = None) -> ProcessFrameResult:
        if decision is not None:
            self._report(decision)
        await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP

    def _report(self, decision: Decision) -> None:
        held_s = self._now() - self._began if self._policy.under_way else 0.0
        logger.debug("over the bot's speech: {} ({})", decision.verdict.value, decision.reason)
        self._output.decided(decision.verdict.value, decision.reason, held_s)

    # ------------------------------------------------------------------ time

    def _set_timer(self) -> None:
        self._clear_timer()
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _poll(self) -> None:
        self._timer = None
        if not self._policy.under_way:
            return
        now = self._now()
        if now - self._window_at > STALE_S:  # a VAD that tells no windows, or a caller who sends nothing
            self._policy.window(now, POLL_S, voiced=self._vad_speaking)
        self._decide(now)
        if self._policy.under_way:
            self._set_timer()


def _confidence(result: Any) -> float:
    """Return the confidence that an STT tells with a transcript, 0 to 1; 1 for one that tells none."""
    value = result.get("confidence") if isinstance(result, dict) else None
    return float(value) if isinstance(value, int | float) else 1.0


def _heard_words(result: Any) -> HeardWords:
    """Return the words of a transcript, each with its confidence, of an STT that tells them so; else none."""
    words = result.get("words") if isinstance(result, dict) else None
    if not isinstance(words, list | tuple):
        return ()
    return [
        (word[0], float(word[1]))
        for word in words
        if isinstance(word, list | tuple)
        and len(word) == 2
        and isinstance(word[0], str)
        and isinstance(word[1], int | float)
    ]
