"""What this project uses of pipecat beyond its public interface, in one place.

pipecat marks with an underscore both its internals and the methods that a subclass may call or override.
The latter are listed in `SUBCLASS_HOOKS` and are used where the subclass stands; everything else that
begins with an underscore is reached through a function or class of this module.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Iterable
from typing import Any, cast

from pipecat.frames.frames import Frame
from pipecat.observers.base_observer import FramePushed
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi.observer import RTVIObserver
from pipecat.services.ai_service import AIService
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.turns.user_turn_controller import UserTurnController
from pipecat.utils.base_object import BaseObject
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pydantic import BaseModel

from piopiy_pipeline.compat import CompatError, check_attributes, check_parameters

__all__ = [
    "SUBCLASS_HOOKS",
    "RtviTranslator",
    "SourceHookWorker",
    "cancel_answer",
    "check",
    "constructor_options",
    "intercept_tts",
    "is_cancelling",
    "is_observed",
    "is_set_up",
    "keep_audio",
    "leave_empty_turn",
    "makes_text_frames",
    "openai_clients",
    "process_as_plain_stage",
    "provider_of",
    "push_llm_text",
    "pushes_stop_frames",
    "say_collected_text",
    "share_event_handlers",
    "share_text_rules",
    "share_tools",
    "skip_context_hooks",
    "takes_at_once",
    "user_id",
    "wrap_audio_in_frames",
]

PIPECAT = ">=1.14,<1.15"
"""The versions that this file was written for, as in pyproject.toml."""

SUBCLASS_HOOKS: dict[type, tuple[str, ...]] = {
    BaseObject: ("_register_event_handler", "_call_event_handler"),
    AIService: ("_update_settings",),
    BaseInputTransport: ("_create_audio_task",),
}
"""Methods with an underscore that pipecat's own subclasses call or override, and this project's do, too."""


# ---------------------------------------------------------------------- stages


def is_set_up(stage: FrameProcessor) -> bool:
    """Return whether the stage belongs to a pipeline that runs. (`processor_setup` raises an error before that.)"""
    try:
        return stage.processor_setup is not None
    except Exception:  # noqa: BLE001  pipecat raises no class of its own
        return False


def is_observed(stage: FrameProcessor) -> bool:
    """Return whether an observer is to be told what this stage pushes and processes. False before the set-up."""
    return is_set_up(stage) and stage.processor_setup.observer is not None


def is_cancelling(stage: FrameProcessor) -> bool:
    """Return whether a `CancelFrame` has reached the stage: it takes no more frames."""
    return stage._cancelling


def takes_at_once(stage: FrameProcessor, direction: FrameDirection, callback: FrameCallback | None) -> bool:
    """Return whether a stage in direct mode may handle a frame that is queued without the way through the base class:
    nobody observes it, nobody waits for it, and it is no control frame (of which the caller knows).
    """
    observed = stage._setup is not None and stage._setup.observer is not None
    return (
        callback is None and direction is FrameDirection.DOWNSTREAM and not observed and not stage._cancelling
    )


async def process_as_plain_stage(stage: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
    """Do for a frame what every stage does, and nothing that a base class in between would do.

    `BaseOutputTransport.process_frame` gives frames to queues of its own, which a transport with a
    ledger does without; `FrameProcessor.process_frame` has to be called all the same.
    """
    await FrameProcessor.process_frame(stage, frame, direction)


def share_event_handlers(stage: FrameProcessor, original: FrameProcessor) -> None:
    """Have a stage call the event handlers that were, or will be, added to the stage that it stands for.

    Events that `stage` does not have are registered with it, so that asking for one is no error; they
    never come.
    """
    for name, event in original._event_handlers.items():
        own = stage._event_handlers.get(name)
        if own is None:
            stage._event_handlers[name] = event
        else:
            own.handlers = event.handlers  # the same list: a handler that is added later counts, too


# ---------------------------------------------------------------------- services


def provider_of(service: FrameProcessor) -> tuple[str, ...]:
    """Return what tells one provider from another: the service's class, its model or voice, and its address."""
    settings = getattr(service, "settings", None)
    client = getattr(service, "_client", None)
    address = getattr(client, "base_url", "") or getattr(service, "_base_url", "")
    names = (getattr(settings, "model", None), getattr(settings, "voice", None), address)
    return (f"{type(service).__module__}.{type(service).__qualname__}", *(str(name or "") for name in names))


async def cancel_answer(service: LLMService[Any]) -> None:
    """Cancel the answer that a model is writing, and with it its request. Tools that run are left alone."""
    await service._start_interruption()
    await service.stop_all_metrics()


async def push_llm_text(service: LLMService[Any], text: str) -> None:
    """Push a piece of the model's answer, with the filters and marks that pipecat's own services apply."""
    await service._push_llm_text(text)


def leave_empty_turn(user: LLMUserAggregator) -> None:
    """Do not ask the model again if the caller's turn under way ends without words: the caller knows already."""
    user._user_turn_interrupted_bot = False


def keep_turn_open(user: LLMUserAggregator) -> None:
    """Give the caller's turn under way its whole timeout once more, as a word of it would."""
    user._user_turn_controller._user_turn_stop_timeout_event.set()


def keep_audio(service: STTService) -> None:
    """Have an STT push no audio on, because nobody behind it wants any."""
    service._audio_passthrough = False


def user_id(service: STTService) -> str:
    """Whose audio the service is transcribing, as the last audio frame said; empty if it did not."""
    return service._user_id


def constructor_options(service: AIService) -> dict[str, Any]:
    """Return the keyword arguments with which a service of the same kind behaves as this one does.

    Args:
        service: A service for speech recognition, a language model or speech synthesis.

    Returns:
        Options of the base class (`STTService`, `LLMService` or `TTSService`), with a copy of the
        settings. What only the provider's own class knows is not among them.
    """
    options: dict[str, Any] = {"settings": service.settings.copy()}
    if isinstance(service, STTService):
        options["sample_rate"] = service._init_sample_rate
        options["ttfs_p99_latency"] = service._ttfs_p99_latency
        options["audio_passthrough"] = service._audio_passthrough
    elif isinstance(service, TTSService):
        options["sample_rate"] = service._init_sample_rate
    elif isinstance(service, LLMService):
        options["run_in_parallel"] = service._run_in_parallel
        options["group_parallel_tools"] = service._group_parallel_tools
        options["function_call_timeout_secs"] = service._function_call_timeout_secs
    return options


def share_tools(service: LLMService[Any], original: LLMService[Any]) -> None:
    """Have a model use the tools of another, also those that are registered with the other later."""
    service._functions = original._functions
    service._tool_cleanups = original._tool_cleanups
    service._adapter = original._adapter
    service._enable_async_tool_cancellation = original._enable_async_tool_cancellation
    service._appended_system_instructions = original._appended_system_instructions


def share_text_rules(service: TTSService, original: TTSService) -> None:
    """Have a voice transform, filter and skip text as another does."""
    service._text_transforms = original._text_transforms
    service._text_filters = original._text_filters
    service._skip_text_types = original._skip_text_types
    service._transport_destination = original._transport_destination
    for _, transform in original._text_transforms:
        watch = getattr(transform, "watch", None)
        if watch is not None:  # it follows the answers of its voice
            watch(service)


async def say_collected_text(service: TTSService) -> None:
    """Have a voice say the text that it has collected, as it does at the end of an answer."""
    rest = await service._text_aggregator.flush()
    if rest:
        await service._handle_aggregated_text(service._aggregated_text_frame(rest))


def makes_text_frames(service: TTSService) -> bool:
    """Return whether the base class tells what was said by whole sentences: the service has no word times."""
    return service._push_text_frames


def pushes_stop_frames(service: TTSService) -> bool:
    """Return whether the base class pushes `TTSStoppedFrame`, so that the service does not."""
    return service._push_stop_frames


def skip_context_hooks(service: TTSService, contexts: Collection[str]) -> None:
    """Have a voice tell its provider nothing about these audio contexts, of which the provider does not know.

    Args:
        service: The voice, before it runs.
        contexts: Their ids; more may be added later.
    """
    for name in ("flush_audio", "on_audio_context_interrupted", "on_audio_context_completed"):
        setattr(service, name, _unless_in(contexts, service, name))


def _unless_in(contexts: Collection[str], service: TTSService, name: str) -> Callable[..., Awaitable[None]]:
    async def call(context_id: str | None = None, *args: Any, **options: Any) -> None:
        if context_id not in contexts:  # the class may change until the call
            await getattr(type(service), name)(service, context_id, *args, **options)

    return call


def wrap_audio_in_frames(service: TTSService) -> None:
    """Have the base class push `TTSStartedFrame` and `TTSStoppedFrame`, whoever pushed them before."""
    service._push_start_frame = service._push_stop_frames = True
    service._pause_frame_processing = False


RunTts = Callable[[str, str], AsyncGenerator[Frame | None, None]]
Append = Callable[[str | None, Frame | WordTimestamp | None], Awaitable[None]]


def intercept_tts(service: TTSService, *, run_tts: RunTts, append: Append) -> tuple[RunTts, Append]:
    """Put functions in the place of a voice's `run_tts` and `append_to_audio_context`.

    The base class calls both on the instance: the first for each text, the second for each frame and
    each word time that the provider sends, before it waits for its turn.

    Args:
        service: The voice, before it runs.
        run_tts: Takes a text and the id of its audio context, and yields frames.
        append: Takes the id of an audio context and what belongs to it; None ends the context.

    Returns:
        The service's own two, which the replacements are to call.
    """
    originals = service.run_tts, service.append_to_audio_context
    service.run_tts = run_tts  # type: ignore[method-assign, assignment]
    service.append_to_audio_context = append  # type: ignore[method-assign, assignment]
    return cast(tuple[RunTts, Append], originals)


def openai_clients(stages: Iterable[object]) -> list[Any]:
    """Return the `openai.AsyncOpenAI` clients that services made for themselves, which nobody closes.

    Clients of other SDKs may have been handed in by the author, and are the author's to close. The
    OpenAI SDK is not imported: if nobody has loaded it, nobody has a client.
    """
    openai = sys.modules.get("openai")
    if openai is None:
        return []
    clients = (getattr(stage, "_client", None) for stage in stages)
    return [client for client in clients if isinstance(client, openai.AsyncOpenAI)]


# ---------------------------------------------------------------------- the worker


class SourceHookWorker(PipelineWorker):
    """A `PipelineWorker` whose subclass sees what leaves the chain at its beginning before pipecat acts on it."""

    async def frame_left_upstream(self, frame: Frame) -> None:
        """Called with each frame that has travelled upstream through the whole chain. To be overridden."""

    async def _source_push_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.frame_left_upstream(frame)
        await super()._source_push_frame(frame, direction)


# ---------------------------------------------------------------------- RTVI


class RtviTranslator(RTVIObserver):
    """pipecat's translation of frames into RTVI messages, as a function of one frame.

    pipecat offers it as an observer of a whole pipeline beside an `RTVIProcessor`. Of the processor it
    reads only `client_version`, and of a pushed frame only the frame, its direction, and whether its
    source is an output transport.

    Args:
        client: Something with `client_version`, a list of three integers.
        send: Called with each message, before `translate` returns.
    """

    def __init__(self, client: Any, send: Callable[[BaseModel], None]) -> None:
        super().__init__(client)
        self._send_message = send

    def translate(self, frame: Frame, output: FrameProcessor) -> None:
        """Send the messages that a frame means, in the client's version of the protocol.

        Args:
            frame: A frame, given once.
            output: The pipeline's output transport: text counts as said when it comes from there.

        Raises:
            CompatError: The translation waits for something, so that it cannot be done at once.
        """
        pushed = FramePushed(
            source=output,
            destination=output,
            frame=frame,
            direction=FrameDirection.DOWNSTREAM,
            timestamp=0,
        )
        _run_without_waiting(self.on_push_frame(pushed))

    async def send_rtvi_message(self, model: BaseModel, exclude_none: bool = True) -> None:
        self._send_message(model)


def _run_without_waiting(work: Coroutine[Any, Any, None]) -> None:
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise CompatError(
        "pipecat-ai", "RTVIObserver.on_push_frame waits for something", written_for=PIPECAT, used_in=__name__
    )


# ---------------------------------------------------------------------- the self-check


def check() -> None:
    """Check that pipecat is inside as this module needs it. Takes about two milliseconds.

    Raises:
        CompatError: An upgrade has taken something away. The message names it.
    """
    used: dict[type, tuple[str, ...]] = {
        FrameProcessor: ("processor_setup", "_setup", "_cancelling", "_start_interruption"),
        BaseObject: ("_event_handlers",),
        LLMUserAggregator: ("_user_turn_interrupted_bot", "_user_turn_controller"),
        UserTurnController: ("_user_turn_stop_timeout_event",),
        PipelineWorker: ("_source_push_frame",),
        RTVIObserver: ("on_push_frame", "send_rtvi_message"),
        STTService: ("_init_sample_rate", "_ttfs_p99_latency", "_audio_passthrough", "_user_id"),
        LLMService: (
            "_push_llm_text",
            "_run_in_parallel",
            "_group_parallel_tools",
            "_function_call_timeout_secs",
            "_has_async_tools",
            "_run_parallel_function_calls",
            "_run_sequential_function_calls",
            "_functions",
            "_tool_cleanups",
            "_adapter",
            "_enable_async_tool_cancellation",
            "_appended_system_instructions",
        ),
        TTSService: (
            "run_tts",
            "append_to_audio_context",
            "flush_audio",
            "on_audio_context_interrupted",
            "on_audio_context_completed",
            "_init_sample_rate",
            "_push_start_frame",
            "_push_stop_frames",
            "_push_text_frames",
            "_pause_frame_processing",
            "_text_aggregator",
            "_handle_aggregated_text",
            "_aggregated_text_frame",
            "_text_transforms",
            "_text_filters",
            "_skip_text_types",
            "_transport_destination",
        ),
    }
    needed = [
        (owner, name) for group in (SUBCLASS_HOOKS, used) for owner, names in group.items() for name in names
    ]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)
    check_parameters(
        "pipecat-ai", TTSService.run_tts, ("text", "context_id"), written_for=PIPECAT, used_in=__name__
    )
    check_parameters(
        "pipecat-ai",
        TTSService.append_to_audio_context,
        ("context_id", "frame"),
        written_for=PIPECAT,
        used_in=__name__,
    )
    check_parameters(
        "pipecat-ai",
        PipelineWorker._source_push_frame,
        ("frame", "direction"),
        written_for=PIPECAT,
        used_in=__name__,
    )


check()
