"""The alert rules against a simulated day with planted faults, by Prometheus' own promtool; and the dashboard's names.

Debian's package `prometheus` has promtool: without it, these tests are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from piopiy_pipeline.gateway.metrics.gateway_families import GATEWAY_FAMILIES
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from tests.support.simulated_day import DAY_S, SCRAPE_S, SHORT_DAY_S, Series, planted_faults, scrape_day

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "piopiy.json"
ALERT_S = 60
"""Within so many seconds a fault is to have fired its alert."""
QUIET_S = 420
"""So long after a fault is over, what it has fired may still fire: rules look back five minutes at most."""
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: apt-get install prometheus"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    command = [PROMTOOL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def sample_names(expressions: Iterable[str]) -> set[str]:
    """Return the names of samples in these expressions: each one, and those that a regular expression names."""
    text = "\n".join(expressions).replace(
        "piopiy_(agent|gateway)_loop", "piopiy_agent_loop piopiy_gateway_loop"
    )
    text = re.sub(
        r"piopiy_agent_loop piopiy_gateway_loop(\w+)", r"piopiy_agent_loop\1 piopiy_gateway_loop\1", text
    )
    return set(re.findall(r"\b(?:piopiy_(?:gateway|agent)|gen_ai_client)_\w+", text))


def known_names() -> set[str]:
    names: set[str] = set()
    for family in (*GATEWAY_FAMILIES, *AGENT_FAMILIES):
        endings = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        names |= {family.name + ending for ending in endings}
    return names


def as_values(values: list[float | None]) -> str:
    """Return a series as promtool's tests write one."""
    runs = ((value, sum(1 for _ in same)) for value, same in groupby(values))
    return " ".join(
        "_" * (count == 1) or f"_x{count}" if value is None else _run(value, count) for value, count in runs
    )


def _run(value: float, count: int) -> str:
    return f"{value:g}" if count == 1 else f"{_exact(value)}+0x{count - 1}"


def _exact(value: float) -> str:
    return repr(value)


def written(series: Series, tests: list[dict[str, Any]]) -> str:
    """Return a file of promtool's tests, in JSON, which is YAML."""
    inputs = [{"series": name, "values": as_values(values)} for name, values in series.items()]
    test = {"interval": f"{SCRAPE_S}s", "input_series": inputs, "promql_expr_test": tests}
    return json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{SCRAPE_S}s", "tests": [test]})


def firing(expression: str, at_s: float, alerts: Iterable[str]) -> dict[str, Any]:
    """Return a test that says that these alerts, and no others, are the result."""
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    return {"expr": expression, "eval_time": f"{round(at_s)}s", "exp_samples": expected}


def test_rules_name_metrics_that_there_are_and_say_what_to_do() -> None:
    assert sample_names(rule["expr"] for rule in rules()) <= known_names()
    for rule in rules():
        assert rule["alert"].startswith("Piopiy")
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "action"}
        for page in re.findall(r"docs/[\w-]+\.md", rule["annotations"]["action"]):
            assert (ROOT / page).exists(), page


@needs_promtool
def test_promtool_finds_no_fault_with_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
@pytest.mark.parametrize(
    "day_s", [SHORT_DAY_S, pytest.param(DAY_S, marks=pytest.mark.long_form)], ids=["short", "whole"]
)
def test_each_planted_fault_of_a_day_fires_its_alert_within_a_minute_and_nothing_else_does(
    day_s: int, tmp_path: Path
) -> None:
    series = scrape_day(sample_names(rule["expr"] for rule in rules()), day_s=day_s)
    now = 'group by (alertname) (ALERTS{alertstate="firing"})'
    tests = []
    quiet_from = 0
    for fault in planted_faults(day_s):
        before_s = fault.at_s - quiet_from
        ever = f'group by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{before_s}s]))'
        tests.append(firing(ever, fault.at_s, []))
        tests.append(firing(now, fault.at_s + ALERT_S + SCRAPE_S, [fault.alert]))
        within_s = fault.lasts_s + QUIET_S
        ever = f'group by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{within_s}s]))'
        tests.append(firing(ever, fault.at_s + within_s, [fault.alert]))
        quiet_from = fault.at_s + within_s + SCRAPE_S
    ever = f'group by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{day_s - quiet_from}s]))'
    tests.append(firing(ever, day_s, []))
    file = tmp_path / "day.json"
    file.write_text(written(series, tests))
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[:6000]


@needs_promtool
def test_each_trouble_of_a_cluster_fires_its_alert_and_a_cluster_without_any_fires_none(
    tmp_path: Path,
) -> None:
    minutes = 8
    scrapes = minutes * 60 // SCRAPE_S + 1
    name = 'piopiy_gateway_{}{{instance="{}",job="piopiy-gateway"{}}}'.format
    gauges = {
        "PiopiyCutOff": "cluster_cut_off",
        "PiopiyClusterConflict": "cluster_conflicts",
        "PiopiyClusterStoreFails": "cluster_store_failing",
        "PiopiyClusterMessagesLeftOut": "cluster_messages_left_out",
    }
    series: Series = {}
    for alert, gauge in gauges.items():
        series[name(gauge, alert, "")] = [1.0] * scrapes
        series[name(gauge, "well", "")] = [0.0] * scrapes
    for instance, missed in (("PiopiySummonsesFail", 0.5), ("well", 0.02)):
        for outcome, each in (("came", 2.0), ("nobody", 3.0), ("refused", missed / 4), ("missed", missed)):
            label = f',outcome="{outcome}"'
            series[name("summonses_total", instance, label)] = [float(int(n * each)) for n in range(scrapes)]
    wanted = [
        {"labels": f'{{alertname="{alert}", instance="{alert}"}}', "value": 1}
        for alert in (*gauges, "PiopiySummonsesFail")
    ]
    now = 'group by (alertname, instance) (ALERTS{alertstate="firing"})'
    test = {"expr": now, "eval_time": f"{minutes}m", "exp_samples": wanted}
    file = tmp_path / "cluster.json"
    file.write_text(written(series, [test]))
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[:6000]


def test_the_dashboard_is_as_its_script_writes_it_and_names_metrics_that_there_are() -> None:
    checked = subprocess.run(
        [sys.executable, "scripts/grafana_dashboard.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert sample_names(expressions_of_the_dashboard()) <= known_names()


@needs_promtool
def test_promtool_can_read_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [
        {"record": f"dashboard:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(expressions_of_the_dashboard())
    ]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def expressions_of_the_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]
