"""What somebody who watches a call is told while it goes on. In virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.agent.callback import bind_callback
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.messages import AgentMessage, ConversationEvent
from piopiy_pipeline.testing import Caller, simulate
from tests.support.bots import voice
from tests.support.call_state import hear_posts
from tests.support.scripted_bot import PROVIDERS, booking_caller, create_session
from tests.support.services import Reply, ToneTTS
from tests.support.virtual import PEOPLE, texts

pytestmark = pytest.mark.usefixtures("either_bot")

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."
PARTS = ("silence_s", "stt_s", "turn_s", "llm_s", "tts_s", "playout_s")

Bot = Callable[..., Awaitable[Any]]


class Watcher:
    """Keeps what the gateway would be told of each call that `bot` serves."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self.told: list[ConversationEvent] = []

    async def __call__(self, call: Call) -> None:
        def watch(message: AgentMessage) -> None:
            if isinstance(message, ConversationEvent):
                self.told.append(message)

        hear_posts(call, watch)
        await bind_callback(self._bot)(call)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each.data for each in self.told if each.event == event]

    def times(self, event: str) -> list[float]:
        return [each.at for each in self.told if each.event == event]


@pytest.mark.three_services("the provider writes the words down behind the turn")
def test_the_words_of_the_caller_are_told_while_they_are_spoken() -> None:
    watcher = Watcher(create_session)
    call = simulate(watcher, booking_caller(), providers=PROVIDERS)
    names = [each.event for each in watcher.told if each.event.startswith("user_")]
    first_turn = names.index("user_turn")
    assert names[:first_turn].count("user_partial") >= 2
    partials = [each["text"] for each in watcher.of("user_partial")[:first_turn]]
    whole = texts(call, "user")[0]
    assert partials[-1] == whole
    assert [len(text) for text in partials] == sorted(len(text) for text in partials)
    assert [each["text"] for each in watcher.of("user_turn")] == texts(call, "user")


@pytest.mark.three_services("the provider writes the words down behind the turn")
def test_partial_words_come_four_times_a_second_at_most_and_never_twice_the_same() -> None:
    watcher = Watcher(create_session)
    simulate(watcher, booking_caller(), providers=PROVIDERS)
    for side in ("user_partial", "bot_partial"):
        times = watcher.times(side)
        assert len(times) > 3
        assert min(later - early for early, later in pairwise(times)) >= 0.249
    of_bot = [each for each in watcher.told if each.event.startswith("bot_")]
    for early, later in pairwise(of_bot):
        assert (early.event, early.data["text"]) != (later.event, later.data["text"])


@pytest.mark.parametrize("words", [True, False], ids=["with word times", "without word times"])
def test_the_words_of_the_bot_are_told_as_they_are_heard(words: bool) -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting=LONG, tts=ToneTTS(words=words))).start()

    watcher = Watcher(bot)
    simulate(watcher, Caller())
    partials = [each["text"] for each in watcher.of("bot_partial")]
    assert len(partials) > 10, "5.5 s of speech"
    assert all(LONG.startswith(text) for text in partials)
    assert [len(text) for text in partials] == sorted(len(text) for text in partials)
    half = next(each.at for each in watcher.told if len(str(each.data.get("text", ""))) > len(LONG) / 2)
    assert half == pytest.approx(0.06 * len(LONG) / 2, abs=0.7), "not before it was heard"
    assert watcher.of("bot_turn") == [{"text": LONG, "interrupted": False}]
    last = [each.event for each in watcher.told if each.event != "usage"][-1]
    assert last == "bot_turn", "no part of a turn is told behind the whole"


def test_what_was_cut_off_is_never_told_as_heard() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting=LONG, texts=["stop"])).start()

    watcher = Watcher(bot)
    simulate(watcher, Caller().interrupt(PEOPLE, after=1.5))
    whole = watcher.of("bot_turn")[0]
    assert whole["interrupted"]
    before = watcher.told[: next(i for i, each in enumerate(watcher.told) if each.event == "bot_turn")]
    partials = [each.data["text"] for each in before if each.event == "bot_partial"]
    assert partials
    assert all(whole["text"].startswith(text) for text in partials)


def test_a_tool_is_told_with_its_number_and_its_result_with_the_same() -> None:
    async def bot(call: Call) -> None:
        async def look_up(params: FunctionCallParams, what: str) -> None:
            """Look something up.

            Args:
                what: What to look up.
            """
            await params.result_callback({"found": what * 1000})

        replies: list[Reply] = [("look_up", {"what": "a"}), ("look_up", {"what": "bcd"}), "Here it is."]
        await (await voice(call, texts=["a table"], replies=replies, tools=[look_up])).start()

    watcher = Watcher(bot)
    simulate(watcher, Caller().say(PEOPLE))
    assert watcher.of("tool") == [
        {"number": 1, "name": "look_up", "arguments": {"what": "a"}},
        {"number": 2, "name": "look_up", "arguments": {"what": "bcd"}},
    ]
    first, second = watcher.of("tool_result")
    assert first == {"number": 1, "name": "look_up", "result": {"found": "a" * 1000}}
    assert (second["number"], type(second["result"])) == (2, str)
    assert len(second["result"].encode()) <= 2000


@pytest.mark.three_services("the provider's turn end has no waits to tell of")
def test_the_latency_of_an_answer_is_told_when_it_begins_and_is_the_sum_of_its_parts() -> None:
    watcher = Watcher(create_session)
    call = simulate(watcher, booking_caller(), providers=PROVIDERS)
    answered = [turn for turn in call.turns if turn.parts]
    assert len(watcher.of("latency")) == len(answered) == 3, "one for each answer, none for the greeting"
    for told, at, turn in zip(watcher.of("latency"), watcher.times("latency"), answered, strict=True):
        eager = ("eager", "eager_begun", "eager_saved_s") if "eager" in told else ()
        assert tuple(told) == (*PARTS, "total_s", "turn_wait_s", "turn_reason", *eager)
        assert not eager or 0 < told["eager_saved_s"] <= told["turn_wait_s"]
        assert sum(told[part] for part in PARTS) == pytest.approx(told["total_s"], abs=1e-9)
        assert turn.parts is not None
        assert at == pytest.approx(turn.answered_at, abs=0.03)
        assert told["silence_s"] == pytest.approx(0.2), "as the VAD is set"
        for part in ("stt", "turn", "llm", "tts", "playout"):
            assert told[f"{part}_s"] == pytest.approx(getattr(turn.parts, part), abs=0.03), part
    assert any(told["eager"] for told in watcher.of("latency") if "eager" in told)


def test_an_apology_is_no_part_of_what_the_bot_said() -> None:
    async def bot(call: Call) -> None:
        replies: list[Reply] = [*2 * [RuntimeError("429")], "Here I am."]  # nobody hears of the one ahead
        agent = await voice(call, texts=["hello"], replies=replies, error_line="Sorry, one moment.")
        await agent.start()

    watcher = Watcher(bot)
    simulate(watcher, Caller().say(PEOPLE))
    assert watcher.of("error")
    assert not any("Sorry" in each["text"] for each in watcher.of("bot_partial"))
