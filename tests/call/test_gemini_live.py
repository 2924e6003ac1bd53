"""What is Gemini Live's own, by Google's own client and pipecat's service, at the server for tests. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams, LLMService
from websockets.exceptions import ConnectionClosedError

from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    Disconnects,
    GeminiLiveServer,
    Replies,
    SlowStart,
    Tool,
    Transcripts,
    Voice,
)
from piopiy_pipeline.testing.realtime.gemini_live import GeminiLiveSession
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import NO_WAIT
from tests.support.hand_off_desk import Desk
from tests.support.realtime_calls import GREETING, LONG
from tests.support.virtual import PEOPLE, YES, texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from piopiy_pipeline.compat.gemini_connection import wrap_connections
from tests.support.gemini_calls import MODELS, GeminiCase, gemini_service

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
THANKS = "Goodbye, and thank you for your call."
TWO = ["a table please", "yes"]


@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_told_when_the_caller_speaks(model: str) -> None:
    case = GeminiCase("A table for two.", THANKS, texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), service={"model": model})
    assert texts(call, "bot") == [GREETING, "A table for two.", THANKS]
    assert case.said == [GREETING, "a table please", "A table for two.", "yes", THANKS]
    call.assert_no_error()
    assert case.server.session.setup["realtime_input_config"]["automatic_activity_detection"]["disabled"]


def test_of_an_answer_that_still_comes_nothing_is_heard_behind_the_interruption() -> None:
    case = GeminiCase(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=1.2))
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")
    assert said[2:] == ["Bye."]
    assert LONG.startswith(said[1])
    assert any(message.kind == "interrupted" for message in case.server.session.sent)


@pytest.mark.parametrize("keeps", [True, False], ids=["Google keeps the conversation", "it does not"])
def test_words_of_two_turns_between_which_the_session_was_lost_stay_apart(
    keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(session: GeminiLiveSession, setup: dict[str, Any]) -> None:
        session.setup = setup
        await session.send("setupComplete", {"setupComplete": {}})

    if not keeps:
        monkeypatch.setattr(GeminiLiveSession, "_begin_session", begin)
    heard, dropped = ["a table please", "yes"], {1: Disconnects(0.0)}
    case = GeminiCase("For how many?", THANKS, texts=heard, reply_faults=dropped)
    call = case.call(Caller().say(PEOPLE).pause(5).say(YES).pause(4))
    first, second = texts(call, "user")
    assert heard[0].startswith(first), call.timeline()
    assert second == "yes"
    assert "For how many?" in texts(call, "bot")
    if not keeps:
        assert first in [one["content"] for one in case.server.session.conversation()]


@pytest.mark.parametrize("told_at", [4.6, 8.3], ids=["while the caller speaks", "in the middle of an answer"])
def test_a_session_that_google_ends_is_followed_by_one_that_knows_the_conversation(told_at: float) -> None:
    async def leave(_: object) -> None:
        await asyncio.sleep(told_at)
        session = case.server.session
        await session.go_away(0.2)
        await asyncio.sleep(0.2)
        left.append(session)
        await session.close(1001, "going away")

    def watch(made: VoiceAgent) -> None:
        made.on("answered", leave)

    left: list[GeminiLiveSession] = []
    case = GeminiCase(LONG, THANKS, texts=TWO, voice=Voice(speed=1.2))
    caller = Caller().pause(2).say(PEOPLE).say(YES).pause(3)
    call = case.call(caller, watch=watch)
    assert case.server.sessions[-2:-1] == left
    assert texts(call, "user") == TWO, call.timeline()
    greeting, *begun, answer, last = texts(call, "bot")
    assert (greeting, answer, last) == (GREETING, LONG, THANKS)
    assert all(LONG.startswith(text) for text in begun)
    assert case.server.session.setup["session_resumption"]["handle"]
    (error,) = call.of("error")
    assert error.data["message"] == "the session was lost, and was opened again"
    call.assert_ended("caller_hangup")


@pytest.mark.parametrize("told_at", [0.5, 4.5, 6.5], ids=["greeting", "caller speaks", "answer"])
def test_a_session_that_google_is_about_to_end_is_followed_by_another_in_a_quiet_moment(
    told_at: float,
) -> None:
    async def leave(_: object) -> None:
        await asyncio.sleep(told_at)
        session = case.server.session
        left.append(session)
        await session.go_away(15.0)

    def watch(made: VoiceAgent) -> None:
        made.on("answered", leave)

    left: list[GeminiLiveSession] = []
    case = GeminiCase(LONG, THANKS, texts=TWO, voice=Voice(speed=1.2))
    caller = Caller().pause(1).say(PEOPLE).pause(3).say(YES).pause(8)
    call = case.call(caller, watch=watch)
    assert case.server.sessions[-2:-1] == left, call.timeline()
    assert left[0].closed.is_set()
    assert case.server.session.setup["session_resumption"]["handle"]
    assert texts(call, "user") == TWO
    assert texts(call, "bot") == [GREETING, LONG, THANKS], call.timeline()
    call.assert_no_error()


@pytest.mark.parametrize("takes_s", [0.0, 2.0], ids=["it has returned", "it runs"])
def test_a_call_that_comes_once_more_runs_nothing_and_has_its_result(takes_s: float) -> None:
    runs: list[int] = []
    again: list[asyncio.Task[None]] = []

    async def open_hours(params: FunctionCallParams) -> str:
        """Say when it is open."""
        runs.append(1)
        again.append(asyncio.create_task(once_more()))
        await asyncio.sleep(takes_s)
        return "always"

    async def once_more() -> None:
        session = desk.case.server.session
        (used,) = [one for one in session.sent if one.kind == "toolCall"]
        (name, response), *_ = session._open_calls.items()
        await asyncio.sleep(1.0)
        session._open_calls[name] = response  # it waits for the result anew
        await session.send("toolCall", used.body)

    desk = Desk("use open_hours", "hello", kind=GeminiCase)
    agent = desk.agent()
    desk.agent = lambda: {**agent, "tools": [open_hours]}  # type: ignore[method-assign]
    call = desk.call(caller=Caller().say(YES).pause(4).say(YES))
    assert [task.exception() for task in again] == [None]
    assert len(runs) == 1, call.timeline()
    results = [one for one in desk.case.server.session.received if one.kind == "tool_response"]
    assert len(results) == (1 if takes_s else 2)
    assert "always" in str(results[-1].body)
    assert texts(call, "bot")[-1] == "Desk here."
    call.assert_no_error()


class WaitingCase(GeminiCase):
    """A bot whose model says nothing and asks for nothing while a tool runs."""

    def make_service(self, **options: Any) -> LLMService[Any]:
        return gemini_service(self.server.url, MODELS[1])


def without_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server name no calls of tools, as Vertex AI's: a result belongs to the call of its function."""
    send, take_results = GeminiLiveSession.send, GeminiLiveSession._take_results

    async def sent(session: GeminiLiveSession, kind: str, message: dict[str, Any], **options: Any) -> None:
        for call in message.get("toolCall", {}).get("functionCalls", ()):
            call.pop("id", None)
        await send(session, kind, message, **options)

    async def taken(session: GeminiLiveSession, results: list[dict[str, Any]]) -> None:
        for result, name in zip(results, list(session._open_calls), strict=False):
            result["id"] = name
        await take_results(session, results)

    monkeypatch.setattr(GeminiLiveSession, "send", sent)
    monkeypatch.setattr(GeminiLiveSession, "_take_results", taken)


@pytest.mark.parametrize(
    ("kind", "lost"),
    [(WaitingCase, False), (WaitingCase, True), (GeminiCase, True)],
    ids=["the same session", "the next session", "the next session of a model that goes on"],
)
def test_a_call_without_an_id_that_comes_once_more_while_it_runs_runs_nothing(
    kind: type[GeminiCase], lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ids(monkeypatch)
    runs: list[int] = []
    again: list[asyncio.Task[None]] = []

    async def open_hours(params: FunctionCallParams) -> str:
        """Say when it is open."""
        runs.append(1)
        again.append(asyncio.create_task(once_more()))
        await asyncio.sleep(4.0)
        return "always"

    async def once_more() -> None:
        session = desk.case.server.session
        (used,) = [one for one in session.sent if one.kind == "toolCall"]
        open_calls = dict(session._open_calls)
        await asyncio.sleep(0.5)
        if lost:
            session.drop()
        await asyncio.sleep(1.5)
        session = desk.case.server.session
        session._open_calls.update(open_calls)
        await session.send("toolCall", used.body)

    desk = Desk("use open_hours", "hello", kind=kind)
    agent = desk.agent()
    desk.agent = lambda: {**agent, "tools": [open_hours]}  # type: ignore[method-assign]
    call = desk.call(caller=Caller().say(YES).pause(8).say(YES).pause(4))
    assert [task.exception() for task in again] == [None]
    assert len(runs) == 1, call.timeline()
    results = [one for one in desk.case.server.session.received if one.kind == "tool_response"]
    assert len(results) == 1
    assert "always" in str(results[0].body)
    assert texts(call, "bot")[-1] == "Desk here."


def test_two_calls_without_an_id_for_the_same_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ids(monkeypatch)
    runs: list[int] = []

    async def roll(params: FunctionCallParams) -> int:
        """Roll a die."""
        runs.append(1)
        return len(runs)

    case = GeminiCase([Tool("roll"), Tool("roll"), "Six."], [Tool("roll"), "One."], texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), agent={"tools": [roll]})
    assert len(runs) == 3, call.timeline()
    assert texts(call, "bot") == [GREETING, "Six.", "One."]


class Dead:
    """A connection that takes nothing more once it `is_dead`, although its end has not been read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, message: str) -> None:
        if self.is_dead:
            raise ConnectionClosedError(None, None)
        await self._connection.send(message)


class DeadCase(GeminiCase):
    """One whose connections can die unnoticed."""

    def make_service(self, **options: Any) -> LLMService[Any]:
        service = super().make_service(**options)

        def wrap(connection: Any, _setup: dict[str, Any]) -> Dead:
            self.connection = Dead(connection)
            return self.connection

        wrap_connections(service, wrap)
        return service

    async def die(self) -> asyncio.Task[None]:
        """Have the connection die, which is noticed a second later."""
        self.connection.is_dead = True
        session = self.server.session

        async def dropped() -> None:
            await asyncio.sleep(1.0)
            session.drop()

        return asyncio.create_task(dropped())


@pytest.mark.parametrize("another", [False, True], ids=["of this session", "of the session before"])
def test_a_tool_that_returns_over_a_dead_connection_is_answered_in_the_next_session(another: bool) -> None:
    noticed: list[asyncio.Task[None]] = []

    async def book(params: FunctionCallParams) -> str:
        """Book a table."""
        if another:
            case.server.session.drop()
            await asyncio.sleep(2.0)
        noticed.append(await case.die())
        return "table nine"

    replies = Tool("book"), "It is booked.", "What else?"
    case = DeadCase(*replies, texts=TWO, reply_faults={1: SlowStart(1.0)})
    call = case.call(Caller().say(PEOPLE).pause(8), agent={"tools": [book]})
    assert [task.exception() for task in noticed] == [None]
    assert "table nine" in str(case.server.session.conversation()), call.timeline()
    assert texts(call, "bot") == [GREETING, "It is booked."], call.timeline()
    assert {event.data["message"] for event in call.of("error")} == {
        "the session was lost, and was opened again"
    }


def test_what_the_caller_says_over_a_dead_connection_the_next_session_hears() -> None:
    noticed: list[asyncio.Task[None]] = []

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        noticed.append(await case.die())
        await line.say(YES)
        await line.my_turn()

    case = DeadCase("For how many?", texts=["yes"])
    call = case.call(caller)
    assert [task.exception() for task in noticed] == [None]
    assert texts(call, "user") == ["yes"], call.timeline()
    assert texts(call, "bot") == [GREETING, "For how many?"], call.timeline()
    assert case.server.session.heard_s > 0.5, "the whole of the turn"


def test_the_end_of_a_turn_that_has_used_tools_is_none_of_an_empty_answer() -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        await params.result_callback({"booked": True})
        await case.server.session.send("turnComplete", {"serverContent": {"turnComplete": True}})

    case = GeminiCase(texts=TWO)
    replies = Replies([Tool("book"), "It is booked."], latency=1.0)
    case.server = GeminiLiveServer(replies, ears=Transcripts(texts=TWO))
    call = case.call(Caller().say(PEOPLE).pause(5), agent={"tools": [book]})
    call.assert_no_error()
    assert texts(call, "bot") == [GREETING, "It is booked."], call.timeline()
