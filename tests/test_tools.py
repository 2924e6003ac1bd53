"""Ready-made tools, as a model uses them: who is called, what the model is told, and when it is quiet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.tool_options import kept_by_decorator, timeout_by_decorator
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate
from piopiy_pipeline.testing.scripted.simulated_gateway import Transfers
from piopiy_pipeline.tools import end_call, press_keys, tool, transfer_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import Reply, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts

HUMAN = "+4930123456"
STAYS = Caller().say(PEOPLE).pause(14).say(YES)


class Bot:
    """Uses one tool as its model is scripted to; `asked` is what the model was given, each time."""

    def __init__(self, tool: FunctionSchema, *replies: Reply) -> None:
        self._tool = tool
        self._replies = replies
        self.llm: ScriptedLLM | None = None

    async def __call__(self, call: Call) -> None:
        self.llm = ScriptedLLM(self._replies)
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", tools=[self._tool])
        await agent.Action(stt=ScriptedSTT(["help", "yes"]), llm=self.llm, tts=ToneTTS())
        await agent.start()

    @property
    def asked(self) -> list[list[dict[str, Any]]]:
        assert self.llm is not None
        return self.llm.asked

    def calls(self, caller: Caller = STAYS, transfers: Transfers | None = None) -> SimulatedCall:
        return simulate(self, caller, transfers=transfers)

    def results(self) -> list[dict[str, Any]]:
        """What the model was told of its tools."""
        return [json.loads(each["content"]) for each in self.asked[-1] if each["role"] == "tool"]


def test_the_tool_returns_at_once_and_the_caller_talks_on_until_somebody_answers() -> None:
    bot = Bot(
        transfer_call(to=HUMAN, when="they ask"),
        ("transfer_call", {"summary": "wants a table"}),
        "It is ringing.",
        "You are next.",
    )
    call = bot.calls(Caller().say(PEOPLE).say(YES).pause(60), {HUMAN: ("bridged", 10)})
    assert texts(call, "bot") == ["Hello.", "It is ringing.", "You are next."]
    call.assert_transferred(to=HUMAN)
    assert call.of("transfer")[0].data == {"to": HUMAN, "warm": True, "summary": "wants a table"}
    call.assert_ended(EndReason.TRANSFERRED)


def test_when_nobody_answers_the_model_is_told_why_and_speaks() -> None:
    bot = Bot(
        transfer_call(to=HUMAN, ring_timeout_s=5),
        ("transfer_call", {}),
        "It is ringing.",
        "Nobody is there.",
        "I can help you.",
    )
    call = bot.calls(transfers={HUMAN: "no_answer"})
    assert texts(call, "bot") == ["Hello.", "It is ringing.", "Nobody is there.", "I can help you."]
    note = bot.asked[2][-1]
    assert note["role"] == "developer"
    assert "nobody answered within 5 s (no_answer)" in json.loads(note["content"])["error"]
    call.assert_ended(EndReason.CALLER_HANGUP)


def test_nobodys_sentence_is_cut_off_by_the_news_that_nobody_answers() -> None:
    long = "While it is ringing, let me tell you a long story about this restaurant and its old cook."
    bot = Bot(transfer_call(to=HUMAN), ("transfer_call", {}), long, "They are busy.")
    call = bot.calls(transfers={HUMAN: ("busy", 2)})
    assert texts(call, "bot")[1:3] == [long, "They are busy."]
    assert not any(event.data["interrupted"] for event in call.of("bot_turn"))


def test_blind_the_model_says_nothing_more_and_the_bot_leaves_when_it_has_finished() -> None:
    bot = Bot(transfer_call(to=HUMAN, warm=False), ("transfer_call", {}), "Are you there?")
    call = bot.calls(Caller().say(PEOPLE).pause(30), {HUMAN: ("bridged", 6)})
    assert texts(call, "bot") == ["Hello."]
    assert not call.of("transfer")[0].data["warm"]
    call.assert_ended(EndReason.TRANSFERRED)
    back = bot.calls(Caller().say(PEOPLE).pause(10), {HUMAN: ("declined", 3)})
    assert texts(back, "bot") == ["Hello.", "Are you there?"]


def test_the_model_chooses_among_names_and_never_sees_a_number() -> None:
    tool = transfer_call(destinations={"billing": HUMAN, "sales": "+4930999"})
    assert tool.properties["to"]["enum"] == ["billing", "sales"]
    assert HUMAN not in json.dumps(tool.to_default_dict())
    bot = Bot(
        tool, ("transfer_call", {"to": "complaints"}), ("transfer_call", {"to": "billing"}), "It rings."
    )
    call = bot.calls(Caller().say(PEOPLE).pause(8), {HUMAN: "bridged"})
    call.assert_transferred(to=HUMAN)
    assert [event.data["to"] for event in call.of("transfer")] == [HUMAN]
    wrong, right = bot.results()
    assert wrong["error"] == "there is no 'complaints', only billing, sales"
    assert HUMAN not in json.dumps(right)


def test_only_where_the_author_allows_it_the_model_dials_what_it_likes() -> None:
    fixed = Bot(transfer_call(to=HUMAN), ("transfer_call", {"to": "+1900666"}), "It rings.")
    fixed.calls(Caller().say(PEOPLE).pause(8), {HUMAN: "bridged"}).assert_transferred(to=HUMAN)
    free = Bot(
        transfer_call(any_number=True),
        ("transfer_call", {"to": "sip:evil@example.org"}),
        ("transfer_call", {"to": "+49 (30) 123-456"}),
        "It rings.",
    )
    call = free.calls(Caller().say(PEOPLE).pause(8), {HUMAN: "bridged"})
    assert [event.data["to"] for event in call.of("transfer")] == [HUMAN]
    assert free.results()[0] == {"error": "'sip:evil@example.org' is no telephone number"}


def test_one_transfer_at_a_time() -> None:
    bot = Bot(transfer_call(to=HUMAN), ("transfer_call", {}), ("transfer_call", {}), "Just a moment.")
    call = bot.calls(Caller().say(PEOPLE).pause(8), {HUMAN: "bridged"})
    assert len(call.of("transfer")) == 1
    assert "another transfer is under way" in bot.results()[1]["error"]
    call.assert_ended(EndReason.TRANSFERRED)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"to": "1", "any_number": True},
        {"to": "1", "destinations": {"a": "2"}},
        {"to": " "},
        {"destinations": {}},
        {"destinations": {"sales": ""}},
    ],
)
def test_a_tool_that_does_not_know_whom_to_call_is_a_mistake_of_its_author(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="transfer_call"):
        transfer_call(**options)


@pytest.mark.parametrize(
    "options", [{"ring_timeout_s": 301}, {"to": "x" * 300}, {"to": None, "destinations": {"a": "x" * 300}}]
)
def test_what_no_gateway_takes_is_refused_where_the_tool_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"transfer: (to|ring_timeout_s)"):
        transfer_call(**{"to": HUMAN, **options})


def test_the_model_says_goodbye_and_the_call_ends_when_it_was_heard() -> None:
    call = Bot(end_call(), ("end_call", {}), "Thank you, goodbye.").calls(Caller().say(PEOPLE).pause(30))
    assert texts(call, "bot") == ["Hello.", "Thank you, goodbye."]
    call.assert_ended(EndReason.AGENT_HANGUP)


def test_a_goodbye_of_the_authors_own_is_the_last_word() -> None:
    bot = Bot(end_call(goodbye="Farewell."), ("end_call", {}), "And another thing.")
    call = bot.calls(Caller().say(PEOPLE).pause(30))
    assert texts(call, "bot") == ["Hello.", "Farewell."]
    call.assert_ended(EndReason.AGENT_HANGUP)


def test_nobody_hangs_up_on_a_caller_for_whom_it_rings() -> None:
    class Both(Bot):
        async def __call__(self, call: Call) -> None:
            self.llm = ScriptedLLM(self._replies)
            agent = VoiceAgent(instructions="Be brief.", tools=[self._tool, end_call()])
            await agent.Action(stt=ScriptedSTT(["help"]), llm=self.llm, tts=ToneTTS())
            await agent.start()

    bot = Both(transfer_call(to=HUMAN), ("transfer_call", {}), ("end_call", {}), "Stay on the line.")
    call = bot.calls(Caller().say(PEOPLE).pause(30), {HUMAN: ("bridged", 10)})
    assert "stay until somebody answers" in bot.results()[1]["error"]
    call.assert_ended(EndReason.TRANSFERRED)


def test_the_model_presses_keys_and_listens() -> None:
    bot = Bot(press_keys(), ("press_keys", {"digits": "1 2#"}), ("press_keys", {"digits": "x"}), "Oh.")
    call = bot.calls(Caller().say(PEOPLE).pause(3).say(YES))
    assert [event.data["digits"] for event in call.of("dtmf")] == ["12#"]
    assert texts(call, "bot") == ["Hello.", "Oh."]
    assert "no key 'x'" in bot.results()[1]["error"]


def test_a_key_that_the_model_writes_as_a_number_is_pressed() -> None:
    bot = Bot(press_keys(), ("press_keys", {"digits": 0}), "Oh.")
    call = bot.calls(Caller().say(PEOPLE).pause(3).say(YES))
    assert [event.data["digits"] for event in call.of("dtmf")] == ["0"]


def test_the_decorator_works_with_and_without_parentheses() -> None:
    @tool
    async def bare(params: FunctionCallParams) -> None:
        """Look."""

    @tool()
    async def called(params: FunctionCallParams) -> None:
        """Look."""

    assert kept_by_decorator(bare) is kept_by_decorator(called) is True
    assert timeout_by_decorator(bare) is None
    assert bare.__name__ == "bare"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "x", True])
def test_a_timeout_that_cannot_work_is_refused(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="the timeout of a tool must be"):
        tool(timeout=timeout)


def test_a_timeout_without_its_name_is_refused() -> None:
    with pytest.raises(TypeError, match="tool decorates an async function, not 10"):
        tool(10)  # type: ignore[call-overload]
