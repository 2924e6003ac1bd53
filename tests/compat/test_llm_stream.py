"""Why an answer has ended, as the chunks of providers tell it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from piopiy_pipeline.compat.llm_stream import AnswerMender


def chunk(reason: str | None, **delta: Any) -> Any:
    choice = SimpleNamespace(index=0, delta=SimpleNamespace(**delta) if delta else None, finish_reason=reason)
    return SimpleNamespace(choices=[choice], usage=None, model=None)


@pytest.mark.parametrize(
    ("reason", "told"), [("content_filter", "content_filter"), ("length", "length"), ("stop", "")]
)
def test_a_chunk_behind_the_last_one_does_not_take_the_reason_back(reason: str, told: str) -> None:
    """Azure's asynchronous filter sends its last annotation behind the end of the answer."""
    mender = AnswerMender()
    for one in (chunk(None, content="Well,"), chunk(reason, content=None), chunk(None)):
        assert list(mender.feed(one))
    assert mender.why_ended == told
