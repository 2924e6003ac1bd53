"""The gateway's half of a browser's call, between a stub of its place and what its leg process says."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace
from piopiy_pipeline.gateway.webrtc import browser_call
from piopiy_pipeline.gateway.webrtc.browser_call import BrowserCall
from piopiy_pipeline.gateway.webrtc.browser_offers import OfferRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import Negotiate, NegotiateRefused, OfferAnswered
from piopiy_pipeline.signaling.messages import Message


class Place:
    """Remembers what was said to the leg process."""

    def __init__(self) -> None:
        self.posted: list[Message] = []

    def post(self, message: Message) -> None:
        self.posted.append(message)


def test_the_late_answer_to_an_offer_is_not_that_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        place = Place()
        call = BrowserCall(
            place=cast(LegPlace, place),
            caller=TokenClaims.model_construct(agent_id="front-desk"),
            metadata=None,
            on_connected=lambda _: pytest.fail("it did not connect"),
            on_closed=lambda _: None,
        )
        monkeypatch.setattr(browser_call, "ANSWER_S", 0.0)
        with pytest.raises(OfferRefused, match="not answered"):
            await call.negotiate("first", restart=False, new=True)
        monkeypatch.setattr(browser_call, "ANSWER_S", 10.0)
        second = asyncio.create_task(call.negotiate("second", restart=True, new=False))
        await asyncio.sleep(0)
        numbers = [one.offer_number for one in place.posted if isinstance(one, Negotiate)]
        call.on_event(OfferAnswered(offer_number=numbers[0], sdp="of the first"))
        call.on_event(NegotiateRefused(offer_number=numbers[0], status=500, text="the first"))
        assert not second.done()
        call.on_event(OfferAnswered(offer_number=numbers[1], sdp="of the second"))
        assert await second == "of the second"

    asyncio.run(story())
