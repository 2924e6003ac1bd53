"""All metrics of a gateway. `call_metrics` counts what happens, `gateway_metrics` reads the rest when it is asked."""

from __future__ import annotations

from piopiy_pipeline.metrics.conversation_counts import conversation_families
from piopiy_pipeline.metrics.family import ANSWERS, CALLS, DELAYS, LAGS, MetricFamily

__all__ = ["GATEWAY_FAMILIES"]

_P = "piopiy_gateway_"
_MOS = (1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.2, 4.3, 4.4)

GATEWAY_FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily(f"{_P}info", "gauge", "Always 1: which version runs", ("version",)),
    # calls
    MetricFamily(f"{_P}calls", "gauge", "Calls under way, by how far they have come", ("kind", "state")),
    MetricFamily(
        f"{_P}draining", "gauge", "1 while no new calls are taken because the gateway is to end, else 0"
    ),
    MetricFamily(f"{_P}calls_limit", "gauge", "How many calls there may be at a time (`max_calls`)"),
    MetricFamily(f"{_P}calls_placed_total", "counter", "Calls that came in or were dialled", ("kind",)),
    MetricFamily(f"{_P}calls_ended_total", "counter", "Calls that have ended, by why", ("kind", "reason")),
    MetricFamily(
        f"{_P}call_duration_seconds", "histogram", "How long answered calls lasted", ("kind",), CALLS
    ),
    MetricFamily(
        f"{_P}call_answer_seconds",
        "histogram",
        "From placing a call to its answer: how long callers hear ringing",
        ("kind",),
        ANSWERS,
    ),
    MetricFamily(f"{_P}offers_total", "counter", "Offers of calls to instances, of calls that have ended"),
    MetricFamily(f"{_P}agent_losses_total", "counter", "How often a call has lost its agent", ("agent_id",)),
    MetricFamily(
        f"{_P}calls_moved_total",
        "counter",
        "How often a call went on with another instance, after a loss or a move on purpose",
        ("agent_id",),
    ),
    MetricFamily(
        f"{_P}transfers_total", "counter", "Transfers that are over, by their outcome", ("outcome",)
    ),
    *conversation_families(_P),
    # agents
    MetricFamily(
        f"{_P}instances",
        "gauge",
        "Connected instances, by whether they take calls: serving, overloaded, draining, silent",
        ("agent_id", "state"),
    ),
    MetricFamily(f"{_P}agent_capacity_calls", "gauge", "How many calls all instances take", ("agent_id",)),
    MetricFamily(f"{_P}agent_active_calls", "gauge", "How many calls they have", ("agent_id",)),
    MetricFamily(
        f"{_P}agent_free_calls", "gauge", "How many more they take: of those that take calls", ("agent_id",)
    ),
    MetricFamily(
        f"{_P}agent_busy_ratio",
        "gauge",
        "The share of its time in which the event loop of an instance works, of the busiest",
        ("agent_id",),
    ),
    MetricFamily(
        f"{_P}agent_loop_lag_seconds",
        "gauge",
        "How late timers of its event loop are, the 95th percentile of 5 s, of the latest instance",
        ("agent_id",),
    ),
    MetricFamily(
        f"{_P}instances_silent_total",
        "counter",
        "How often an instance has gone silent: it hung, was cut off, or was blocked",
    ),
    # audio
    MetricFamily(
        f"{_P}playout_gaps_total", "counter", "Gaps in the bot's speech, of calls that have ended", ("kind",)
    ),
    MetricFamily(
        f"{_P}playout_worst_gap_seconds",
        "histogram",
        "The longest gap of each call that has ended",
        ("kind",),
        DELAYS,
    ),
    MetricFamily(
        f"{_P}frames_dropped_total",
        "counter",
        "Frames that a caller's connection did not take",
        ("kind",),
    ),
    MetricFamily(
        f"{_P}caller_audio_dropped_seconds_total",
        "counter",
        "Callers' audio that was dropped because the agent was busy for too long",
        ("kind",),
    ),
    MetricFamily(
        f"{_P}rtp_packets_received_total", "counter", "Packets of audio that came from callers", ("kind",)
    ),
    MetricFamily(
        f"{_P}rtp_packets_lost_total",
        "counter",
        "Packets of audio that were missing, or came too late to be heard",
        ("kind",),
    ),
    MetricFamily(
        f"{_P}line_jitter_seconds", "histogram", "Jitter of each line at its end", ("kind",), DELAYS
    ),
    MetricFamily(f"{_P}line_jitter_worst_seconds", "gauge", "The worst jitter of a line just now", ("kind",)),
    MetricFamily(
        f"{_P}line_mos",
        "histogram",
        "Estimated mean opinion score of each line at its end, 1 to 4.4, by the E-model of ITU-T G.107",
        ("kind",),
        _MOS,
    ),
    MetricFamily(f"{_P}line_mos_worst", "gauge", "The same of the worst line just now", ("kind",)),
    # telephones
    MetricFamily(f"{_P}phones_configured", "gauge", "Phones that the configuration knows"),
    MetricFamily(f"{_P}phones_registered", "gauge", "Phones that are registered here"),
    MetricFamily(
        f"{_P}trunk_registered", "gauge", "1 if this gateway is registered with a trunk, else 0", ("trunk",)
    ),
    MetricFamily(
        f"{_P}trunk_calls_total",
        "counter",
        "Calls dialled over a trunk, by what became of them: answered, no_answer, busy, declined, unreachable, failed",
        ("trunk", "outcome"),
    ),
    MetricFamily(f"{_P}sip_total", "counter", "What the SIP port has counted: docs/phones.md", ("event",)),
    # processes with connections of callers
    MetricFamily(
        f"{_P}leg_process_restarts_total",
        "counter",
        "How often a leg process has died and was started again: browser or cloud",
        ("process",),
    ),
    # other gateways, of one that is in a cluster
    MetricFamily(
        f"{_P}cluster_cut_off",
        "gauge",
        "1 while the NATS servers are not reached, so that this gateway has its own agents alone, else 0",
    ),
    MetricFamily(f"{_P}cluster_gateways", "gauge", "Other gateways that are heard"),
    MetricFamily(
        f"{_P}cluster_store_failing",
        "gauge",
        "1 while JetStream is missing or fails: calls of this gateway cannot go on at others, else 0",
    ),
    MetricFamily(
        f"{_P}cluster_conflicts",
        "gauge",
        "How many things do not fit between gateways: one name or address twice, other keys, versions or clocks",
    ),
    MetricFamily(
        f"{_P}cluster_messages_left_out",
        "gauge",
        "Why others were not told everything in the last minute: the number of causes",
    ),
    MetricFamily(
        f"{_P}summonses_total",
        "counter",
        "Questions to other gateways for an instance, by the outcome: came, nobody (had a place), refused, missed",
        ("outcome",),
    ),
    # what is kept and sent
    MetricFamily(f"{_P}webhooks_waiting", "gauge", "Messages that a receiver has not got yet", ("receiver",)),
    MetricFamily(
        f"{_P}webhooks_delivered_total", "counter", "Messages that a receiver has got", ("receiver",)
    ),
    MetricFamily(f"{_P}webhook_failures_total", "counter", "Attempts to deliver that failed", ("receiver",)),
    MetricFamily(
        f"{_P}webhooks_lost_total",
        "counter",
        "Messages that are given up, or had no room",
        ("receiver",),
    ),
    MetricFamily(
        f"{_P}records_failing", "gauge", "1 while the database of records cannot be written, else 0"
    ),
    MetricFamily(f"{_P}records_waiting", "gauge", "Calls and events that are not written yet"),
    MetricFamily(f"{_P}records_lost_total", "counter", "Calls and events that were lost for want of room"),
    MetricFamily(f"{_P}recordings_failing", "gauge", "1 while recordings lose audio, else 0"),
    # the process
    MetricFamily(f"{_P}loop_lag_seconds", "histogram", "How late the event loop runs what is due", (), LAGS),
    # what was used
    MetricFamily(
        f"{_P}tokens_total",
        "counter",
        "Tokens of language models that agents have reported: input or output",
        ("agent_id", "type"),
    ),
    MetricFamily(f"{_P}stt_audio_seconds_total", "counter", "Audio that agents gave to STTs", ("agent_id",)),
    MetricFamily(
        f"{_P}tts_characters_total", "counter", "Characters that agents gave to voices", ("agent_id",)
    ),
)
