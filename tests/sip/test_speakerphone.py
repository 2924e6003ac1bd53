"""A caller on a speakerphone over real SIP and RTP: the bot hears itself, and with a clean sound it does not.

In real time. The telephone feeds what it plays back into its microphone: 0.12 s later, 3 dB weaker, distorted by a
small loudspeaker, and with the room ringing after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import soxr

from benchmarks.speakerphone import Speakerphone
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.services.providers import prepare
from tests.support.calls import AGENT_ID, house
from tests.support.difficult_callers import (
    EXPLANATION,
    MISHEARD,
    NO_WAIT,
    RATE,
    ExplainingBot,
    joined,
    missing_words,
    plain,
)
from tests.support.gateway_peers import until
from tests.support.loud_telephone import LoudTelephone, loud_telephone
from tests.support.phone_calls import phones_of, recognised

pytestmark = pytest.mark.realtime

TELEPHONE = 8000
ROOM = Speakerphone(TELEPHONE, delay_ms=120, echo_db=-3, seed=21)
SIP: dict[str, Any] = {
    "port": 0,
    "callers": "anyone",
    "codecs": ["PCMU"],
    "routes": [{"to": "555*", "agent": AGENT_ID}],
}
Story = Callable[[LoudTelephone, list[ConversationReported]], Awaitable[None]]


async def on_a_speakerphone(bot: ExplainingBot, story: Story, **settings: Any) -> CallSnapshot:
    """Call a gateway with this bot from a speakerphone. Returns the call as the gateway saw it at the end."""
    await prepare()
    news: list[ConversationReported] = []

    def on_news(event: BusEvent) -> None:
        if isinstance(event, ConversationReported) and not event.partial:
            news.append(event)

    async with house(bot, sip=SIP, **settings) as place:
        place.gateway.switchboard.event_bus.subscribe(on_news)
        async with loud_telephone(phones_of(place.gateway).port, ROOM) as phone:
            await story(phone, news)
            (call,) = place.gateway.switchboard.snapshot().calls
        await until(lambda: bool(bot.contexts))
    return call


def texts(news: list[ConversationReported], event: str) -> list[str]:
    return [str(each.data.get("text", "")) for each in news if each.event == event]


def test_without_a_clean_sound_the_bot_takes_itself_for_the_caller() -> None:
    bot = ExplainingBot(EXPLANATION, options={"interruption": "immediate"})

    async def story(phone: LoudTelephone, news: list[ConversationReported]) -> None:
        await until(lambda: bool(texts(news, "bot_turn")), patience_s=20)

    call = asyncio.run(on_a_speakerphone(bot, story))
    assert bot.whole == [False]
    assert "echo_removed_db" not in call.line


def test_with_a_clean_sound_the_bot_does_not_interrupt_itself() -> None:
    """Even where any speech cuts it off."""
    bot = ExplainingBot(EXPLANATION, options={"interruption": "immediate"})

    async def story(phone: LoudTelephone, news: list[ConversationReported]) -> None:
        await until(lambda: bool(texts(news, "bot_turn")), patience_s=25)
        await asyncio.sleep(1.0)  # the room is silent, and nobody has been taken for a caller
        assert texts(news, "bot_turn") == [EXPLANATION]
        assert texts(news, "user_turn") == texts(news, "user_backchannel") == []
        heard = await recognised(phone.recording)
        assert len(missing_words(EXPLANATION, heard)) <= MISHEARD, heard

    call = asyncio.run(on_a_speakerphone(bot, story, clean_sound={"phone": "both"}))
    assert bot.whole == [True]
    assert bot.llm.asked == []
    assert call.line["echo_removed_db"] > 10


def test_who_interrupts_over_the_echo_is_heard_where_the_bot_has_asked_for_a_clean_sound() -> None:
    bot = ExplainingBot(EXPLANATION, cleans=True)
    no_wait = soxr.resample(joined(NO_WAIT, 0.4, "no_wait/02-goes_on.wav"), RATE, TELEPHONE).astype(np.int16)

    async def story(phone: LoudTelephone, news: list[ConversationReported]) -> None:
        await asyncio.sleep(4.0)  # the canceller has learnt the room meanwhile
        phone.say(no_wait)
        await until(lambda: len(texts(news, "bot_turn")) == 2, patience_s=20)

    call = asyncio.run(on_a_speakerphone(bot, story))
    assert bot.whole == [False]
    words = plain(" ".join(bot.said("user")))
    assert {"no", "wait"} & set(words), "the canceller takes some of the caller's words with the echo"
    assert not {"table", "window", "river", "bridge", "terrace"} & set(words), "and leaves none of the bot's"
    context, *answers = bot.said("assistant")
    assert EXPLANATION.startswith(context)
    assert answers
    assert all("Thank you.".startswith(answer) for answer in answers), (
        "one, or a second to what was said behind it"
    )
    assert "echo_removed_db" in call.line
