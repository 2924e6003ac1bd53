"""A switch of services: which one is set up and active, and which takes its place."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    MetricsFrame,
    StartFrame,
    TextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.services.failover.model_switch import MAX_WAITING, ModelSwitch
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.testing import Replies, ScriptedLLM
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


class SlowModel(ScriptedLLM):
    """Takes a second to be set up, as a service that connects there does."""

    def __init__(self, replies: Replies) -> None:
        super().__init__(replies)
        self.set_ups = 0
        self.starts = 0

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        self.set_ups += 1
        await asyncio.sleep(1)
        await super().setup(setup)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        self.starts += isinstance(frame, StartFrame)
        await super().process_frame(frame, direction)


class CannotStart(Says):
    """Raises an error when it is set up, and another one when it is cleaned up."""

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        await super().setup(setup)
        raise ConnectionError("the provider is not there")

    async def cleanup(self) -> None:
        await super().cleanup()
        raise ConnectionError("it is still not there")


class Cleaned(Says):
    """Knows whether it was cleaned up."""

    cleaned = False

    async def cleanup(self) -> None:
        await super().cleanup()
        self.cleaned = True


def test_a_model_that_is_needed_again_while_it_starts_is_started_once() -> None:
    """An interruption ends the answer that it was to give, and the next answer needs it, too."""
    first, second = (
        ScriptedLLM(Replies(otherwise="Too late.", latency=9)),
        SlowModel(Replies(*["Here I am."] * 3)),
    )
    switch = ModelSwitch([first, second], first_token_s=0.2)
    request = LLMContextFrame(LLMContext([{"role": "user", "content": "Hello"}]))
    again = LLMContextFrame(LLMContext([{"role": "user", "content": "Hello again"}]))
    out = run_stage(switch, [request, Wait(0.3), InterruptionFrame(), again, Wait(4)])
    assert (second.set_ups, second.starts) == (1, 1)
    assert out.text.count("Here I am.") == 1


def test_of_too_many_requests_that_wait_for_an_answer_the_oldest_is_dropped() -> None:
    def reply(context: LLMContext) -> str:
        messages: list[Any] = context.get_messages()
        asked = messages[-1]["content"]
        return "This is said. All the rest takes a while." if asked == "0" else f"To {asked}."

    def request(number: int) -> LLMContextFrame:
        return LLMContextFrame(LLMContext([{"role": "user", "content": str(number)}]))

    switch = ModelSwitch([ScriptedLLM(Replies(otherwise=reply, words_per_s=5))])
    waiting = [request(number) for number in range(1, MAX_WAITING + 2)]
    out = run_stage(switch, [request(0), Wait(1.2), *waiting, Wait(60)])
    answered = re.findall(r"To (\d+)\.", out.text)
    assert answered == [str(number) for number in range(2, MAX_WAITING + 2)]


def test_a_service_that_cannot_be_set_up_gives_its_place_to_the_next_one() -> None:
    """pipecat would take the whole switch for unusable, and end the call, although another service is there."""
    broken, other = CannotStart("broken"), Cleaned("other")
    switch = ServiceSwitch([broken, other])
    out = run_stage(switch, [TextFrame("hello")])
    assert out.text == "other hello"
    assert switch.active is other
    assert switch.is_usable
    assert not broken.is_usable
    assert other.cleaned, "although the one before it raised an error"


class GivesOut(Says):
    """Can do no more from its first text on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame) and self.is_usable:
            await self.set_usable(False)
            await self.push_error("the account is empty")
        await super().process_frame(frame, direction)


class NeverStarts(Says):
    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        await super().setup(setup)
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (CannotStart, "did not start: the provider is not there"),
        (NeverStarts, "did not start: not within 10 s"),
    ],
)
def test_one_that_cannot_take_the_place_of_another_is_told_and_the_next_one_is_taken(
    second: type[Says], why: str
) -> None:
    services = [GivesOut("first"), second("second"), Says("third")]
    switch = ServiceSwitch(services)
    out = run_stage(switch, [TextFrame("hello"), Wait(11), TextFrame("hello")], check=False)
    assert out.text.endswith("third hello")
    [gave_out, failed] = out.of(ErrorFrame, upstream=True)
    assert (gave_out.processor, failed.processor) == (services[0], services[1])
    assert why in failed.error
    assert failed.category is ErrorCategory.APPLICATION, "another one goes on"
    assert not services[1].is_usable


def test_the_last_one_that_cannot_take_the_place_of_another_has_failed_for_good() -> None:
    switch = ServiceSwitch([GivesOut("first"), CannotStart("second")])
    out = run_stage(switch, [TextFrame("hello"), Wait(1)], check=False)
    failed = out.of(ErrorFrame, upstream=True)[-1]
    assert failed.category is ErrorCategory.UNKNOWN, "the call hears of it at once"


def test_a_switch_none_of_whose_services_can_be_set_up_is_not_usable() -> None:
    switch = ServiceSwitch([CannotStart("a"), CannotStart("b")])
    run_stage(switch, [TextFrame("hello")], check=False)
    assert not switch.is_usable
