"""`SpeechAgent`: Piopiy's published class for a model that hears by itself and a voice that says what it writes.

    agent = SpeechAgent(instructions="You book tables.", greeting="Good day!")
    await agent.Action(omni=OpenAIRealtimeLLMService(api_key=key), tts=tts)
    await agent.start()

It is a `VoiceAgent` without an STT. A model of pipecat's for speech is asked for text; any other stage that takes the
caller's audio and pushes text has no conversation here, as in Piopiy's SDK, and keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.arguments import check_switches, shown
from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.processors.vad import make_vad
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.call_facade import CallFacade
from piopiy_pipeline.turns.realtime_turns import BY_SOUND
from piopiy_pipeline.turns.strategies import Interruption, interruption_of, turns_for
from piopiy_pipeline.turns.turn_ends import turn_end_for
from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["SpeechAgent"]

SILENCE_S = 0.5
"""A turn of the caller of a stage that keeps its own conversation ends after so long a silence."""


class SpeechAgent(CallFacade):
    """A bot of one call with a model that hears the caller itself. Make it inside the callback.

    Args:
        greeting: What the bot says first; None: nothing.
        instructions: What the model is told about its task.
        idle_timeout_secs: The call ends after so many seconds in which nobody speaks.
        tools: Tools of the model; see `VoiceAgent`.
        call: The call, if this does not run inside its callback.

    Raises:
        TypeError: A value is of another type.
        ValueError: `idle_timeout_secs` is out of range.
        RuntimeError: There is no call.
    """

    def __init__(
        self,
        *,
        greeting: str | None = None,
        instructions: str,
        idle_timeout_secs: float = 60,
        tools: Sequence[Callable[..., Any]] = (),
        call: Call | None = None,
    ) -> None:
        self._agent = VoiceAgent(
            instructions=instructions,
            greeting=greeting,
            idle_timeout_secs=idle_timeout_secs,
            tools=tools,
            call=call,
        )
        super().__init__(self._agent.call)
        self._greeting = greeting
        self._has_tools = bool(tools)
        self._idle_timeout_secs = idle_timeout_secs
        self._chain: CallPipeline | None = None  # of a stage that is no model of pipecat's
        self._metrics = (True, True)

    async def Action(
        self,
        *,
        omni: FrameProcessor,
        tts: TTSService | None = None,
        telecmi_params: TransportParams | None = None,
        vad: bool | Mapping[str, float] | VADAnalyzer | None = None,
        enable_metrics: bool = True,
        enable_usage_metrics: bool = True,
        allow_interruptions: bool = True,
        interruption_strategy: Any = None,
        interruption: Interruption | None = None,
    ) -> CallPipeline:
        """Build the pipeline. `pipeline` can be changed until `start()`.

        Args:
            omni: The model: a pipecat service for speech-to-speech models, or any stage that takes the caller's audio
                and pushes what is to be said as `LLMTextFrame`s.
            tts: A pipecat TTS service, which says what the model writes. None: the model speaks itself.
            telecmi_params: Parameters of pipecat's transports for the call's transport.
            vad: Voice activity detection, as of `VoiceAgent.Action`. None: True.
            enable_metrics: Whether pipecat's services measure themselves.
            enable_usage_metrics: Whether they count tokens and characters, too.
            allow_interruptions: Whether the caller can cut the bot off.
            interruption_strategy: As of `VoiceAgent.Action`.
            interruption: As of `VoiceAgent.Action`.

        Returns:
            The pipeline.

        Raises:
            StageError: `omni` or `tts` is of the wrong kind; `stage` names it.
            ValueError: Another argument cannot work.
            RuntimeError: The call runs already.
        """
        vad = True if vad is None else vad
        if is_realtime(omni):
            model: Any = omni
            built = await self._agent.Action(
                llm=model,
                tts=tts,
                telecmi_params=telecmi_params,
                vad=vad,
                enable_metrics=enable_metrics,
                enable_usage_metrics=enable_usage_metrics,
                allow_interruptions=allow_interruptions,
                interruption_strategy=interruption_strategy,
                interruption=interruption,
            )
            self._chain = None
            return built
        if not isinstance(omni, FrameProcessor):
            raise StageError(f"omni must be a stage of pipecat's, not {shown(omni)}", "omni")
        if not isinstance(tts, TTSService):
            raise StageError("omni is no speech-to-speech service of pipecat's: it needs a tts, too", "tts")
        if self._has_tools:
            raise StageError(
                f"{type(omni).__name__} keeps a conversation of its own, which no tools are told: leave tools out, or "
                "take a speech-to-speech service of pipecat's",
                "omni",
            )
        if self.call.running:
            raise RuntimeError("Action() comes before start(): the call runs already")
        check_switches(allow_interruptions=allow_interruptions, enable_metrics=enable_metrics)
        check_switches(enable_usage_metrics=enable_usage_metrics)
        self.call.transport(telecmi_params)
        self._chain = _chain_of(
            self.call,
            omni,
            tts,
            make_vad(vad),
            interruption_of(interruption, allow_interruptions, interruption_strategy),
        )
        self._metrics = (enable_metrics, enable_usage_metrics)
        return self._chain

    @property
    def pipeline(self) -> CallPipeline:
        """The pipeline, to be changed between `Action()` and `start()`. Raises `RuntimeError` before."""
        return self._chain if self._chain is not None else self._agent.pipeline

    async def start(self) -> CallEnd:
        """Answer the call and run it to its end.

        Returns:
            How the call has ended.

        Raises:
            StageError: The pipeline cannot work; the message names the stage.
            RuntimeError: `Action()` was not awaited before, or the call runs already.
        """
        if self._chain is None:
            return await self._agent.start()
        if self._greeting and not self.call.resumed:
            self.call.on("answered", self._greet)
        return await self.call.run(
            self._chain,
            idle_timeout_s=self._idle_timeout_secs,
            enable_metrics=self._metrics[0],
            enable_usage_metrics=self._metrics[1],
        )

    async def _greet(self, _: object) -> None:
        assert self._greeting is not None
        await self.call.say(self._greeting, to_the_end=True)


def _chain_of(
    call: Call,
    omni: FrameProcessor,
    tts: TTSService,
    vad: FrameProcessor | None,
    interruption: Interruption | None,
) -> CallPipeline:
    """Return the chain of a stage that hears and writes. Its turns begin and end by the sound: there are no words."""
    if vad is None:
        raise ValueError("vad=False: without a VAD nothing tells when the caller speaks: leave vad out")
    transport, context = call.transport(), LLMContext()
    by_sound = BY_SOUND if interruption in (None, "held") else interruption
    strategies = turns_for(by_sound, transport.output(), vad)
    strategies.stop = [turn_end_for(SILENCE_S, vad, omni, context)]
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(user_turn_strategies=strategies),
        realtime_service_mode=True,
    )
    stages: list[tuple[str, FrameProcessor]] = [("transport_in", transport.input())]
    stages += [("vad", vad), ("user_context", user), ("omni", omni), ("tts", tts)]
    return CallPipeline([*stages, ("transport_out", transport.output()), ("assistant_context", assistant)])
