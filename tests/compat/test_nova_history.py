"""What Nova Sonic is told of a conversation: within AWS's limits, and never nothing because of one long text."""

from __future__ import annotations

import pytest

from piopiy_pipeline.compat.nova_history import MAX_HISTORY, history_of

LONG = "ä" * MAX_HISTORY


@pytest.mark.parametrize("behind", [[], [{"role": "user", "content": "And tomorrow?"}]])
def test_a_long_result_of_a_tool_does_not_push_the_conversation_out(behind: list[dict[str, str]]) -> None:
    told = history_of(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "tool_call_id": "1", "content": LONG},
            *behind,
        ]
    )
    assert [one.text for one in told[2:]] == [one["content"] for one in behind]
    assert told[0].text == "What is the weather?"
    assert told[1].text.startswith("[A tool has returned: ää")
    assert sum(len(one.text.encode()) for one in told) <= MAX_HISTORY
