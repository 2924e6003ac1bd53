"""Writes deploy/grafana/piopiy.json, the dashboard of docs/metrics.md, from the panels below. Run it after a change.

.venv/bin/python scripts/grafana_dashboard.py          # writes
.venv/bin/python scripts/grafana_dashboard.py --check  # says whether the file is as it would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "deploy" / "grafana" / "piopiy.json"
G, A = "piopiy_gateway_", "piopiy_agent_"
R = "[$__rate_interval]"


def quantiles(metric: str, by: str = "") -> list[tuple[str, str]]:
    """Return expressions for the median and the 95th percentile of a histogram, for each value of a label."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return [
        (f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{R})))", f"{name}{legend}")
        for share, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def rates(metric: str, by: str) -> list[tuple[str, str]]:
    return [(f"sum by ({by}) (rate({metric}{R}))", " ".join(f"{{{{{one}}}}}" for one in by.split(", ")))]


ROWS: tuple[tuple[str, tuple[tuple[str, str, list[tuple[str, str]]], ...]], ...] = (
    (
        "Calls",
        (
            ("Calls under way", "short", [(f"sum by (state) ({G}calls)", "{{state}}")]),
            ("Ends, by reason", "cps", rates(f"{G}calls_ended_total", "reason")),
            ("From ringing to the answer", "s", quantiles(f"{G}call_answer_seconds", "kind")),
            (
                "Places",
                "short",
                [
                    (f"sum by (agent_id) ({G}agent_capacity_calls)", "capacity {{agent_id}}"),
                    (f"sum by (agent_id) ({G}agent_free_calls)", "free {{agent_id}}"),
                ],
            ),
        ),
    ),
    (
        "Conversations",
        (
            ("Voice to voice", "s", quantiles(f"{G}voice_to_voice_seconds", "agent_id")),
            (
                "Where the time of an answer goes (mean)",
                "s",
                [
                    (
                        f"sum by (part) (rate({G}answer_part_seconds_sum{R}))"
                        f" / sum by (part) (rate({G}answer_part_seconds_count{R}))",
                        "{{part}}",
                    )
                ],
            ),
            ("Barge-ins", "cps", rates(f"{G}barge_ins_total", "verdict")),
            (
                "Turns of the bot that were cut off",
                "percentunit",
                [
                    (
                        f'sum (rate({G}turns_cut_total{R})) / sum (rate({G}turns_total{{role="bot"}}{R}))',
                        "of the bot's turns",
                    )
                ],
            ),
            ("Errors, by stage", "cps", rates(f"{G}conversation_errors_total", "stage")),
        ),
    ),
    (
        "Providers",
        (
            (
                "First result",
                "s",
                quantiles(f"{A}provider_first_result_seconds", "service"),
            ),
            ("Errors", "cps", rates(f"{A}provider_errors_total", "service, provider")),
            ("Failovers", "cps", rates(f"{A}provider_failovers_total", "service, provider")),
            ("Tokens a second", "short", rates(f"{G}tokens_total", "type")),
            (
                "Audio to STTs and characters to voices a second",
                "short",
                [
                    (f"sum (rate({G}stt_audio_seconds_total{R}))", "seconds of audio"),
                    (f"sum (rate({G}tts_characters_total{R}))", "characters"),
                ],
            ),
            (
                "Requests to models",
                "s",
                quantiles("gen_ai_client_operation_duration_seconds", "gen_ai_request_model"),
            ),
        ),
    ),
    (
        "Audio and telephones",
        (
            (
                "Audio that did not arrive in time",
                "percentunit",
                [
                    (
                        f"sum by (kind) (rate({G}rtp_packets_lost_total{R})) / (sum by (kind) (rate("
                        f"{G}rtp_packets_received_total{R})) + sum by (kind) (rate({G}rtp_packets_lost_total{R})))",
                        "{{kind}}",
                    )
                ],
            ),
            ("Worst jitter", "s", [(f"max by (kind) ({G}line_jitter_worst_seconds)", "{{kind}}")]),
            ("Worst estimated opinion score", "short", [(f"min by (kind) ({G}line_mos_worst)", "{{kind}}")]),
            ("Gaps in the bot's speech", "cps", rates(f"{G}playout_gaps_total", "kind")),
            (
                "Registrations",
                "short",
                [
                    (f"sum ({G}phones_registered)", "phones"),
                    (f"min by (trunk) ({G}trunk_registered)", "trunk {{trunk}}"),
                ],
            ),
            ("Calls over trunks", "cps", rates(f"{G}trunk_calls_total", "trunk, outcome")),
        ),
    ),
    (
        "Other gateways",
        (
            (
                "Cut off, at odds, or without a store",
                "short",
                [
                    (f"{G}cluster_cut_off", "cut off {{instance}}"),
                    (f"{G}cluster_conflicts", "at odds {{instance}}"),
                    (f"{G}cluster_store_failing", "no store {{instance}}"),
                    (f"{G}cluster_messages_left_out", "left out {{instance}}"),
                ],
            ),
            ("Other gateways that each hears", "short", [(f"{G}cluster_gateways", "{{instance}}")]),
            ("Instances asked for elsewhere", "cps", rates(f"{G}summonses_total", "outcome")),
        ),
    ),
    (
        "Processes",
        (
            (
                "Event loops: how late",
                "s",
                [
                    (
                        f"histogram_quantile(0.99, sum by (le, instance) (rate({A}loop_lag_seconds_bucket{R})))",
                        "{{instance}}",
                    ),
                    (
                        f"histogram_quantile(0.99, sum by (le, instance) (rate({G}loop_lag_seconds_bucket{R})))",
                        "{{instance}}",
                    ),
                ],
            ),
            ("Memory of agents", "bytes", [(f"{A}processes_memory_bytes", "{{instance}}")]),
            ("Instances", "short", [(f"sum by (agent_id, state) ({G}instances)", "{{agent_id}} {{state}}")]),
            (
                "Losses and moves",
                "cps",
                [
                    (f"sum (rate({G}agent_losses_total{R}))", "agents lost"),
                    (f"sum (rate({G}calls_moved_total{R}))", "calls moved"),
                    (f"sum (rate({G}instances_silent_total{R}))", "gone silent"),
                    (f"sum (rate({A}worker_deaths_total{R}))", "call workers died"),
                ],
            ),
            (
                "What waits to be written or sent",
                "short",
                [
                    (f"sum ({G}records_waiting)", "records"),
                    (f"sum by (receiver) ({G}webhooks_waiting)", "webhooks {{receiver}}"),
                ],
            ),
        ),
    ),
)
"""Rows of panels: a title, a unit as Grafana names it, and expressions with their legends."""


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        )
        y += 1
        for number, (name, unit, expressions) in enumerate(row):
            place = {"x": number % 3 * 8, "y": y + number // 3 * 8, "w": 8, "h": 8}
            panels.append(_panel(name, unit, expressions, place))
        y += (len(row) + 2) // 3 * 8
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "title": "Voice agents",
        "uid": "piopiy",
        "tags": ["piopiy"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _panel(
    title: str, unit: str, expressions: list[tuple[str, str]], place: dict[str, int]
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(65 + number), "datasource": source, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(expressions)
        ],
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            print(
                f"{FILE.name} is not as it would be written: run scripts/grafana_dashboard.py",
                file=sys.stderr,
            )
            return 1
        return 0
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
