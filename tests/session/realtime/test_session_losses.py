"""When a session that is lost again and again is given up, with no session and no clock."""

from __future__ import annotations

import pytest

from piopiy_pipeline.session.realtime.session_losses import STOOD_S, SessionLosses
from piopiy_pipeline.testing.scripted.faults import ProviderFailure


def lose(losses: SessionLosses, times: int, *, each_s: float = 0.1, owed: bool = True) -> SessionLosses:
    for number in range(times):
        losses.opened(number * each_s)
        losses.lost((number + 1) * each_s, owed=owed)
    return losses


def test_a_session_that_is_lost_in_each_answer_is_opened_again_three_times_and_later_each_time() -> None:
    assert [lose(SessionLosses(), number).waits[0] for number in (1, 2, 3)] == [0.0, 0.5, 1.0]
    losses = lose(SessionLosses(), 4)
    assert losses.too_many
    assert not losses.waits
    assert losses.given_up == "the session was lost 4 times in a row, and gave no answer"


@pytest.mark.parametrize(("status", "final"), [(401, True), (403, True), (503, False), (429, False)])
def test_a_refusal_that_cannot_change_is_the_last_word(status: int, final: bool) -> None:
    losses = lose(SessionLosses(), 1)
    losses.not_opened(ProviderFailure(f"HTTP {status}", status))
    losses.not_opened(None)
    assert losses.why == f"HTTP {status}"
    assert (not losses.waits) is final
    losses.opened(1)
    losses.lost(2, owed=True)
    assert losses.waits
    assert losses.why == ""


def test_an_answer_ends_the_row() -> None:
    losses = lose(SessionLosses(), 3)
    losses.answered()
    losses.lost(9, owed=True)
    assert losses.waits[0] == 0.0
    assert losses.mended == "the session was lost, and was opened again"


def test_a_session_that_has_stood_long_without_a_question_was_a_good_one() -> None:
    assert not lose(SessionLosses(), 9, each_s=STOOD_S, owed=False).too_many
    assert lose(SessionLosses(), 9, each_s=STOOD_S, owed=True).too_many


def test_a_first_session_that_is_not_opened_says_so() -> None:
    losses = SessionLosses()
    losses.lost(1, owed=False)
    assert losses.mended == "the session was not opened, and was opened later"
    assert losses.given_up == "the session was not opened, and could not be opened later"
