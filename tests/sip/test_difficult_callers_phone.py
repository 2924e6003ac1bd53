"""Callers who pause, listen aloud, cough and interrupt, on a real telephone. In real time.

`tests/call/test_difficult_callers.py` has them in virtual time, with what depends on times. Here counts what was said
and heard: a busy machine may be late with it.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.services.providers import prepare
from tests.support.baresip import Baresip
from tests.support.calls import AGENT_ID, House, house
from tests.support.difficult_callers import (
    COUGH,
    EXPLANATION,
    LISTENING,
    MISHEARD,
    NO_WAIT,
    PAUSING,
    RATE,
    ExplainingBot,
    joined,
    missing_words,
    plain,
)
from tests.support.gateway_peers import until
from tests.support.phone_calls import ended, hears_all, phone_of, phones_of, recognised

pytestmark = pytest.mark.realtime

SIP: dict[str, Any] = {"port": 0, "users": {"alice": "secret"}, "routes": [{"to": "555*", "agent": AGENT_ID}]}


@dataclass
class PhoneCall:
    """A call of the telephone that is answered, and what the gateway is told of it."""

    place: House
    phone: Baresip
    news: list[ConversationReported] = field(default_factory=list)

    def texts(self, event: str) -> list[str]:
        """Return the texts of one kind of event, such as ``bot_turn``."""
        return [str(news.data.get("text", "")) for news in self.news if news.event == event]

    def verdicts(self) -> list[str]:
        """Return what was decided of each sound over the bot's speech."""
        return [str(news.data["verdict"]) for news in self.news if news.event == "barge_in"]

    def count(self, *events: str) -> int:
        """Return how many events of some kinds there were."""
        return sum(news.event in events for news in self.news)

    async def say(self, *parts: Path | str | float) -> None:
        """Speak recordings with seconds of silence between them, from now on."""
        path = self.phone.folder / f"caller-{len(parts)}.wav"
        with wave.open(str(path), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(RATE)
            wav.writeframes(joined(*parts).tobytes())
        await self.phone.say(path)

    async def heard(self) -> list[str]:
        """Hang up when all turns of the bot are there, and return what a recogniser makes of the phone's recording."""
        await hears_all(self.phone, self.count("bot_turn"))
        await self.phone.hang_up()
        await ended(self.place.gateway)
        return await recognised(self.phone.heard())


@asynccontextmanager
async def phone_call(bot: ExplainingBot, **settings: Any) -> AsyncIterator[PhoneCall]:
    """Run a gateway and an agent with this bot, and call it with a telephone."""
    await prepare()
    async with house(bot, sip=SIP, **settings) as place, phone_of(place.gateway) as phone:
        call = PhoneCall(place, phone)

        def on_news(news: BusEvent) -> None:
            if isinstance(news, ConversationReported):
                call.news.append(news)

        place.gateway.switchboard.event_bus.subscribe(on_news)
        await phone.dial(f"sip:5551234@127.0.0.1:{phones_of(place.gateway).port}")
        yield call


@pytest.mark.parametrize("name", ["human number", "address", "and"])
def test_who_pauses_in_the_middle_is_answered_once(name: str) -> None:
    pausing = PAUSING[name]
    bot = ExplainingBot(pausing.question)
    first, second = pausing.halves

    async def story() -> None:
        async with phone_call(bot) as call:
            await until(lambda: call.count("bot_turn") == 1)
            await call.say(first, 0.7, second)
            await until(lambda: call.count("bot_turn") == 2, patience_s=20)
            heard = await call.heard()
            assert "".join(plain(heard[-1])) == "thankyou"
        (said,) = bot.said("user")
        assert pausing.heard_in(said), said
        assert call.texts("user_turn") == [said]
        assert call.texts("bot_turn") == [pausing.question, "Thank you."]
        assert bot.said("assistant") == [pausing.question, "Thank you."]

    asyncio.run(story())


@pytest.mark.parametrize(
    "sounds",
    [(LISTENING[0], 1.6, LISTENING[1], 1.6, LISTENING[2], 1.6, LISTENING[3]), (COUGH, 2.5, COUGH)],
    ids=["mhm", "cough"],
)
def test_who_listens_aloud_or_coughs_hears_all_of_a_long_explanation(
    sounds: tuple[Path | float, ...],
) -> None:
    bot = ExplainingBot(EXPLANATION)

    async def story() -> list[str]:
        async with phone_call(bot) as call:
            await until(lambda: call.count("bot_partial") > 0)
            await call.say(*sounds)
            await until(lambda: call.count("bot_turn") == 1, patience_s=40)
            heard = await call.heard()
        assert bot.whole == [True]
        assert call.texts("bot_turn") == [EXPLANATION]
        assert call.texts("user_turn") == []
        assert set(call.verdicts()) == {"resume"}, "it was heard, and was no interruption"
        assert bot.said("assistant") == [EXPLANATION]
        assert bot.llm.asked == []
        return heard

    heard = asyncio.run(story())
    assert len(missing_words(EXPLANATION, heard)) <= MISHEARD, heard


def test_no_wait_stops_the_bot_and_the_context_holds_what_was_heard() -> None:
    bot = ExplainingBot(EXPLANATION)

    async def story() -> list[str]:
        async with phone_call(bot) as call:
            await until(lambda: len(" ".join(call.texts("bot_partial")[-1:])) > 30)
            await call.say(NO_WAIT, 0.4, "no_wait/02-goes_on.wav")
            await until(lambda: call.count("bot_turn") == 2)
            assert call.verdicts()[-1] == "interrupt"
            return await call.heard()

    *explained, answer = asyncio.run(story())
    assert bot.whole == [False]
    (said,) = bot.said("user")
    assert plain(said)[:2] == ["no", "wait"]
    assert "saturday" in plain(said)
    context, replied = bot.said("assistant")
    assert EXPLANATION.startswith(context)
    assert 0 < len(context) < len(EXPLANATION) / 2
    assert replied == "Thank you."
    assert "".join(plain(answer)) == "thankyou"
    assert len(missing_words(context, explained)) <= 2, explained
    assert abs(len(plain(context)) - len(plain(" ".join(explained)))) <= 2, explained
