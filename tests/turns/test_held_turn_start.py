"""Sounds over the bot's speech, in whole calls: what it costs the caller, to the sample. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, TTSAudioRawFrame

from piopiy_pipeline.audio.fade import fade_out, without
from piopiy_pipeline.call import Turn
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerLine, SimulatedCall, simulate
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import SECONDS_A_CHARACTER, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, texts

RECORDINGS = Path(__file__).parent / "recordings"
COUGH, DOOR, MHM, NO_WAIT = (RECORDINGS / f"{name}.wav" for name in ("cough", "door", "mhm", "no_wait"))
LONG = "We have a table by the window and another one out on the terrace under the old lime trees."
RATE = 16000


class NoiseTTS(ToneTTS):
    """Says each text as a noise of its own, of which no two samples are alike, with the times of its words."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        n = int(SECONDS_A_CHARACTER * len(text) * self.sample_rate)
        pcm = np.random.default_rng(len(text)).integers(-9000, 9000, n).astype("<i2")
        at = 0
        async for frame in super().run_tts(text, context_id):
            if isinstance(frame, TTSAudioRawFrame):
                size = len(frame.audio) // 2
                frame.audio = pcm[at : at + size].tobytes()
                at += size
            yield frame


@dataclass
class Seen:
    """What a call has shown."""

    call: SimulatedCall
    heard_in_full: list[bool]
    contexts: list[list[Any]]
    requests: int
    backchannels: list[Turn] = field(default_factory=list)
    transcript: tuple[Turn, ...] = ()

    @property
    def spoken(self) -> NDArray[np.int16]:
        """What was heard of the bot, from its first sample to its last."""
        heard = np.flatnonzero(self.call.bot_audio)
        return self.call.bot_audio[heard[0] : heard[-1] + 1] if heard.size else self.call.bot_audio[:0]

    def context(self, role: str) -> list[str]:
        return [m["content"] for m in self.contexts[-1] if m["role"] == role]


Script = Callable[[CallerLine], Any]


def call_with(
    caller: Script | Caller,
    *,
    hears: tuple[str, ...] = (),
    replies: tuple[str, ...] = ("Of course.",),
    words: bool = True,
    interruptible: bool = True,
    line: str = LONG,
    **options: Any,
) -> Seen:
    """Call a bot that says `line` when it is called, and hangs up soon after that was heard."""
    heard: list[bool] = []
    contexts: list[list[Any]] = []
    backchannels: list[Turn] = []
    transcripts: list[tuple[Turn, ...]] = []
    llm = ScriptedLLM(replies)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle_timeout_secs=6)
        await agent.Action(stt=ScriptedSTT(hears), llm=llm, tts=NoiseTTS(words=words), **options)

        async def speak(_: object) -> None:
            heard.append(await agent.say(line, interruptible=interruptible))

        agent.on("answered", speak)
        agent.on("backchannel", backchannels.append)
        await agent.start()
        assert agent.context is not None
        contexts.append(list(agent.context.get_messages()))
        transcripts.append(tuple(call.transcript))

    call = simulate(bot, caller)
    return Seen(call, heard, contexts, len(llm.asked), backchannels, transcripts[-1])


def at_1_5_s(sound: Any, *, then: float = 12.0) -> Script:
    async def caller(line: CallerLine) -> None:
        await line.at(1.5)
        await line.say(sound)
        await line.at(then)

    return caller


def undisturbed(**options: Any) -> NDArray[np.int16]:
    async def listener(line: CallerLine) -> None:
        await line.at(12.0)

    return call_with(listener, **options).spoken


def assert_nothing_lost(seen: Seen, whole: NDArray[np.int16]) -> int:
    """Assert that what was heard is the whole, but for a fade, a silence, and what was said once more.

    Returns the sample from which it went on.
    """
    heard = seen.spoken
    differs = np.flatnonzero(heard[: whole.size] != whole)
    assert differs.size, "nothing was held"
    held = int(differs[0]) // 320 * 320
    frame = whole[held : held + 320].astype("<i2").tobytes()
    faded = np.frombuffer(fade_out(frame), "<i2")
    assert np.array_equal(heard[held : held + 320], faded), "it fades out over 20 ms"
    silent = held + 320
    resumed = silent + int(np.flatnonzero(heard[silent:])[0])
    rest = heard[resumed:]
    begins = whole.size - rest.size
    assert np.array_equal(rest[320:], whole[begins + 320 :]), "what follows is the rest, to the sample"
    assert begins <= held + 1, "nothing is lost"
    assert held - begins < 1.2 * RATE, "no more than a word is said again"
    again = np.frombuffer(without(whole[begins : begins + 320].astype("<i2").tobytes(), b""), "<i2")
    assert (np.abs(rest[:320]) <= np.abs(again)).all(), "it fades in"
    return begins


@pytest.mark.parametrize("sound", [COUGH, MHM], ids=["cough", "mhm without words"])
@pytest.mark.parametrize("words", [True, False], ids=["word times", "no word times"])
def test_a_cough_costs_the_caller_no_sample_of_the_speech(sound: Any, words: bool) -> None:
    seen = call_with(at_1_5_s(sound), words=words)
    assert_nothing_lost(seen, undisturbed(words=words))
    assert seen.heard_in_full == [True]
    assert seen.requests == 0
    assert texts(seen.call, "user") == []
    assert texts(seen.call, "bot") == [LONG]
    assert not seen.call.of("interruption")
    assert [event.data["verdict"] for event in seen.call.of("barge_in")] == ["resume"] * len(
        seen.call.of("hold")
    )
    assert seen.context("assistant") == [LONG]


def test_the_word_that_was_cut_is_said_again_from_its_beginning() -> None:
    begins = assert_nothing_lost(call_with(at_1_5_s(MHM)), undisturbed()) / RATE / SECONDS_A_CHARACTER
    starts = [0.0] + [n + 1.0 for n, letter in enumerate(LONG) if letter == " "]
    assert min(abs(begins - start) for start in starts) < 0.05, "in letters"


def test_a_door_is_not_even_noticed() -> None:
    seen = call_with(at_1_5_s(DOOR))
    assert np.array_equal(seen.spoken, undisturbed())
    assert not seen.call.of("hold")


def test_who_says_mhm_listens_and_the_model_learns_nothing_of_it() -> None:
    async def caller(line: CallerLine) -> None:
        for second in (1.2, 2.8, 4.2):
            await line.at(second)
            await line.say(MHM)
        await line.at(14.0)

    seen = call_with(caller, hears=("Mhm.", "Uh-huh.", "Yeah."))
    assert seen.heard_in_full == [True]
    assert seen.requests == 0
    assert seen.context("user") == []
    assert seen.context("assistant") == [LONG]
    assert [turn.text for turn in seen.backchannels] == ["Mhm.", "Uh-huh.", "Yeah."]
    assert all(turn.backchannel and turn.role == "user" for turn in seen.backchannels)
    assert [turn.text for turn in seen.transcript if turn.backchannel] == ["Mhm.", "Uh-huh.", "Yeah."]
    assert [event.data["text"] for event in seen.call.of("backchannel")] == ["Mhm.", "Uh-huh.", "Yeah."]
    assert not seen.call.of("interruption")
    assert not seen.call.of("user_turn")


def test_no_wait_interrupts_and_the_context_holds_what_was_heard() -> None:
    seen = call_with(at_1_5_s(NO_WAIT), hears=("No, wait.",), replies=("Yes?",))
    assert seen.heard_in_full == [False]
    assert seen.requests == 1
    assert seen.context("user") == ["No, wait."]
    said = seen.context("assistant")
    assert LONG.startswith(said[0])
    assert len(said[0].split()) in (6, 7), "1.6 s of it were heard, at 60 ms a letter"
    assert said[1:] == ["Yes?"]
    (hold,), (cut,) = seen.call.of("hold"), seen.call.of("interruption")
    speech = seen.call.of("user_speech")[0]
    assert hold.at - speech.at < 0.2
    assert cut.at - hold.at < 1.2
    silence = seen.call.bot_audio[int((hold.at + 0.041) * RATE) : int(cut.at * RATE)]
    assert not silence.any(), "it does not speak while it is decided"


def test_who_speaks_on_interrupts_before_a_word_is_known() -> None:
    seen = call_with(at_1_5_s(PEOPLE), hears=("I would like to book a table for four people.",))
    (hold,), (cut,) = seen.call.of("hold"), seen.call.of("interruption")
    assert cut.at - hold.at < 1.9
    assert cut.at < seen.call.of("vad_stopped")[0].at
    assert seen.context("user") == ["I would like to book a table for four people."]
    assert seen.requests == 1


def test_words_that_come_after_the_bot_has_gone_on_still_interrupt() -> None:
    from piopiy_pipeline.testing import ScriptedSTT as HarnessSTT
    from piopiy_pipeline.testing import Transcripts

    heard: list[bool] = []
    contexts: list[list[Any]] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle_timeout_secs=6)
        slow = HarnessSTT(Transcripts(texts=["No, wait."], latency=1.5))
        await agent.Action(stt=slow, llm=ScriptedLLM(["Yes?"]), tts=NoiseTTS(words=True))

        async def speak(_: object) -> None:
            heard.append(await agent.say(LONG))

        agent.on("answered", speak)
        await agent.start()
        assert agent.context is not None
        contexts.append(list(agent.context.get_messages()))

    call = simulate(bot, at_1_5_s(NO_WAIT))
    assert heard == [False]
    assert call.of("resume")[0].at < call.of("interruption")[0].at
    assert [m["content"] for m in contexts[0] if m["role"] == "user"] == ["No, wait."]


def test_a_yeah_to_a_question_that_is_nearly_over_is_a_turn() -> None:
    question = "Shall I book the table for four at seven?"
    over = len(question) * SECONDS_A_CHARACTER

    async def caller(line: CallerLine) -> None:
        await line.at(over - 0.2)
        await line.say(MHM)
        await line.at(9.0)

    seen = call_with(caller, line=question, hears=("Yeah.",), replies=("Done.",))
    assert seen.context("user") == ["Yeah."]
    assert seen.requests == 1


def test_a_hum_in_a_turn_of_the_callers_takes_nothing_of_it_away() -> None:
    """The bot speaks into the caller's turn, as a filler or an announcement of the author's may."""
    heard: list[bool] = []
    contexts: list[list[Any]] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        stt = ScriptedSTT(["I want a table", "mhm"])
        await agent.Action(stt=stt, llm=ScriptedLLM(["Fine."]), tts=NoiseTTS(words=True), turns=0.8)

        async def speak(_: object) -> None:
            await asyncio.sleep(2.0)
            heard.append(await agent.say("One moment, please, I am looking for it."))

        agent.on("answered", speak)
        await agent.start()
        assert agent.context is not None
        contexts.append(list(agent.context.get_messages()))

    async def caller(line: CallerLine) -> None:
        await line.at(0.2)
        await line.say(PEOPLE)
        await line.pause(0.3)
        await line.say(MHM)
        await line.at(9.0)

    simulate(bot, caller)
    assert [m["content"] for m in contexts[0] if m["role"] == "user"] == ["I want a table mhm"]


def test_a_hold_that_finds_nothing_to_play_does_not_keep_the_answer() -> None:
    """The caller speaks as the bot comes to the end of its last word."""
    short = "How many?"
    over = len(short) * SECONDS_A_CHARACTER

    async def caller(line: CallerLine) -> None:
        await line.at(over - 0.12)
        await line.say(PEOPLE)
        await line.at(9.0)

    seen = call_with(caller, line=short, hears=("For four people.",), replies=("Fine.",))
    turn = seen.call.of("user_turn")[0]
    answer = next(event for event in seen.call.of("bot_audio") if event.at > turn.at)
    assert answer.at - turn.at < 0.1
    assert seen.context("user") == ["For four people."]


def test_one_policy_serves_many_calls() -> None:
    policy = BargeInPolicy()
    for _ in range(2):
        seen = call_with(at_1_5_s(COUGH), interruption=policy)
        assert seen.heard_in_full == [True]
    assert not policy.under_way


def test_what_is_spared_is_not_held_and_the_turn_begins_nevertheless() -> None:
    seen = call_with(at_1_5_s(NO_WAIT), hears=("No, wait.",), interruptible=False)
    assert seen.heard_in_full == [True]
    assert not seen.call.of("hold")
    assert seen.context("user") == ["No, wait."]


def test_a_cough_over_what_is_spared_is_nothing() -> None:
    seen = call_with(at_1_5_s(COUGH), interruptible=False)
    assert np.array_equal(seen.spoken, undisturbed())
    assert seen.requests == 0


def test_the_last_sentence_is_heard_in_full_although_it_was_held_when_the_end_came() -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(stt=ScriptedSTT(()), llm=ScriptedLLM(()), tts=NoiseTTS(words=True))

        async def speak(_: object) -> None:
            await agent.hangup(final=True)
            heard.append(await agent.say(LONG))

        agent.on("answered", speak)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        for second in (1.0, 2.2, 3.4, 4.6):
            await line.at(second)
            await line.say(MHM)
        await line.at(20.0)

    call = simulate(bot, caller)
    assert heard == [True]
    assert call.of("resume")
