"""`CallPipeline`: the stages of a call, by name and in order.

    pipeline = CallPipeline.voice(call, stt=stt, llm=llm, tts=tts, context=context)
    pipeline.insert("mask", MaskDigits(), after="stt", wants_audio=False)
    await call.run(pipeline)

Any sequence of pipecat processors will do; `voice()` makes the one that most bots want. What can be known to
be wrong is reported before the call begins, as a `StageError` that names the stage.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, Self

from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregator,
    LLMContextAggregatorPair,
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.compat.pipecat import keep_audio
from piopiy_pipeline.processors.caller_audio import InputAudioStop
from piopiy_pipeline.processors.quiet_pipeline import QuietPipeline
from piopiy_pipeline.processors.used_stages import refuse_used_stages
from piopiy_pipeline.processors.vad import VadStage, make_vad
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.stage_error import StageError
from piopiy_pipeline.transports.caller_input import CallerInput
from piopiy_pipeline.turns.eager_budget import EagerLimits
from piopiy_pipeline.turns.eager_turns import EagerTurns, eager_limits
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer
from piopiy_pipeline.turns.kept_turn_start import KeptTurnStart
from piopiy_pipeline.turns.policy_turn_end import PolicyTurnEnd
from piopiy_pipeline.turns.realtime_stages import realtime_stages
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns
from piopiy_pipeline.turns.strategies import Interruption, default_turns, heard_in_any_case, turns_for
from piopiy_pipeline.turns.turn_ends import Turns, policy_end_of, turn_end_for

__all__ = ["CallPipeline", "StageError", "default_turns"]

STOP_TIMEOUT_S = 3.0
"""A turn ends after so many seconds without voice and words, if no strategy has ended it."""
_DEAF = (LLMUserAggregator, LLMService, TTSService, BaseOutputTransport, LLMAssistantAggregator)
"""Stages that do not use the caller's audio."""

_ORDER: tuple[tuple[str, type[FrameProcessor]], ...] = (
    ("the transport's input", BaseInputTransport),
    ("the STT", STTService),
    ("the user's side of the context", LLMUserAggregator),
    ("the LLM", LLMService),
    ("the TTS", TTSService),
    ("the transport's output", BaseOutputTransport),
    ("the assistant's side of the context", LLMAssistantAggregator),
)


class HasTransport(Protocol):
    """What a pipeline needs of a call."""

    def transport(self) -> BaseTransport: ...


class CallPipeline:
    """Named stages in order. They can be changed until the call runs.

    Args:
        stages: Pairs of a name and a pipecat `FrameProcessor`.

    Raises:
        StageError: A name is used twice, or something is no `FrameProcessor`.

    Example:
        ```python
        transport = call.transport()
        pipeline = CallPipeline([("in", transport.input()), ("echo", Echo()), ("out", transport.output())])
        await call.run(pipeline)
        ```
    """

    def __init__(self, stages: Iterable[tuple[str, FrameProcessor]]) -> None:
        self._stages: dict[str, FrameProcessor] = {}
        self._wants_audio: dict[str, bool] = {}
        self._frozen = False
        self.turn_end: PolicyTurnEnd | None = None
        """Says when the caller's turn is over, in what `voice` has made. None: a strategy of pipecat's does."""
        self.eager: EagerTurns | None = None
        """Has answers begun ahead, in what `voice` has made."""
        self.realtime: RealtimeTurns | None = None
        """Who decides on turns, in what `speech_to_speech` has made."""
        self.typed = False
        """Whether the caller types, and is not heard."""
        for name, stage in stages:
            self._check_new(name, stage)
            self._stages[name] = stage

    @classmethod
    def voice(
        cls,
        call: HasTransport,
        *,
        stt: FrameProcessor,
        llm: FrameProcessor,
        tts: FrameProcessor,
        context: LLMContext,
        vad: bool | Mapping[str, float] | VADAnalyzer | None = True,
        turns: Turns | None = None,
        interruption: Interruption | None = None,
        eager: bool | EagerLimits | None = None,
    ) -> Self:
        """Return the pipeline of a voice agent.

        Its stages are `transport_in, vad, stt, user_context, llm, tts, transport_out, assistant_context`.

        Args:
            call: The call.
            stt: A pipecat STT service.
            llm: A pipecat LLM service.
            tts: A pipecat TTS service.
            context: The conversation that the model sees.
            vad: True, False, a dict of `confidence` and `min_volume` (0 to 1), `start_secs` and `stop_secs`
                (seconds), or an analyzer of your own.
            turns: When the caller's turn ends. ``"smart"`` (the default) waits as long as the caller's words, the
                bot's question and this caller's pauses suggest; ``"fast"`` waits less. Seconds: after so long a
                silence. `TurnWaits` of your own. Pipecat's stop strategy, or its `UserTurnStrategies`, which say
                when a turn begins, too.
            interruption: What a sound of the caller over the bot's speech does. ``"held"`` (the default): the
                bot is silent at once, and goes on after a cough or a "mhm". ``"immediate"``: any speech cuts
                it off. ``"never"``; a number of words; a `BargeInPolicy`; or a start strategy of pipecat's.
            eager: Whether the model and the voice begin an answer when the caller has likely finished, which is said
                when it is sure and dropped if the caller goes on; tools wait. `EagerLimits` bound what is wasted.
                None: True, unless stages of your own stand between the conversation and the transport.

        Raises:
            ValueError: A value of `vad`, `turns` or `interruption` cannot work, or two of them say when turns begin.

        Example:
            ```python
            pipeline = CallPipeline.voice(call, stt=stt, llm=llm, tts=tts, context=context, interruption="immediate")
            ```
        """
        transport = call.transport()
        vad_stage = make_vad(vad)
        if isinstance(turns, UserTurnStrategies):
            if interruption is not None:
                raise ValueError("give either turns or interruption: turns say when the caller's turn begins")
            strategies = heard_in_any_case(turns, stt)
        else:
            strategies = turns_for(interruption, transport.output(), vad_stage)
            strategies.stop = [turn_end_for(turns, vad_stage, stt, context)]
        turn_end = policy_end_of(strategies)
        policy = turn_end.policy if turn_end else None
        ahead = EagerTurns(context, eager_limits(eager), asked_for=eager is not None, policy=policy)
        strategies.stop = ahead.around(strategies.stop or [])
        user, assistant = LLMContextAggregatorPair(
            context,
            user_params=LLMUserAggregatorParams(
                user_turn_strategies=strategies,
                user_turn_stop_timeout=max(STOP_TIMEOUT_S, 1 + (policy.waits.longest if policy else 0)),
            ),
        )
        for start in strategies.start or []:
            if isinstance(start, KeptTurnStart):
                start.hear = user.queue_frame
        stages: list[tuple[str, FrameProcessor]] = [("transport_in", transport.input())]
        if vad_stage is not None:
            stages.append(("vad", vad_stage))
        stages += [
            ("stt", stt),
            ("user_context", user),
            ("llm", llm),
            ("tts", tts),
            ("transport_out", transport.output()),
            ("assistant_context", assistant),
        ]
        pipeline = cls(stages)
        pipeline.turn_end, pipeline.eager = turn_end, ahead
        return pipeline

    @classmethod
    def speech_to_speech(
        cls,
        call: HasTransport,
        *,
        llm: FrameProcessor,
        context: LLMContext,
        stt: FrameProcessor | None = None,
        tts: FrameProcessor | None = None,
        vad: bool | Mapping[str, float] | VADAnalyzer | None = True,
        turns: Turns | Literal["provider"] | None = None,
        interruption: Interruption | None = None,
    ) -> Self:
        """Return the pipeline of a voice agent whose model hears and speaks itself: `transport_in, vad, user_context,
        llm, transport_out, assistant_context`.

        Args:
            call: The call.
            llm: A pipecat service for a speech-to-speech model, such as `OpenAIRealtimeLLMService`.
            context: The conversation, which the provider is told at the beginning.
            stt: Writes down the caller's words, behind the VAD; the model hears them all the same. None: the provider.
            tts: Says what the model then writes, behind it. None: the model speaks.
            vad: As for `voice`.
            turns: ``"provider"`` (the default where it can): the provider hears turns end. Others: as for `voice`.
            interruption: As for `voice`, but for a number of words. See docs/speech-to-speech.md.

        Raises:
            StageError: `llm` is no speech-to-speech service.
            ValueError: A value cannot work.
        """
        if not is_realtime(llm):
            raise StageError(f"llm is {_described(llm)}, which does not speak: pass stt and tts, too", "llm")
        parts = {"llm": llm, "stt": stt, "tts": tts, "vad": make_vad(vad)}
        how = {"context": context, "turns": turns, "interruption": interruption}
        stages, found = realtime_stages(call.transport(), **parts, **how)  # type: ignore[arg-type]
        pipeline = cls(stages)
        pipeline.realtime, pipeline.turn_end = found, None if found is None else found.policy_end
        return pipeline

    def expect(self, answer: ExpectedAnswer | str) -> None:
        """Tell what the caller's next answer is made of. See `Call.expect`.

        Raises:
            ValueError: There is no such kind of answer.
            TypeError: It is no text.
            RuntimeError: Turns end by another strategy than the pipeline's own.
        """
        expected = ExpectedAnswer.of(answer)
        if self.typed:
            return  # a message is a whole turn, whatever was asked
        if self.turn_end is None:
            raise RuntimeError(
                f"expect({str(expected)!r}): a strategy of pipecat's ends the turns of this pipeline, and does not "
                "heed what was asked: leave turns= out, or give it 'smart' or TurnWaits(...)"
            )
        self.turn_end.expect(expected)

    # ------------------------------------------------------------------ looking

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(self._stages)

    def __getitem__(self, name: str) -> FrameProcessor:
        self._check_known(name)
        return self._stages[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stages

    def __repr__(self) -> str:
        return f"<CallPipeline {' -> '.join(self._stages)}>"

    def find(self, kind: type[FrameProcessor]) -> FrameProcessor | None:
        """Return the first stage of a class, or None."""
        return next((stage for stage in self._stages.values() if isinstance(stage, kind)), None)

    def wants_audio(self, name: str) -> bool:
        """Return whether a stage uses the caller's audio, as far as is known."""
        stage = self[name]
        return self._wants_audio.get(name, not _is_a(stage, _DEAF) or is_realtime(stage))

    # ------------------------------------------------------------------ changing

    def insert(
        self,
        name: str,
        stage: FrameProcessor,
        *,
        before: str | None = None,
        after: str | None = None,
        wants_audio: bool = True,
    ) -> Self:
        """Put a stage before or after another.

        Args:
            name: The name of the new stage.
            stage: The new stage.
            before: The name of the stage that comes next. Give either `before` or `after`.
            after: The name of the stage that comes before.
            wants_audio: Whether the stage needs the caller's audio. If no stage after it needs it either,
                the audio ends before it, which saves up to 31 frames a second.

        Returns:
            This pipeline, so that calls can be chained.

        Raises:
            StageError: There is no such neighbour, the name is used already, or the call runs.

        Example:
            ```python
            pipeline.insert("mask", MaskDigits(), after="stt", wants_audio=False)
            ```
        """
        if (before is None) == (after is None):
            raise StageError(f"say where {name!r} goes: before=... or after=... (one of them)", name)
        neighbour = before if before is not None else after
        assert neighbour is not None
        self._check_known(neighbour)
        self._check_new(name, stage)
        at = self.names.index(neighbour) + (after is not None)
        stages = list(self._stages.items())
        stages.insert(at, (name, stage))
        self._stages = dict(stages)
        self._wants_audio[name] = wants_audio
        return self

    def replace(self, name: str, stage: FrameProcessor) -> FrameProcessor:
        """Put another stage in the place of `name`. What `insert` was told of the old one does not hold for it.

        Returns:
            The stage that was there.

        Raises:
            StageError: There is no stage `name`, `stage` is no `FrameProcessor`, or the call runs.
        """
        self._check_known(name)
        self._check_stage(name, stage)
        old, self._stages[name] = self._stages[name], stage
        self._wants_audio.pop(name, None)
        return old

    def remove(self, name: str) -> FrameProcessor:
        """Take a stage out.

        Returns:
            The stage.

        Raises:
            StageError: There is no stage `name`, or the call runs.
        """
        self._check_known(name)
        self._check_frozen(name)
        self._wants_audio.pop(name, None)
        return self._stages.pop(name)

    def _check_known(self, name: str) -> None:
        if name not in self._stages:
            close = difflib.get_close_matches(name, self._stages, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise StageError(f"there is no stage {name!r} in {' -> '.join(self._stages)}.{meant}", name)

    def _check_new(self, name: str, stage: FrameProcessor) -> None:
        if name in self._stages:
            raise StageError(f"there is a stage {name!r} already: use replace()", name)
        self._check_stage(name, stage)

    def _check_stage(self, name: str, stage: FrameProcessor) -> None:
        self._check_frozen(name)
        if not isinstance(stage, FrameProcessor):
            raise StageError(f"stage {name!r} is no FrameProcessor but {_described(stage)}", name)
        for other, standing in self._stages.items():
            if standing is stage and other != name:
                raise StageError(f"stage {name!r} stands in this chain as {other!r} already", name)

    def _check_frozen(self, name: str) -> None:
        if self._frozen:
            raise StageError(f"the call runs: stage {name!r} cannot be changed any more", name)

    # ------------------------------------------------------------------ running

    def check(self) -> None:
        """Check that the pipeline can work. `Call.run` does so, too.

        Raises:
            StageError: A stage is missing or in the wrong place.
        """
        found = [
            (title, next(((n, s) for n, s in self._stages.items() if _is_a(s, kind)), None))
            for title, kind in _ORDER
        ]
        parts = dict(found)
        if parts["the transport's input"] is None:
            raise StageError("the chain does not hear the caller: it needs call.transport().input()")
        if parts["the transport's output"] is None:
            raise StageError("the chain cannot speak: it needs call.transport().output()")
        if parts["the LLM"] is not None and parts["the user's side of the context"] is None:
            raise StageError(
                "the LLM hears nobody: put an LLMUserAggregator before it (LLMContextAggregatorPair)",
                parts["the LLM"][0],
            )
        order = self.names
        last: tuple[str, str] | None = None
        for title, part in found:
            if part is None:
                continue
            name = part[0]
            if last is not None and order.index(name) < order.index(last[1]):
                raise StageError(
                    f"{title} ({name!r}) must stand behind {last[0]} ({last[1]!r}): {' -> '.join(order)}",
                    name,
                )
            last = (title, name)

    def freeze(self) -> Pipeline:
        """Check the stages, and make a pipecat pipeline of them. They cannot be changed any more.

        Raises:
            StageError: The pipeline cannot work, or it was frozen before.
        """
        self.check()
        self._check_frozen(self.names[0])
        self._frozen = True
        stages = list(self._stages.items())
        refuse_used_stages(stages)
        chain = [stage for _, stage in stages]
        wanting = [
            i
            for i, (name, stage) in enumerate(stages)
            if self.wants_audio(name) or isinstance(stage, BaseInputTransport)
        ]
        last = chain[wanting[-1]]
        if wanting[-1] + 1 < len(chain):
            chain.insert(wanting[-1] + 1, InputAudioStop())
            for service in last.services if isinstance(last, ServiceSwitch) else (last,):
                if isinstance(service, STTService):
                    keep_audio(service)
        heard_by = [stages[i][1] for i in wanting]
        for stage in heard_by:
            if isinstance(stage, CallerInput):
                stage.only_stt = all(
                    isinstance(each, CallerInput | VadStage) or _is_a(each, STTService) for each in heard_by
                )
        return QuietPipeline(chain)


def _is_a(stage: FrameProcessor, kind: type[FrameProcessor] | tuple[type[FrameProcessor], ...]) -> bool:
    """Return whether a stage is of this kind, or a switch of services that are."""
    return isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, kind)


def _described(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__} itself (make an instance of it)"
    return f"a {type(thing).__name__}"
