"""What an author gives for one place of the chain, a service or a list of them, as one stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipecat.pipeline.service_switcher import ServiceSwitcher
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.arguments import check_switches, shown
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.services.failover.model_switch import BETWEEN_TOKENS_S, FIRST_TOKEN_S, ModelSwitch
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.spoken_text import SpokenText

__all__ = ["Service", "check_model", "check_speaking", "check_switchers", "one_stage"]

Service = FrameProcessor | Sequence[FrameProcessor]
"""A service, or several in the order in which they replace each other, also as pipecat's `ServiceSwitcher`."""


def check_model(llm: object, *, alone: bool, eager: object) -> bool:
    """Return whether what an author gave as `llm` is a speech-to-speech model.

    Args:
        llm: What the author gave; None: nothing, which `one_stage` says.
        alone: Whether there is neither an STT nor a TTS.
        eager: Whether answers are to be begun ahead.

    Raises:
        StageError: It is no model, or is one that cannot stand there.
        ValueError: A speech-to-speech model cannot begin answers ahead.
    """
    for one in llm if isinstance(llm, list | tuple) else () if llm is None else (llm,):
        if not isinstance(one, (LLMService, ServiceSwitch, ServiceSwitcher)):
            raise StageError(f"llm must be a pipecat LLMService, not {_described(one)}", "llm")
        if one is not llm and is_realtime(one):
            raise StageError(
                f"llm is a list with {type(one).__name__}: a speech-to-speech service stands alone, not in a list",
                "llm",
            )
    if not is_realtime(llm):
        if llm is not None and alone:
            raise StageError("llm alone is for a speech-to-speech service: pass stt and tts, too", "llm")
        return False
    if eager:
        raise ValueError(
            f"eager={shown(eager)}: a speech-to-speech model cannot begin an answer ahead of the end of a turn: "
            "leave it out"
        )
    return True


def check_speaking(
    has_voice: bool, times: tuple[float, float], *, error_line: str | None, spoken_text: SpokenText | None
) -> None:
    """Check what a bot with a speech-to-speech model was given beside its services.

    Args:
        has_voice: Whether it has a TTS.
        times: How long a model of a list may take to its first word, and from one to the next, in seconds.
        error_line: What is said when a provider has failed, if the author has said what.
        spoken_text: How texts are made fit for the TTS.

    Raises:
        ValueError: Something would have no effect.
    """
    if times != (FIRST_TOKEN_S, BETWEEN_TOKENS_S):
        raise ValueError(
            "llm_first_token_secs and llm_between_tokens_secs are for a list of models, and a speech-to-speech model "
            "stands alone: leave them out"
        )
    if not has_voice and error_line is not None:
        raise ValueError(
            f"error_line={shown(error_line)}: a model that has failed cannot say it, and a recorded apology is heard "
            "in its place: leave it out, give None for nothing, or a tts, which says it"
        )
    if not has_voice and spoken_text is not None and spoken_text.is_own:
        raise ValueError(
            "spoken_text is for a TTS, and this model speaks itself: leave it out, or give a tts"
        )


def check_switchers(**given: Any) -> None:
    """Check arguments that are True, False, or a `ServiceSwitcher` of pipecat's.

    Raises:
        TypeError: One is something else.
    """
    check_switches(**{name: one for name, one in given.items() if not isinstance(one, ServiceSwitcher)})


def _described(one: object) -> str:
    if isinstance(one, type):
        return f"the class {one.__name__} itself"
    return repr(one) if isinstance(one, str) else f"a {type(one).__name__}"


def one_stage(
    name: str,
    service: Service | None,
    kind: type[FrameProcessor],
    *,
    switcher: bool | ServiceSwitcher[Any] = False,
    first_s: float = FIRST_TOKEN_S,
    next_s: float = BETWEEN_TOKENS_S,
) -> FrameProcessor:
    """Return the stage of a service, or the switch of a list of them.

    Args:
        name: The name of the stage: ``stt``, ``llm`` or ``tts``.
        service: What the author gave; None: nothing.
        kind: The class that it has to have.
        switcher: Whether one service gets a switch, too. A `ServiceSwitcher` of pipecat's is the service itself.
        first_s: See `ModelSwitch`, in seconds.
        next_s: See `ModelSwitch`, in seconds.

    Raises:
        StageError: There is no service, or one is of another kind, or there are two answers to which it is.
        ValueError: A service is in the list twice, or a time is not more than 0.
    """
    if isinstance(switcher, ServiceSwitcher):
        if service not in (None, switcher) and service not in switcher.services:
            raise StageError(f"{name} and {name}_switcher are two services: pass the switcher alone", name)
        service, switcher = switcher, True
    if service is None:
        raise StageError(f"{name} is missing: pass {name}=a pipecat service", name)
    given: object = service
    if isinstance(given, str):
        raise StageError(f"{name} must be a pipecat {kind.__name__}, not {shown(given)}", name)
    services = list(service) if isinstance(service, Sequence) else [service]
    if isinstance(service, ServiceSwitcher):  # its services, the active one first; it would start them all
        services = sorted(service.services, key=lambda each: each is not service.strategy.active_service)
        switcher = True
    if not services:
        raise StageError(f"{name} is an empty list: pass at least one service", name)
    for one in services:
        if not isinstance(one, (kind, ServiceSwitch)):
            raise StageError(f"{name} must be a pipecat {kind.__name__}, not {_described(one)}", name)
    if len(services) == 1 and not switcher:
        return services[0]
    if kind is LLMService:
        return ModelSwitch(services, first_token_s=first_s, between_tokens_s=next_s)
    return ServiceSwitch(services)
