"""A good call of a speech-to-speech model leaves no warning in the log, and a failed answer is told in a sentence."""

from __future__ import annotations

import pytest
from loguru import logger

from piopiy_pipeline.testing import Caller, Disconnects, Refused
from tests.support.realtime_calls import Case
from tests.support.realtime_providers import GrokCase, InworldCase, UltravoxCase, VoiceLiveCase
from tests.support.virtual import PEOPLE


@pytest.mark.parametrize(
    ("case_of", "turns"), [(UltravoxCase, None), (Case, "smart"), (InworldCase, "smart")]
)
def test_a_good_call_does_not_warn_of_turns_that_are_ours(case_of: type[Case], turns: str | None) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING")
    try:
        case = case_of("For how many?", texts=["a table please"])
        case.call(Caller().say(PEOPLE).pause(2), action={} if turns is None else {"turns": turns})
    finally:
        logger.remove(sink)
    assert not [line for line in lines if "turn frames" in line]


@pytest.mark.parametrize("case_of", [Case, GrokCase, InworldCase, VoiceLiveCase])
def test_a_session_that_is_lost_is_one_warning_and_one_that_is_refused_one_sentence_more(
    case_of: type[Case], log_lines: list[str]
) -> None:
    refused = {number: Refused(401) for number in range(2, 9)}
    case = case_of("For how many?", texts=["a table"], reply_faults={1: Disconnects(0.5)}, faults=refused)
    case.call(Caller().say(PEOPLE).pause(9))
    shown = [line.split(maxsplit=3)[1:] for line in "".join(log_lines).splitlines()]
    name = case.make_service().name.partition("#")[0]
    key = f"HTTP 401: check the key that {name} was given"
    found = [(level, text.partition(": ")[2]) for level, _, text in shown if level != "INFO"]
    assert found[0] == ("WARNING", "the session was lost")
    assert len(found) == 4
    assert [text.endswith(key) for _, text in found] == [False, True, True, False]
    assert {len(call_id) for _, call_id, _ in shown} == {36}, (
        "each line has the call's id, and none is a traceback"
    )


@pytest.mark.parametrize("case_of", [Case, GrokCase, InworldCase, VoiceLiveCase])
def test_a_failed_answer_is_told_in_the_providers_words(case_of: type[Case]) -> None:
    case = case_of("For how many?", texts=["a table please"], reply_faults={1: Refused(429)})
    call = case.call(Caller().say(PEOPLE).pause(4))
    messages = [event.data["message"] for event in call.of("error")]
    assert messages
    assert not [message for message in messages if "{" in message], messages
