"""What fails while a lost session is opened again, as nobody has foreseen, is no silence. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer
from piopiy_pipeline.testing import Caller, Disconnects
from tests.support.realtime_calls import LONG, Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.virtual import PEOPLE, recorded_apology_heard


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
@pytest.mark.parametrize("kind", ["openai", "gemini"], ids=["the call opens it", "the service has opened it"])
def test_the_session_is_given_up_and_the_caller_hears_of_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise LookupError("unforeseen")

    monkeypatch.setattr(SpokenAnswer, "lost", fail)
    make: type[Case] = PROVIDERS[kind]()
    case = make(LONG, texts=["a table please"], reply_faults={1: Disconnects(after=0.5)})
    call = case.call(Caller().say(PEOPLE).pause(25))
    call.assert_ended(EndReason.ERROR)
    assert call.of("error")[-1].data["message"].endswith("could not be opened again: unforeseen")
    assert recorded_apology_heard(call)
    assert call.of("end")[-1].at < 15, call.timeline()
