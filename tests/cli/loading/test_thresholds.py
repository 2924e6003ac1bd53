"""What `--fail-if` understands, and that nothing measured is a failure."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.loading.figures import CallerFigures
from piopiy_pipeline.cli.loading.thresholds import DEFAULT_LIMIT, Threshold, why_failed, with_default_limit

FOUND: dict[str, Any] = {
    "failed": 2,
    "voice_to_voice_ms": {"p95": 1200, "p99": None},
    "by_kind": {"sip": {"failed_share": 0.25}},
}


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("failed>0", True),
        ("failed > 2", False),
        ("failed>=2", True),
        ("failed<=1", False),
        ("voice_to_voice_ms.p95<1500", True),
        ("voice_to_voice_ms.p95>1500", False),
        ("by_kind.sip.failed_share>0.2", True),
        ("voice_to_voice_ms.p99>1500", True),  # nothing was measured
    ],
)
def test_a_run_fails_if_the_comparison_holds_or_nothing_was_measured(text: str, failed: bool) -> None:
    assert Threshold.parse(text, FOUND).judge(FOUND).failed is failed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failed", "it looks like"),
        ("failed=1", "it looks like"),
        ("faild>1", "there is no faild; there is failed"),
        ("voice_to_voice_ms>1", "is no number; it has p95, p99"),
        ("failed.p95>1", "there is no failed.p95"),
        ("by_kind.webrtc.failed_share>0", "there is no by_kind.webrtc; there is sip"),
    ],
)
def test_a_typo_is_found_before_anybody_calls(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Threshold.parse(text, FOUND)


def a_run(begun: int, answered: int, failed: int) -> dict[str, Any]:
    """Return the JSON of a run in which every call has ended."""
    return CallerFigures(begun=begun, answered=answered, ended=begun, failed=failed).to_json()


@pytest.mark.parametrize(
    ("typed", "run", "why"),
    [
        ([], a_run(21, 3, 21), "21 of 21 calls failed, and more than 5% are too many"),
        ([], a_run(20, 20, 1), None),
        ([], a_run(1, 0, 0), "no call was answered"),
        (["failed_share > 0.5"], a_run(10, 10, 5), None),
        (["failed>2"], a_run(10, 10, 5), "failed>2: it is 5"),
        (["voice_to_voice_ms.p95>1"], a_run(10, 10, 5), "p95>1: nothing was measured; 5 of 10 calls failed"),
        (["by_kind.sip.failed>9"], a_run(10, 10, 5), "5 of 10 calls failed"),
    ],
)
def test_a_run_with_many_failures_fails_unless_told_how_many_may(
    typed: list[str], run: dict[str, Any], why: str | None
) -> None:
    found = run | {"by_kind": {"sip": run}}
    verdicts = [Threshold.parse(text, found).judge(found) for text in with_default_limit(typed)]
    said = why_failed(found, verdicts)
    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


def test_the_default_is_among_the_thresholds_after_those_that_were_typed() -> None:
    assert with_default_limit(["turns<1"]) == ["turns<1", DEFAULT_LIMIT]
