"""All metrics of an agent. Of one with call workers they are those of all its processes."""

from __future__ import annotations

from piopiy_pipeline.metrics.conversation_counts import conversation_families
from piopiy_pipeline.metrics.family import LAGS, REQUESTS, TOKENS, MetricFamily

__all__ = ["AGENT_FAMILIES"]

_P = "piopiy_agent_"
_CHAT = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

AGENT_FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily(
        f"{_P}info", "gauge", "Always 1: which version of which agent runs", ("agent_id", "version")
    ),
    MetricFamily(f"{_P}connected", "gauge", "1 while there is a connection to a gateway, else 0"),
    MetricFamily(f"{_P}draining", "gauge", "1 while no call is taken because the agent ends, else 0"),
    MetricFamily(f"{_P}calls", "gauge", "Calls under way"),
    MetricFamily(f"{_P}capacity_calls", "gauge", "How many calls it takes at most"),
    MetricFamily(
        f"{_P}calls_ended_total", "counter", "Calls that have ended here, by why", ("kind", "reason")
    ),
    *conversation_families(_P),
    # providers
    MetricFamily(
        f"{_P}provider_first_result_seconds",
        "histogram",
        "From a request to a provider to its first result: stt, llm or tts",
        ("service", "provider"),
        REQUESTS,
    ),
    MetricFamily(
        f"{_P}provider_errors_total",
        "counter",
        "Failures of providers: errors, and answers that do not come or end",
        ("service", "provider"),
    ),
    MetricFamily(
        f"{_P}provider_failovers_total",
        "counter",
        "How often another provider took the place of one that failed: of which one",
        ("service", "provider"),
    ),
    MetricFamily(
        "gen_ai_client_token_usage",
        "histogram",
        "Tokens of each request to a language model",
        (*_CHAT, "gen_ai_token_type"),
        TOKENS,
    ),
    MetricFamily(
        "gen_ai_client_operation_duration_seconds",
        "histogram",
        "How long requests to language models took",
        _CHAT,
        REQUESTS,
    ),
    MetricFamily(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "histogram",
        "From a request to a language model to the first piece of its answer",
        _CHAT,
        REQUESTS,
    ),
    MetricFamily(f"{_P}stt_audio_seconds_total", "counter", "Audio that was given to STTs", ("provider",)),
    MetricFamily(
        f"{_P}tts_characters_total", "counter", "Characters that were given to voices", ("provider",)
    ),
    # processes
    MetricFamily(f"{_P}loop_lag_seconds", "histogram", "How late the event loop runs what is due", (), LAGS),
    MetricFamily(
        f"{_P}loop_blocked_total",
        "counter",
        "How often the event loop did not turn for a quarter of a second",
    ),
    MetricFamily(f"{_P}processes", "gauge", "Processes that serve calls: 1 without call workers"),
    MetricFamily(f"{_P}processes_memory_bytes", "gauge", "Resident memory of all these processes"),
    MetricFamily(f"{_P}worker_deaths_total", "counter", "Call workers that have ended and were not meant to"),
)
