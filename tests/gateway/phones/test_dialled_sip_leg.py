"""A telephone that is called: it rings, answers and speaks, or the call is told why not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.phones.dialled_sip_leg import DialledSipLeg
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from tests.support.sip_leg import Stage, story


def dialled(stage: Stage) -> DialledSipLeg:
    assert isinstance(stage.leg, DialledSipLeg)
    stage.leg.call(stage.listener)
    return stage.leg


@pytest.mark.parametrize(
    ("ending", "code", "again"),
    [(Ending.REFUSED, 430, True), (Ending.LOST, 503, True), (Ending.REFUSED, 486, False)],
)
def test_another_way_is_tried_when_the_first_leads_nowhere_and_not_when_the_phone_has_spoken(
    ending: Ending, code: int, again: bool
) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invites == 1
        leg.call_ended(ending, code, "", stage.now)
        assert stage.invites == (2 if again else 1)
        assert bool(stage.listener.told) is not again
        leg.call_ended(Ending.LOST, 408, "", stage.now)
        assert stage.invites == (2 if again else 1), "there are two ways"
        assert len(stage.listener.told) == 1

    story(of, dialled=True, ways=2)


def test_a_dialled_phone_rings_answers_and_speaks() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invited is not None
        leg.call_ringing(stage.now)
        answer, _ = stage.theirs.answer(stage.invited)
        leg.call_answered(answer, stage.now)
        assert leg.rate == 16000
        stage.speaks(3)
        leg.on_half_tick(stage.now)
        assert stage.listener.told == ["rings", "answered"]
        assert len(stage.listener.sound) == 640
        leg.call_ended(Ending.PEER_HUNG_UP, 200, "", stage.now)
        assert stage.listener.told[2:] == ["hangup"]

    story(of, dialled=True, codecs=["G722", "PCMU"])


def test_a_description_that_came_early_is_the_answer_when_no_other_comes() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invited is not None
        leg.call_early_media(stage.theirs.answer(stage.invited)[0], stage.now)
        leg.call_answered(None, stage.now)
        assert stage.listener.told == ["answered"]

    story(of, dialled=True)


@pytest.mark.parametrize(
    ("ending", "code", "why"),
    [
        (Ending.NO_ANSWER, 408, "no_answer"),
        (Ending.REFUSED, 486, "busy"),
        (Ending.REFUSED, 603, "declined"),
        (Ending.REFUSED, 404, "unreachable"),
        (Ending.REFUSED, 480, "no_answer"),
        (Ending.REFUSED, 302, "failed"),
        (Ending.LOST, 408, "unreachable"),
    ],
)
def test_a_dialled_phone_that_does_not_answer_is_told_with_its_reason(
    ending: Ending, code: int, why: str
) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        leg.call_ended(ending, code, "", stage.now)
        leg.end(EndReason.NO_ANSWER, "")
        assert stage.listener.told == [f"failed: {why}"]
        assert "hangup" not in stage.call.noted

    story(of, dialled=True)


@pytest.mark.parametrize("answers", [False, True])
def test_an_answer_without_media_is_a_failure_and_is_hung_up(answers: bool) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        offer = stage.theirs.offer()
        assert offer.audio is not None
        refusing = replace(offer, media=(replace(offer.audio, port=0),))
        leg.call_answered(refusing if answers else None, stage.now)
        assert stage.listener.told == ["failed: failed"]
        assert stage.call.noted == ["hangup"]

    story(of, dialled=True)


def test_a_call_that_goes_out_and_is_given_up_is_cancelled_and_nothing_more_is_told() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        leg.end(EndReason.NO_ANSWER, "")
        leg.call_ended(Ending.CANCELLED, 487, "", stage.now)
        assert stage.call.noted == ["hangup"]
        assert stage.listener.told == []

    story(of, dialled=True)


def test_nobody_under_that_number_is_told_but_not_from_within_the_call() -> None:
    async def of(stage: Stage) -> None:
        stage.refuses = "no trunk"
        dialled(stage)
        assert stage.listener.told == []
        await asyncio.sleep(0)
        assert stage.listener.told == ["failed: unreachable"]

    story(of, dialled=True)
