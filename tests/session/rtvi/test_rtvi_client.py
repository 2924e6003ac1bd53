"""A client that speaks RTVI, as Pipecat's SDKs do: what it is told, and what it may ask for. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.processors.frameworks.rtvi.frames import RTVIClientMessageFrame, RTVIServerMessageFrame
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call, ResumableState
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint
from piopiy_pipeline.testing import CallerLine, SimulatedCall, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import voice
from tests.support.call_state import hear_posts, state_of
from tests.support.services import Reply, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, texts

Message = dict[str, Any]


def says(kind: str, data: object = None, *, message_id: str = "m1") -> Message:
    """A message of the client."""
    return {"label": "rtvi-ai", "type": kind, "id": message_id, "data": data}


def ready(version: str = "2.1.0") -> Message:
    """The first message of the official client for browsers, 1.13."""
    about = {"library": "@pipecat-ai/client-js", "library_version": "1.13.1"}
    return says("client-ready", {"version": version, "about": about}, message_id="ready-1")


def told(call: SimulatedCall, kind: str | None = None) -> list[Message]:
    """What the client was told: all of it, or one type."""
    messages = [event.data["data"] for event in call.of("message")]
    return [message for message in messages if kind in (None, message["type"])]


def kinds(call: SimulatedCall) -> list[str]:
    return [message["type"] for message in told(call)]


def in_order(wanted: list[str], had: list[str]) -> bool:
    """Whether `wanted` came in this order, with anything in between."""
    rest = iter(had)
    return all(kind in rest for kind in wanted)


async def greets(call: Call) -> None:
    agent = await voice(call, greeting="Hello there.", texts=["a table please"], replies=["For which day?"])
    await agent.start()


def test_a_client_that_says_ready_is_told_that_the_bot_is_and_what_happens() -> None:
    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.say(PEOPLE)
        await line.silence(1.0)

    call = simulate(greets, caller)
    bot_ready = told(call)[0]
    assert (bot_ready["label"], bot_ready["type"], bot_ready["id"]) == ("rtvi-ai", "bot-ready", "ready-1")
    assert bot_ready["data"]["version"].startswith("2.")
    assert bot_ready["data"]["capabilities"]["audio_in"] is True
    answer = [
        "user-started-speaking",
        "user-transcription",
        "user-stopped-speaking",
        "bot-llm-started",
        "bot-llm-text",
        "bot-llm-stopped",
        "bot-stopped-speaking",
    ]
    assert in_order(answer, kinds(call))
    spoken = ["bot-tts-started", "bot-started-speaking", "bot-output", "bot-tts-text", "bot-stopped-speaking"]
    assert in_order(spoken, kinds(call))
    [transcript] = told(call, "user-transcription")
    assert transcript["data"]["text"] == "a table please"
    assert transcript["data"]["final"] is True
    assert "".join(each["data"]["text"] for each in told(call, "bot-llm-text")) == "For which day?"
    assert [each["data"]["text"] for each in told(call, "bot-transcription")] == ["For which day?"]
    assert "For which day?" in [each["data"]["text"] for each in told(call, "bot-tts-text")]
    spoken_to_its_end = [
        each["data"] for each in told(call, "bot-output") if each["data"]["spoken_status"] == "completed"
    ]
    assert [each["text"] for each in spoken_to_its_end][-1] == "For which day?"


def test_a_client_of_another_kind_is_told_nothing() -> None:
    async def caller(line: CallerLine) -> None:
        line.send({"type": "client-ready"})
        line.send(says("client-message", {"t": "hi"}))  # of a client that has not said that it is ready
        await line.say(PEOPLE)
        await line.silence(1.0)

    assert told(simulate(greets, caller)) == []


def test_words_are_told_as_they_are_heard_and_what_was_cut_off_is_not_told_as_spoken() -> None:
    sentence = "We have a table by the window and another one out on the terrace."

    async def bot(call: Call) -> None:
        await (await voice(call, greeting=sentence, tts=ToneTTS(words=True))).start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.speech()
        await line.pause(1.5)
        await line.say(PEOPLE)

    call = simulate(bot, caller)
    outputs = [each["data"] for each in told(call, "bot-output")]
    assert outputs[0]["spoken_status"] == "new"
    assert outputs[0]["spoken_progress"] == {"accumulated_text": "", "remaining_text": sentence}
    progress = [each["spoken_progress"]["accumulated_text"] for each in outputs[1:]]
    assert 3 < len(progress) < 12, "1.5 s of it were heard, and some of the caller's first word"
    assert all(sentence.startswith(text) for text in progress)
    heard = texts(call, "bot")[0]
    assert len(progress[-1]) <= len(heard) + 12
    assert told(call, "bot-interrupted")


def test_a_client_of_the_first_protocol_is_answered_in_it() -> None:
    async def caller(line: CallerLine) -> None:
        line.send(ready("1.4.0"))
        await line.silence(2.0)

    call = simulate(greets, caller)
    assert told(call, "bot-ready")[0]["data"]["version"] == "1.4.0"
    assert not told(call, "error-response")


@pytest.mark.parametrize(
    ("version", "why"), [("7.0.0", "not compatible"), ("new", "format"), (None, "format")]
)
def test_a_client_of_an_unknown_protocol_is_told_so_and_served(version: Any, why: str) -> None:
    async def caller(line: CallerLine) -> None:
        line.send(says("client-ready", {"version": version}))
        await line.silence(1.0)

    call = simulate(greets, caller)
    assert why in told(call, "error-response")[0]["data"]["error"]
    assert told(call, "bot-ready")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (says("describe-actions"), "Unsupported type describe-actions"),
        (ready("9" * 5000 + ".0.0"), "Invalid client version format"),
        (says("send-text", {"text": "hi"}), "Invalid send-text: content"),
        (says("dtmf", {"buttons": ["x"]}), "Invalid dtmf"),
        ({"label": "rtvi-ai", "type": "send-text"}, "Invalid message: id"),
        ({"label": "rtvi-ai", "type": "send-text", "id": "1", "data": [1]}, "Invalid message: data"),
    ],
)
def test_a_message_that_means_nothing_is_answered_with_what_is_wrong(message: Message, why: str) -> None:
    async def caller(line: CallerLine) -> None:
        line.send(ready())
        line.send(message)
        await line.silence(1.0)

    call = simulate(greets, caller)
    [error] = told(call, "error-response")
    assert why in error["data"]["error"]
    call.assert_said("Hello there.")


def test_what_is_typed_cuts_the_bot_off_and_is_answered_as_a_turn_of_the_caller() -> None:
    contexts: list[list[Any]] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello, " * 20, replies=["I see."])
        await agent.start()
        assert agent.context is not None
        contexts.append(agent.context.get_messages())

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.speech()
        await line.pause(1.0)
        line.send(says("send-text", {"content": "four people"}, message_id="typed-1"))
        await line.until("I see.")

    call = simulate(bot, caller)
    assert texts(call, "user") == ["four people"]
    call.assert_interrupted(turn=0)
    [chat] = told(call, "user-input")
    assert (chat["data"]["text"], chat["data"]["input_type"], chat["data"]["msg_id"]) == (
        "four people",
        "chat",
        "typed-1",
    )
    roles = [message["role"] for message in contexts[0] if message["role"] != "system"]
    assert roles == ["assistant", "user", "assistant"], "what was heard stands ahead of what was typed"


def test_an_answer_that_is_to_be_read_is_written_and_not_spoken() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.", replies=["In writing.", "Aloud."])
        await agent.start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.silence(1.5)
        line.send(says("send-text", {"content": "quietly", "options": {"audio_response": False}}))
        await line.silence(2.0)
        line.send(says("send-text", {"content": "aloud"}))
        await line.until("Aloud.")

    call = simulate(bot, caller)
    written = "".join(each["data"]["text"] for each in told(call, "bot-llm-text"))
    assert written == "In writing.Aloud."
    assert [each["data"]["text"] for each in told(call, "bot-tts-text")] == ["Hello.", "Aloud."]


def test_the_author_hears_of_a_clients_messages_and_may_reply() -> None:
    heard: list[ClientMessage] = []
    frames: list[RTVIClientMessageFrame] = []

    class Listens(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, RTVIClientMessageFrame):
                frames.append(frame)
                await self.push_frame(RTVIServerMessageFrame(data={"from": "a stage"}))
            await self.push_frame(frame, direction)

    async def bot(call: Call) -> None:
        def message(what: ClientMessage) -> None:
            heard.append(what)
            what.reply({"seats": 4})

        call.on("message", message)
        call.on("message", lambda _: call.send_message({"from": "the author"}))
        agent = await voice(call, greeting="Hello.")
        agent.pipeline.insert("listens", Listens(), after="stt", wants_audio=False)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        line.send(says("client-message", {"t": "seats", "d": {"day": "Friday"}}, message_id="c-1"))
        await line.silence(2.0)

    call = simulate(bot, caller)
    assert [(each.type, each.data) for each in heard] == [("seats", {"day": "Friday"})]
    assert [(each.msg_id, each.type, each.data) for each in frames] == [("c-1", "seats", {"day": "Friday"})]
    [response] = told(call, "server-response")
    assert (response["id"], response["data"]) == ("c-1", {"t": "seats", "d": {"seats": 4}})
    sent = [each["data"]["from"] for each in told(call, "server-message")]
    assert sorted(sent) == ["a stage", "the author"]


def test_messages_of_other_clients_reach_the_author_as_they_are() -> None:
    heard: list[ClientMessage] = []

    async def bot(call: Call) -> None:
        call.on("message", heard.append)
        call.on("message", lambda _: call.send_message({"thank": "you"}))
        await (await voice(call, greeting="Hello.")).start()

    async def caller(line: CallerLine) -> None:
        line.send({"table": 4})
        await line.silence(1.0)

    call = simulate(bot, caller)
    assert [(each.type, each.data) for each in heard] == [(None, {"table": 4})]
    assert [event.data["data"] for event in call.of("message")] == [{"thank": "you"}]
    with pytest.raises(RuntimeError, match="send_message"):
        heard[0].reply({})


def test_a_client_may_press_keys_and_have_the_bot_hang_up() -> None:
    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.silence(1.0)
        line.send(says("dtmf", {"buttons": ["1", "#"]}))
        line.send(says("disconnect-bot", {}))
        await line.pause(30)

    simulate(greets, caller).assert_ended(EndReason.AGENT_HANGUP)


def test_the_use_of_a_tool_is_told_without_its_name_as_pipecat_does_unless_asked() -> None:
    async def bot(call: Call) -> None:
        async def look_up(params: FunctionCallParams) -> None:
            """Look something up."""
            await params.result_callback({"found": True})

        replies: list[Reply] = [("look_up", {}), "Here it is."]
        await (await voice(call, texts=["a table"], replies=replies, tools=[look_up])).start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.say(PEOPLE)
        await line.until("Here it is.")

    call = simulate(bot, caller)
    uses = ["llm-function-call-started", "llm-function-call-in-progress", "llm-function-call-stopped"]
    assert in_order(uses, kinds(call))
    [used] = told(call, "llm-function-call-stopped")
    assert (used["data"]["cancelled"], "function_name" in used["data"]) == (False, False)


def test_a_provider_that_fails_is_told_as_an_error_that_does_not_end_the_call() -> None:
    async def bot(call: Call) -> None:
        replies: list[Reply] = [*2 * [RuntimeError("429")], "Here I am."]  # nobody hears of the one ahead
        await (await voice(call, texts=["four people"], replies=replies)).start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.say(PEOPLE)
        await line.until("Here I am.")

    [error] = told(simulate(bot, caller), "error")
    assert "429" in error["data"]["error"]
    assert error["data"]["fatal"] is False


def test_a_model_that_writes_faster_than_anybody_reads_costs_the_client_no_word() -> None:
    long = "and so on " * 300

    async def bot(call: Call) -> None:
        await (await voice(call, texts=["tell me"], replies=[long.strip()])).start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.say(PEOPLE)
        await line.pause(10)

    call = simulate(bot, caller)
    written = told(call, "bot-llm-text")
    assert "".join(each["data"]["text"] for each in written) == long.strip()
    times = [event.at for event in call.of("message")]
    busiest = max(sum(at <= other < at + 1 for other in times) for at in times)
    assert busiest < 100, "what the gateway takes in a second, at the least"


def test_another_instance_that_takes_the_call_over_goes_on_telling_the_client() -> None:
    known: list[dict[str, Any]] = []

    async def first(call: Call) -> None:
        def keep(message: AgentMessage) -> None:
            if isinstance(message, Checkpoint):
                known.append(message.state)

        hear_posts(call, keep)
        await greets(call)

    async def second(call: Call) -> None:
        known_version = ResumableState(messages=[], state={}, rtvi=known[-1]["rtvi"])
        state_of(call).resume(known_version)  # as a session does that resumes a call
        await greets(call)

    async def says_ready(line: CallerLine) -> None:
        line.send(ready("1.4.0"))
        await line.silence(2.0)

    async def has_said_it_before(line: CallerLine) -> None:
        await line.silence(2.0)

    simulate(first, says_ready)
    assert known[-1]["rtvi"] == "1.4.0"
    assert in_order(["bot-started-speaking", "bot-output"], kinds(simulate(second, has_said_it_before)))


def test_metrics_are_told_where_the_author_has_switched_them_on() -> None:
    class MeasuredTTS(ToneTTS):
        def can_generate_metrics(self) -> bool:
            return True

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=MeasuredTTS(), enable_metrics=True)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.silence(2.0)

    call = simulate(bot, caller)
    assert "ttfb" in {key for message in told(call, "metrics") for key in message["data"]}
    assert told(call, "bot-ready")[0]["data"]["capabilities"]["metrics"] is True


def test_a_bot_with_pipecats_own_processor_is_left_to_it() -> None:
    from pipecat.processors.frameworks.rtvi import RTVIProcessor

    started: list[str] = []

    async def bot(call: Call) -> None:
        rtvi = RTVIProcessor()

        async def client_ready(processor: RTVIProcessor) -> None:
            started.append("client")
            await processor.set_bot_ready()

        rtvi.add_event_handler("on_client_ready", client_ready)
        agent = await voice(call, greeting="Hello.")
        agent.pipeline.insert("rtvi", rtvi, after="transport_in", wants_audio=False)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        line.send(ready())
        await line.silence(2.0)

    call = simulate(bot, caller)
    assert started == ["client"]
    assert kinds(call) == ["bot-ready"]
