"""Amazon Nova Sonic, by pipecat's service, with a server for tests in the place of AWS's client. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams, LLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import AgentLoss, Caller, Disconnects, NovaSonicServer, Refused, Tool, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.virtual import PEOPLE, YES, recorded_apology_heard, texts

THANKS = "Goodbye, and thank you for your call."
TWO = ["a table please", "yes"]


provide_aws_sdk()
from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class NovaCase(Case):
    """A bot whose model is Amazon's."""

    make_server: Any = NovaSonicServer

    def make_service(self, **options: Any) -> LLMService[Any]:
        keys: dict[str, Any] = {
            "access_key_id": "none",
            "secret_access_key": "none",
            "region": "us-east-1",
        }
        service: Any = AWSNovaSonicLLMService(**keys, **options)
        service.create_client = self.server.client
        return service  # type: ignore[no-any-return]


def test_a_whole_call() -> None:
    case = NovaCase("A table for two.", THANKS, texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "A table for two.", THANKS], call.timeline()
    assert texts(call, "user") == TWO
    assert case.said == [GREETING, "a table please", "A table for two.", "yes", THANKS]
    assert not call.of("interruption")
    assert not call.of("error")
    session = case.server.session
    assert session.conversation()[0] == {"role": "system", "content": "Be brief."}
    assert session.heard_s > 10
    call.assert_latency(below=1.2)
    assert call.of("usage")


@pytest.mark.parametrize("speed", [None, 1.0])
def test_after_a_barge_in_the_model_is_told_what_was_heard(speed: float | None) -> None:
    case = NovaCase(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=speed))
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")
    assert LONG.startswith(said[1]), call.timeline()
    assert said[1] != LONG
    assert said[2:] == ["Bye."]
    assert len(call.of("interruption")) == 1
    told = [one["content"] for one in case.server.session.conversation() if one["role"] == "system"]
    assert any(text.endswith(f"no more than this: {said[1]}]") for text in told)
    (note,) = [
        one.body
        for one in case.server.session.received
        if one.kind == "textInput" and said[1] in one.body["content"]
    ]
    begun = next(
        one.body
        for one in case.server.session.received
        if one.kind == "contentStart" and one.body["contentName"] == note["contentName"]
    )
    assert begun["interactive"] is False, "it asks for nothing"


def test_a_tool_is_used_and_its_result_is_answered() -> None:
    booked = []

    async def book(params: FunctionCallParams, people: int) -> None:
        """Book a table.

        Args:
            people: For how many.
        """
        booked.append(people)
        await params.result_callback({"booked": people})

    case = NovaCase([Tool("book", people=2), "It is booked."], "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), agent={"tools": [book]})
    assert booked == [2]
    assert texts(call, "bot") == [GREETING, "It is booked.", "Goodbye."], call.timeline()
    assert not call.of("error"), call.timeline()
    (tool,) = case.server.session.prompt["toolConfiguration"]["tools"]
    assert tool["toolSpec"]["name"] == "book"


def test_say_tells_whether_it_was_heard() -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say("One moment please."))
            heard.append(await agent.say(LONG))

        agent.on("answered", say)

    case = NovaCase("Bye.", texts=["no wait"])
    case.call(Caller().interrupt(NO_WAIT, after=3.0), agent={"greeting": None}, watch=watch)
    assert heard == [True, False]


def test_the_author_has_the_model_answer_with_a_note() -> None:
    async def note(agent: VoiceAgent) -> None:
        async def tell(_: object) -> None:
            await agent.call.respond("The caller is a regular.")

        agent.on("answered", tell)
        await agent.start()

    case = NovaCase("Welcome back.")
    call = case.call(Caller().pause(5), agent={"greeting": None}, run=note)
    assert texts(call, "bot") == ["Welcome back."]
    known = [one["content"] for one in case.server.session.conversation()]
    assert "The caller is a regular." in known


def test_keys_as_text_are_a_turn() -> None:
    case = NovaCase("Table seven.")
    call = case.call(Caller().pause(4).press("7#").pause(6), agent={"dtmf": "text"})
    assert texts(call, "bot") == [GREETING, "Table seven."]
    assert case.server.session.conversation()[-2]["role"] == "user"


def test_a_caller_who_says_nothing_is_asked_and_the_call_ends() -> None:
    case = NovaCase()
    call = case.call(Caller().pause(60), agent={"idle_timeout_secs": 20})
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert len(texts(call, "bot")) == 4, "the greeting, two questions, and a goodbye"


@pytest.mark.parametrize("loss", [AgentLoss("user_turn", 0.3), AgentLoss("bot_turn", 0.3, 2)])
def test_an_agent_that_is_lost_is_followed_by_one_with_the_conversation(loss: AgentLoss) -> None:
    case = NovaCase("For how many?", "Certainly.", "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), losses=[loss])
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot").count(GREETING) == 1
    assert len(texts(call, "user")) == 2
    assert len(case.server.sessions) == 2
    known = [one["content"] for one in case.server.session.conversation()]
    assert "a table please" in known


def test_a_call_that_is_lost_is_created_again_with_the_conversation() -> None:
    faults = {2: Disconnects(0.5)}
    case = NovaCase("For how many?", LONG, texts=TWO, reply_faults=faults, voice=Voice(speed=2))
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert len(case.server.sessions) == 2
    half, whole = texts(call, "bot")[2:]
    assert LONG.startswith(half)
    assert whole == LONG
    (error,) = call.of("error")
    assert "opened again" in error.data["message"]


def test_a_first_call_that_is_refused_is_created_a_little_later() -> None:
    case = NovaCase("For how many?", THANKS, texts=TWO, faults={1: Refused(503), 2: Refused(503)})
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "For how many?", THANKS], call.timeline()


def test_a_call_that_cannot_be_created_ends_with_an_apology() -> None:
    refused = {number: Refused(503) for number in range(1, 40)}
    case = NovaCase("For how many?", texts=TWO, faults=refused)
    call = case.call(Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("llm: the session was not opened"), call.timeline()
    assert recorded_apology_heard(call)


def test_its_turns_are_its_own() -> None:
    call = NovaCase("Hello.").call(Caller().pause(1), action={"turns": 0.5})
    call.assert_ended(EndReason.ERROR)
    assert "turns of AWSNovaSonicLLMService are the provider's" in call.end_detail


def test_the_first_generation_takes_no_texts() -> None:
    settings = AWSNovaSonicLLMService.Settings(model="amazon.nova-sonic-v1:0")
    call = NovaCase("Hello.").call(Caller().pause(1), service={"settings": settings})
    call.assert_ended(EndReason.ERROR)
    assert "AWSNovaSonicLLMService cannot be told yet what to say" in call.end_detail
