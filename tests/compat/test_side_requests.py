"""An upgrade of pipecat that makes its clients elsewhere is noticed at import, and not by tokens that nobody counts."""

from __future__ import annotations

import pytest

from piopiy_pipeline.compat import CompatError, side_requests


def test_a_client_that_is_not_where_it_was_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    side_requests.check()
    for source in ("openai/gone.py", "stt_service.py"):
        monkeypatch.setattr(side_requests, "_SOURCES", (source,))
        with pytest.raises(CompatError, match=f"services/{source} sets no _client"):
            side_requests.check()
