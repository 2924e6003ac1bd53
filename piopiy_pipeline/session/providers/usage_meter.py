"""`UsageMeter`: what the providers of one call measure, and what they were given: tokens, audio, characters.

It is counted in this process' metrics at once. The gateway is told in events ``usage``, a second later at most, each
with what has come since the last one: their sum is the call's, whichever instances it was with.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pipecat.metrics.metrics import (
    LLMTokenUsage,
    LLMUsageMetricsData,
    MetricsData,
    ProcessingMetricsData,
    STTUsageMetricsData,
    TTFBMetricsData,
    TTSUsageMetricsData,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.service_metrics import (
    measure_service,
    take_pending_audio_s,
    traced_by_pipecat,
    turn_context_of,
)
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.services.failover.service_names import ServiceKind, kind_of, provider_name
from piopiy_pipeline.tracing import trace_request

__all__ = ["UsageMeter"]

_Provider = tuple[ServiceKind, str, str]  # what it is for, its name, its model


class UsageMeter:
    """Listens to the services of one call.

    Args:
        services: The services, none of them set up yet.
        report: Sends the gateway an event's data.
        times: Whether the author wants pipecat's frames with times in the pipeline.
        usage: Whether the author wants those with tokens, seconds and characters.
    """

    REPORT_S = 1.0
    """How long what was used waits to be reported, so that a turn is a few events, and not a dozen."""

    def __init__(
        self,
        services: Iterable[FrameProcessor],
        report: Callable[[dict[str, Any]], None],
        *,
        times: bool,
        usage: bool,
    ) -> None:
        self._report = report
        self._used: dict[_Provider, Counter[str]] = {}
        self._heard_s: dict[_Provider, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._services = [(each, kind) for each in services if (kind := kind_of(each)) is not None]
        for service, kind in self._services:
            COUNTS.provider_known(kind, provider_name(service))
            take = partial(
                self._take, kind, provider_name(service), None if traced_by_pipecat(service) else service
            )
            measure_service(service, take, times=times, usage=usage)

    def close(self) -> None:
        """Report what is left, because the call ends. Nothing counts from now on."""
        if self._closed:
            return
        for service, kind in self._services:
            if pending_s := take_pending_audio_s(service):
                self._heard((kind, provider_name(service), ""), pending_s)
        self.flush()
        self._closed = True

    def count_tokens(self, model: LLMService[Any], used: LLMTokenUsage) -> None:
        """Count what a model, of the pipeline or another one, has used beside the conversation."""
        name = getattr(model.settings, "model", None)
        data = LLMUsageMetricsData(
            processor=model.name, model=name if isinstance(name, str) else None, value=used
        )
        self._take("llm", provider_name(model), None, data)

    def flush(self) -> None:
        """Report what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        used, self._used = self._used, {}
        heard_s, self._heard_s = self._heard_s, {}
        for kind, provider, model in sorted({*used, *heard_s}):
            key: _Provider = (kind, provider, model)
            data: dict[str, Any] = {
                "service": kind,
                "provider": provider,
                "model": model,
                **used.get(key, {}),
            }
            if key in heard_s:
                data["seconds"] = heard_s[key]
            self._report(data)

    def _take(
        self, kind: ServiceKind, provider: str, untraced: FrameProcessor | None, data: MetricsData
    ) -> None:
        """Take a measurement of a service; of one that pipecat does not trace, the span is made here."""
        if self._closed:
            return
        model = data.model or ""
        match data:
            case TTFBMetricsData(value=seconds):
                COUNTS.first_result(kind, provider, model, seconds)
                if untraced is not None and kind != "llm":
                    trace_request(turn_context_of(untraced), kind, provider, model, seconds)
            case ProcessingMetricsData(value=seconds) if kind == "llm":
                COUNTS.request_took(provider, model, seconds)
                if untraced is not None:
                    trace_request(turn_context_of(untraced), kind, provider, model, seconds)
            case LLMUsageMetricsData(value=tokens):
                given, written = tokens.prompt_tokens, tokens.completion_tokens
                COUNTS.tokens(provider, model, input_tokens=given, output_tokens=written)
                self._add((kind, provider, model), requests=1, input_tokens=given, output_tokens=written)
                if tokens.cache_read_input_tokens:
                    self._add((kind, provider, model), cached_tokens=tokens.cache_read_input_tokens)
            case STTUsageMetricsData(value=audio):
                self._heard((kind, provider, model), audio.audio_seconds)
            case TTSUsageMetricsData(value=characters):
                COUNTS.said(provider, characters)
                self._add((kind, provider, model), characters=characters)
            case _:
                pass

    def _heard(self, key: _Provider, seconds: float) -> None:
        COUNTS.heard(key[1], seconds)
        self._heard_s[key] = self._heard_s.get(key, 0.0) + seconds
        self._later()

    def _add(self, key: _Provider, **amounts: int) -> None:
        self._used.setdefault(key, Counter()).update(amounts)
        self._later()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.REPORT_S, self.flush)
