"""`COUNTS`: where everything in the process of an agent is counted. Without a sink, as by default, it does nothing.

It is one for the process, as a log is: services that fail over know of no agent, and metrics are of a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piopiy_pipeline.metrics.conversation_counts import ConversationCounts
from piopiy_pipeline.metrics.sink import MetricSink

__all__ = ["COUNTS", "AgentCounts"]

_P = "piopiy_agent_"


class AgentCounts:
    """Counts for one process of an agent."""

    def __init__(self) -> None:
        self._sink: MetricSink | None = None
        self._conversations: ConversationCounts | None = None

    @property
    def sink(self) -> MetricSink | None:
        """Where it is counted; None: nobody asks."""
        return self._sink

    @sink.setter
    def sink(self, sink: MetricSink | None) -> None:
        self._sink = sink
        self._conversations = None if sink is None else ConversationCounts(sink, _P)

    def conversation(self, agent_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Count an event of a conversation."""
        if self._conversations is not None:
            self._conversations.count(agent_id, event, data)

    def call_ended(self, kind: str, reason: str) -> None:
        """Count the end of a call."""
        if self._sink is not None:
            self._sink.inc(f"{_P}calls_ended_total", kind=kind, reason=reason)

    def loop_lag(self, lag_s: float) -> None:
        """Count how late the event loop was, in seconds."""
        if self._sink is not None:
            self._sink.observe(f"{_P}loop_lag_seconds", lag_s)

    def loop_blocked(self) -> None:
        """Count that the event loop did not turn for a while."""
        if self._sink is not None:
            self._sink.inc(f"{_P}loop_blocked_total")

    def worker_died(self) -> None:
        """Count a call worker that has ended and was not meant to."""
        if self._sink is not None:
            self._sink.inc(f"{_P}worker_deaths_total")

    def provider_known(self, service: str, provider: str) -> None:
        """Begin to count what may go wrong with a provider: the first failure is then seen as an increase."""
        if self._sink is not None:
            for name in ("provider_errors_total", "provider_failovers_total"):
                self._sink.inc(f"{_P}{name}", 0.0, service=service, provider=provider)

    def provider_failed(self, service: str, provider: str) -> None:
        """Count a failure of a provider, `service` is ``stt``, ``llm`` or ``tts``."""
        if self._sink is not None:
            self._sink.inc(f"{_P}provider_errors_total", service=service, provider=provider)

    def failed_over(self, service: str, provider: str) -> None:
        """Count that another provider took the place of this one."""
        if self._sink is not None:
            self._sink.inc(f"{_P}provider_failovers_total", service=service, provider=provider)

    def first_result(self, service: str, provider: str, model: str, seconds: float) -> None:
        """Count the time from a request to its first result."""
        if self._sink is None:
            return
        self._sink.observe(f"{_P}provider_first_result_seconds", seconds, service=service, provider=provider)
        if service == "llm":
            name = "gen_ai_client_operation_time_to_first_chunk_seconds"
            self._sink.observe(name, seconds, **_chat(provider, model))

    def request_took(self, provider: str, model: str, seconds: float) -> None:
        """Count the length of a request to a language model."""
        if self._sink is not None:
            name = "gen_ai_client_operation_duration_seconds"
            self._sink.observe(name, seconds, **_chat(provider, model))

    def tokens(self, provider: str, model: str, *, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of a request to a language model."""
        if self._sink is None:
            return
        for kind, number in (("input", input_tokens), ("output", output_tokens)):
            labels = _chat(provider, model) | {"gen_ai_token_type": kind}
            self._sink.observe("gen_ai_client_token_usage", number, **labels)

    def heard(self, provider: str, seconds: float) -> None:
        """Count audio that was given to an STT, in seconds."""
        if self._sink is not None:
            self._sink.inc(f"{_P}stt_audio_seconds_total", seconds, provider=provider)

    def said(self, provider: str, characters: int) -> None:
        """Count characters that were given to a voice."""
        if self._sink is not None:
            self._sink.inc(f"{_P}tts_characters_total", characters, provider=provider)


def _chat(provider: str, model: str) -> dict[str, str]:
    return {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": provider,
        "gen_ai_request_model": model,
    }


COUNTS = AgentCounts()
"""What this process has counted."""
