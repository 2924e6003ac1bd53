"""When the bot answers: callers who pause in the middle of what they say, with real ears. In virtual time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate
from piopiy_pipeline.turns.turn_end_policy import TurnWaits
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_watching import Watcher
from tests.support.bots import voice
from tests.support.calls import AUDIO
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")

PAUSES = AUDIO / "pauses"
RATE = 16_000
MARGIN = RATE // 5  # of silence around each recording


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("piopiy_pipeline.services.stt.moonshine_worker", name="turn-ends", size=1)
    yield pool
    pool.close()


def paused(pause_s: float, *names: str) -> NDArray[np.int16]:
    """Return recordings with a pause of this length between them."""
    parts = [read_wav(next(PAUSES.glob(f"*-{name}.wav")), RATE)[MARGIN:-MARGIN] for name in names]
    silence, edge = np.zeros(int(pause_s * RATE), np.int16), np.zeros(MARGIN, np.int16)
    joined = [edge, parts[0]]
    for part in parts[1:]:
        joined += [silence, part]
    return np.concatenate([*joined, edge])


def called(
    pool: WorkerPool, question: str, speech: NDArray[np.int16], **action: Any
) -> tuple[SimulatedCall, list[dict[str, Any]]]:
    """Have a caller answer a question. Returns the call, and the `latency` events."""

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=question, call=call)
        stt = MoonshineSTTService(pool=pool)
        replies = ScriptedLLM(["Thank you.", "Thank you very much."])
        await agent.Action(stt=stt, llm=replies, tts=ToneTTS(), **action)
        await agent.start()

    watcher = Watcher(bot)
    call = simulate(watcher, Caller().say(speech, text="what is said"))
    return call, watcher.of("latency")


@pytest.mark.parametrize(
    ("question", "names", "reason"),
    [
        ("What is your phone number, please?", ("number", "number_goes_on"), "(digits)"),
        ("And what is your address?", ("address", "address_goes_on"), "dictated"),
        ("How can I help you?", ("and", "and_goes_on"), "nothing tells"),
    ],
)
@pytest.mark.three_services("its ears are an STT")
def test_a_caller_who_pauses_in_the_middle_is_not_interrupted(
    pool: WorkerPool, question: str, names: tuple[str, str], reason: str
) -> None:
    speech = paused(0.7, *names)
    call, latencies = called(pool, question, speech)
    assert len(texts(call, "user")) == 1, "one turn"
    assert texts(call, "bot") == [question, "Thank you."]
    assert reason in latencies[0]["turn_reason"]
    cut, _ = called(pool, question, speech, turns=0.5)
    assert len(texts(cut, "user")) == 2, "a fixed silence of 0.5 s takes the pause for the end"


@pytest.mark.three_services("its ears are an STT")
def test_a_slow_closed_answer_is_waited_for_and_then_answered_at_once(pool: WorkerPool) -> None:
    call, latencies = called(pool, "Is that right?", paused(0.8, "um", "yes"))
    assert texts(call, "bot") == ["Is that right?", "Thank you."]
    (told,) = latencies
    assert told["turn_reason"] == "a bare yes or no (yes_no)"
    assert told["silence_s"] + told["stt_s"] + told["turn_s"] < 0.4
    _, latencies = called(pool, "Is that right?", paused(0.8, "um", "yes"), turns=0.8)
    assert latencies[0]["turn_wait_s"] == 0.8
    assert latencies[0]["silence_s"] + latencies[0]["stt_s"] + latencies[0]["turn_s"] == pytest.approx(
        0.8, abs=0.06
    )


@pytest.mark.three_services("its ears are an STT")
def test_the_same_call_with_the_question_of_the_author(pool: WorkerPool) -> None:
    """Nothing in "Please go on" says that it is a yes/no question, and the author does."""

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Please go on.", call=call)
        await agent.Action(stt=MoonshineSTTService(pool=pool), llm=ScriptedLLM(["Thank you."]), tts=ToneTTS())
        agent.expect("yes_no")
        await agent.start()

    watcher = Watcher(bot)
    call = simulate(watcher, Caller().say(YES))
    reason = "the question is answered (yes_no)"
    assert watcher.of("latency")[0]["turn_reason"] == reason
    [text] = texts(call, "user")
    assert watcher.of("user_turn") == [{"text": text, "turn_wait_s": 0.2, "turn_reason": reason}]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("six digits", ValueError, "'digits:6', not 'six digits'"),
        ("digits:99", ValueError, "not 'digits:99'"),
        (6, TypeError, "a text such as 'yes_no' or 'digits:6', not 6"),
    ],
)
def test_an_answer_that_nobody_can_expect_is_refused(answer: Any, error: type[Exception], words: str) -> None:
    async def bot(call: Call) -> None:
        with pytest.raises(error, match=re.escape(words)):
            call.expect(answer)
        await call.hangup()

    assert simulate(bot, Caller()).end_reason == "agent_hangup"


def test_an_answer_is_expected_only_where_the_policy_ends_turns() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=1.0)
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(["Fine."]), tts=ToneTTS(), turns=stop)
        with pytest.raises(RuntimeError, match="a strategy of pipecat's ends the turns"):
            agent.pipeline.expect("yes_no")
        await agent.start()

    simulate(bot, Caller().say(YES))


def test_strategies_of_pipecat_decide_where_an_author_gives_them() -> None:
    seen: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=1.0)
        pipeline = await agent.Action(
            stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(["Fine."]), tts=ToneTTS(), turns=stop
        )
        seen.append(pipeline.turn_end)
        await agent.start()

    watcher = Watcher(bot)
    call = simulate(watcher, Caller().say(YES))
    assert texts(call, "bot") == ["Fine."]
    assert seen == [None]
    (told,) = watcher.of("latency")
    assert "turn_reason" not in told
    assert told["turn_s"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.three_services("its ears are an STT")
def test_smart_turn_shortens_the_wait_where_it_is_sure_and_the_words_tell_nothing(pool: WorkerPool) -> None:
    shortened = 0
    for name in ("hours/02-close", "no_wait/02-goes_on"):  # where a processor adds otherwise, one has a comma
        speech = read_wav(AUDIO / f"{name}.wav", RATE)
        _, latencies = called(pool, "How can I help you?", speech)
        if latencies[0]["turn_reason"] != "nothing tells":
            continue
        _, latencies = called(pool, "How can I help you?", speech, turns=TurnWaits(smart_turn=True))
        assert latencies[0]["turn_reason"] == "the words tell nothing, and it sounds finished"
        assert latencies[0]["turn_wait_s"] == TurnWaits().finished
        shortened += 1
    assert shortened


def test_smart_turn_is_refused_without_the_pipelines_own_vad() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        services: Any = {"stt": ScriptedSTT([]), "llm": ScriptedLLM([]), "tts": ToneTTS()}
        with pytest.raises(
            ValueError, match=r"needs the pipeline's own VAD stage|without a VAD nothing tells"
        ):
            await agent.Action(**services, vad=False, turns=TurnWaits(smart_turn=True))
        await call.hangup()

    simulate(bot, Caller())


@pytest.mark.parametrize("turns", ["quick", 0, -1.0, True, 60])
def test_turns_that_cannot_be_are_refused(turns: Any) -> None:
    refused: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        try:
            await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS(), turns=turns)
        except ValueError as error:
            refused.append(str(error))
        try:
            await agent.Action(
                stt=ScriptedSTT([]),
                llm=ScriptedLLM([]),
                tts=ToneTTS(),
                turns=ExternalUserTurnStrategies(),
                interruption="immediate",
            )
        except ValueError as error:
            refused.append(str(error))

    simulate(bot, Caller())
    assert "it is 'smart', 'fast', seconds from 0 to 5" in refused[0]
    assert "either turns or interruption" in refused[1]


def test_an_older_way_to_say_it_works_together_with_turns() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, texts=["yes"], replies=["Fine."], greeting="Hello.")
        await agent.start()

    call = simulate(bot, Caller().say(YES))
    assert texts(call, "bot") == ["Hello.", "Fine."]
