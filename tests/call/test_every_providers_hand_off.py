"""A call to a model that hears and speaks itself is handed over, whoever's the model is. In virtual time.

A session of OpenAI's and of those like it gets other instructions and tools, and another one is opened for another
voice. Of Gemini Live, Nova Sonic and Ultravox, each persona has a session of its own. What is a provider's own is
tested in `test_realtime_hand_off.py` (OpenAI) and `test_gemini_hand_off.py`.
"""

from __future__ import annotations

import pytest
from websockets.frames import Opcode

from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.session.hand_off.conversation_change import SUMMARY_S, HandOffContext
from piopiy_pipeline.testing import AgentLoss, CallerLine
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.hand_off_desk import BACK, INTRODUCTION, SUMMARY, TO_BILLING, Desk
from tests.support.realtime_calls import Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.virtual import YES, texts

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of Nova Sonic's service
]
EACH_WAY = ("openai", "gemini", "nova", "ultravox")
"""One for each way in which a session becomes another persona's."""


@pytest.fixture(params=list(PROVIDERS))
def kind(request: pytest.FixtureRequest) -> type[Case]:
    return PROVIDERS[request.param]()


def only(*names: str) -> pytest.MarkDecorator:
    """Have a test called with some of the providers."""
    return pytest.mark.parametrize("kind", names, indirect=True)


@pytest.mark.parametrize("another_voice", [False, True])
def test_instructions_tools_and_voice_change_together_and_back(kind: type[Case], another_voice: bool) -> None:
    voice = kind.other_voice if another_voice else None
    desk = Desk(TO_BILLING, "use look_up", BACK, "hello", kind=kind, voice=voice)
    call = desk.call()
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    said = texts(call, "bot")
    assert said[0] == "Desk speaking."
    assert " ".join(said).count(INTRODUCTION) == 1
    assert said[-1] == "Desk here."
    assert texts(call, "user") == [TO_BILLING, "use look_up", BACK, "hello"]
    assert desk.used == ["look_up"]
    for who, spoken_by, tools, _ in desk.answers:
        assert tools == {"look_up" if who == "Billing" else "open_hours", "hand_off_call"}
        assert (kind.other_voice in spoken_by) == (another_voice and who == "Billing")
    assert {who for who, *_ in desk.answers} == {"Desk", "Billing"}
    assert any(told.endswith("use look_up") for told in desk.answers[-1][3]), "the conversation goes on"
    if kind.keeps_session:
        assert len(desk.case.server.sessions) == (3 if another_voice else 1)


@only(*EACH_WAY)
def test_the_other_one_introduces_itself_and_answers_once(kind: type[Case]) -> None:
    call = Desk(TO_BILLING, "hello", kind=kind).call()
    call.assert_no_error()
    assert " ".join(texts(call, "bot")) == "Desk speaking. Billing speaking. Billing here. Billing here."


@only(*EACH_WAY)
def test_the_other_one_may_know_nothing(kind: type[Case]) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, context="fresh")
    call = desk.call()
    call.assert_no_error()
    who, _, _, told = desk.answers[-1]
    assert who == "Billing"
    assert not any(TO_BILLING in message for message in told)
    assert texts(call, "bot")[-1] == "Billing here."


@only("openai", "voice_live", "gemini", "nova", "ultravox")
def test_the_other_one_may_know_a_summary_that_nobody_hears(kind: type[Case]) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, context="summary")
    call = desk.call()
    call.assert_no_error()
    assert call.of("hand_off")[0].data["context"] == "summary"
    told = desk.answers[-1][3]
    assert any(f"What was said before: {SUMMARY}" in message for message in told)
    assert not any(TO_BILLING in message for message in told)
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


@only("grok", "inworld")
def test_who_writes_nothing_beside_the_conversation_keeps_it_in_place_of_a_summary(kind: type[Case]) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, context="summary")
    call = desk.call()
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


@only("openai", "gemini")
def test_without_a_summary_the_conversation_is_kept_and_the_record_says_so(kind: type[Case]) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, context="summary")
    desk.summary = " "
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert len(call.of("error")) == 1
    assert call.of("hand_off")[0].data["context"] == "keep"
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    assert texts(call, "bot")[-1] == "Billing here."


@only("openai", "gemini")
@pytest.mark.parametrize("drops", [False, True], ids=["stalls", "drops"])
def test_the_caller_waits_for_a_summary_that_fails_no_longer_than_it_may_take(
    kind: type[Case], drops: bool
) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, context="summary")

    def fails() -> str:
        if drops:
            desk.case.server.session.drop()
        raise LookupError  # the server sends nothing

    desk.summarise = fails
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert not any("no progress" in event.data["message"] for event in call.of("error")), call.timeline()
    waited_s = call.of("hand_off")[0].at - call.of("tool")[0].at
    assert waited_s < (2 if drops else SUMMARY_S + 2), call.timeline()
    assert call.of("tool_result")[0].at - call.of("hand_off")[0].at < 1, call.timeline()
    said = " ".join(texts(call, "bot"))
    assert said == "Desk speaking. Billing speaking. Billing here. Billing here.", call.timeline()


LOSSES: dict[str, AgentLoss] = {
    "hand_off": AgentLoss("hand_off", 0.0, 1),
    "introduction": AgentLoss("hand_off", 0.5, 1),
    "tool": AgentLoss("tool", 0.28, 1),
    "tool_result": AgentLoss("tool_result", 0.0, 1),
    "user_turn": AgentLoss("user_turn", 0.1, 2),
}
MOMENTS: list[tuple[str, HandOffContext]] = [
    ("introduction", "keep"),
    ("introduction", "summary"),
    ("tool_result", "fresh"),
]
"""Of all providers, with what the other one knows."""


@pytest.mark.parametrize(
    ("kind", "moment", "context"),
    [
        *((name, *moment) for name in EACH_WAY for moment in MOMENTS),
        ("openai", "hand_off", "keep"),
        ("openai", "tool", "keep"),
        ("openai", "user_turn", "keep"),
        ("gemini", "hand_off", "fresh"),
        ("gemini", "user_turn", "summary"),
    ],
    indirect=["kind"],
)
def test_who_has_the_call_has_it_after_a_loss(kind: type[Case], moment: str, context: HandOffContext) -> None:
    voice = kind.other_voice
    desk = Desk(TO_BILLING, "use look_up", "hello", BACK, "hello", kind=kind, voice=voice, context=context)
    call = desk.call([LOSSES[moment]])
    assert len(call.of("agent_lost")) == 1
    assert desk.used == ["look_up"], call.timeline()
    assert texts(call, "bot")[-1] == "Desk here.", call.timeline()
    for who, spoken_by, tools, _ in desk.answers:
        assert ("look_up" in tools) == (who == "Billing")
        assert (spoken_by == voice) == (who == "Billing")
    call.assert_no_error()


@pytest.mark.parametrize(
    ("event", "number", "after_s"),
    [
        *(("tool_result", 2, after_s) for after_s in (0.1, 0.3)),
        *(("user_turn", 2, after_s) for after_s in (0.05, 0.15)),
    ],
)
def test_a_tool_runs_once_whenever_its_agent_is_lost(
    kind: type[Case], event: str, number: int, after_s: float
) -> None:
    desk = Desk(TO_BILLING, "use look_up", "hello", kind=kind, voice=kind.other_voice)
    call = desk.call([AgentLoss(event, after_s, number)])
    assert len(call.of("agent_lost")) == 1
    assert desk.used == ["look_up"], call.timeline()
    assert texts(call, "bot")[-1] == "Billing here.", call.timeline()


def test_the_callers_words_stand_before_the_tool_that_was_used_to_answer_them(kind: type[Case]) -> None:
    desk = Desk("use open_hours", "hello", kind=kind)
    desk.call()
    said = [
        one.get("content") or [call["function"]["name"] for call in one["tool_calls"]]
        for one in desk.case.context
    ]
    asked = said.index("use open_hours")
    assert said[asked + 1] == ["open_hours"], said
    assert "hello" in said[asked + 2 :], said


@pytest.mark.parametrize(
    ("kind", "another_voice"),
    [*((name, True) for name in EACH_WAY), ("openai", False), ("gemini", False)],
    indirect=["kind"],
)
def test_a_session_that_drops_is_opened_again_as_the_other_one(kind: type[Case], another_voice: bool) -> None:
    voice = kind.other_voice if another_voice else None
    desk = Desk(TO_BILLING, "hello", "hello", kind=kind, voice=voice)

    def watch(agent: VoiceAgent) -> None:
        agent.on(
            "bot_turn", lambda turn: desk.case.server.session.drop() if turn.text == "Billing here." else None
        )

    call = desk.call(watch=watch)
    assert len(call.of("error")) >= 1, "the record says that it was lost"
    for who, spoken_by, tools, _ in desk.answers[1:]:
        assert (who, tools) == ("Billing", {"look_up", "hand_off_call"})
        assert (spoken_by == kind.other_voice) == another_voice
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize(
    ("kind", "after"),
    [*((name, after) for name in EACH_WAY for after in (0.5, 1.1)), ("openai", 0.2), ("gemini", 0.8)],
    indirect=["kind"],
)
def test_who_speaks_over_the_hand_off_is_answered_by_the_new_one(kind: type[Case], after: float) -> None:
    desk = Desk(TO_BILLING, "hello", "hello", kind=kind, voice=kind.other_voice)

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(YES)
        await line.pause(after)
        await line.say(YES)
        await line.my_turn()
        await line.say(YES)
        await line.my_turn()

    call = desk.call(caller=caller)
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing"]
    assert texts(call, "bot")[-1] == "Billing here.", call.timeline()
    assert not call.of("error")


@only("openai", "gemini", "ultravox")
def test_a_provider_that_takes_no_leave_is_not_waited_for(kind: type[Case]) -> None:
    desk = Desk(TO_BILLING, "hello", kind=kind, voice=kind.other_voice)

    def takes_no_leave(used: ToolUse) -> None:
        protocol = desk.case.server.session._connection.protocol
        take = protocol.recv_frame
        protocol.recv_frame = lambda frame: None if frame.opcode is Opcode.CLOSE else take(frame)

    def watch(agent: VoiceAgent) -> None:
        agent.on("tool", takes_no_leave)

    call = desk.call(watch=watch)
    call.assert_no_error()
    used, changed = call.of("tool")[0].at, call.of("hand_off")[0].at
    assert changed - used < 3.0, call.timeline()
    assert " ".join(texts(call, "bot")) == "Desk speaking. Billing speaking. Billing here. Billing here."
