"""What an author gives for one place of the chain, a service or a list of them, as one stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipecat.pipeline.service_switcher import ServiceSwitcher
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.services.failover.model_switch import BETWEEN_TOKENS_S, FIRST_TOKEN_S, ModelSwitch
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["Service", "one_stage"]

Service = FrameProcessor | Sequence[FrameProcessor]
"""A service, or several in the order in which they replace each other, also as pipecat's `ServiceSwitcher`."""


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
    services = list(service) if isinstance(service, Sequence) else [service]
    if isinstance(service, ServiceSwitcher):  # its services, the active one first; it would start them all
        services = sorted(service.services, key=lambda each: each is not service.strategy.active_service)
        switcher = True
    if not services:
        raise StageError(f"{name} is an empty list: pass at least one service", name)
    for one in services:
        if not isinstance(one, (kind, ServiceSwitch)):
            what = f"the class {one.__name__} itself" if isinstance(one, type) else f"a {type(one).__name__}"
            raise StageError(f"{name} must be a pipecat {kind.__name__}, not {what}", name)
    if len(services) == 1 and not switcher:
        return services[0]
    if kind is LLMService:
        return ModelSwitch(services, first_token_s=first_s, between_tokens_s=next_s)
    return ServiceSwitch(services)
