"""Replacing a service of a switch before it is set up, as a test's scripted providers do."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.frames.frames import Frame, MetricsFrame, TextFrame, UserStartedSpeakingFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.testing.stage.run_stage import Wait, run_stage


class Says(FrameProcessor):
    """Puts its own name before each text."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TextFrame):
            frame.text = f"{self._word} {frame.text}"
        await self.push_frame(frame, direction)


def test_the_replacement_of_the_active_service_is_active() -> None:
    a, b, other = Says("a"), Says("b"), Says("other")
    switch = ServiceSwitch([a, b])
    switch.replace(a, other)
    assert switch.services == (other, b)
    assert run_stage(switch, [TextFrame("hello")]).text == "other hello"


def test_whoever_holds_the_service_that_was_replaced_can_still_switch_to_it() -> None:
    a, b, other = Says("a"), Says("b"), Says("other")
    switch = ServiceSwitch([a, b])
    switch.replace(b, other)
    assert b in switch

    async def switched() -> FrameProcessor:
        await switch.switch_to(b)
        return switch.active

    assert asyncio.run(switched()) is other


def test_it_is_too_late_once_the_switch_is_set_up() -> None:
    a, b = Says("a"), Says("b")
    switch = ServiceSwitch([a])
    run_stage(switch, [TextFrame("hello"), Wait(0.1)])
    with pytest.raises(RuntimeError, match="set up"):
        switch.replace(a, b)


def test_a_service_that_is_not_in_it_cannot_be_replaced() -> None:
    with pytest.raises(ValueError, match="is not in this switch"):
        ServiceSwitch([Says("a")]).replace(Says("b"), Says("c"))


class GivesUp(FrameProcessor):
    """Has the other service take its place while a frame is on its way through it, and makes one of its own."""

    switch: ServiceSwitch

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            await self.switch.switch_to(self.switch.services[1])
            await self.push_frame(MetricsFrame(data=[]), direction)
        await self.push_frame(frame, direction)


def test_a_frame_that_was_on_its_way_through_a_service_is_not_lost_when_another_takes_its_place() -> None:
    first = GivesUp()
    first.switch = switch = ServiceSwitch([first, Says("other")])
    out = run_stage(switch, [UserStartedSpeakingFrame(), TextFrame("hello")])
    assert out.of(UserStartedSpeakingFrame)
    assert not out.of(MetricsFrame), "which is of the service that is not active any more"
    assert out.text == "other hello"
