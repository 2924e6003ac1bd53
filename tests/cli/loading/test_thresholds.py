"""What `--fail-if` understands, and that nothing measured is a failure."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.loading.thresholds import Threshold

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
