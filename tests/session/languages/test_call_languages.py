"""A call whose caller speaks another language: what follows, when, and what the next agent knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.flows import ContextStrategy, ContextStrategyConfig, FlowManager
from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.settings import STTSettings, TTSSettings

from piopiy_pipeline.call import LanguageChange
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.session.languages.language_evidence import LanguageEvidence, word_count
from piopiy_pipeline.session.languages.language_guess import guess_language, load_guesser
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage
from piopiy_pipeline.session.model.language_note import with_language_note
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.testing import AgentLoss, Caller, Replies, ScriptedLLM, Tool, simulate
from piopiy_pipeline.tools import Persona
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.services import ScriptedSTT, ToneTTS

pytest.importorskip("py3langid")

RECORDING = AUDIO / "booking/01-people.wav"
GERMAN = "Guten Tag, ich möchte gerne einen Tisch reservieren."
ENGLISH = "Sorry, I would rather speak English with you."


class Voice(ToneTTS):
    """Keeps with which voice and in which language each sentence was said."""

    def __init__(self, spoken: list[tuple[str, str, str]]) -> None:
        super().__init__()
        self.spoken = spoken
        self._settings = TTSSettings(model=None, voice="ann", language="en")

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        settings: Any = self.settings
        self.spoken.append((str(settings.voice), str(settings.language), text))
        async for frame in super().run_tts(text, context_id):
            yield frame


class Desk:
    """A bot of two languages, and what became of them."""

    def __init__(self, *heard: str, **german: Any) -> None:
        self.heard = heard
        self.german = SpokenLanguage(**({"voice": "katja"} | german))
        self.spoken: list[tuple[str, str, str]] = []
        self.changes: list[LanguageChange] = []
        self.messages: list[Any] = []
        self.languages: list[str] = []
        self.stt: list[ScriptedSTT] = []

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", greeting="Hello.", languages={"en": None, "de": self.german}
        )
        agent.on("language", self.changes.append)
        llm = ScriptedLLM(Replies(otherwise="Aha.", beside="They talked."))
        stt = ScriptedSTT(list(self.heard))
        stt._settings = STTSettings(model=None, language="en")
        self.stt.append(stt)
        await agent.Action(stt=stt, llm=llm, tts=Voice(self.spoken))
        try:
            await agent.start()
        finally:
            assert agent.context is not None
            self.messages = list(agent.context.get_messages())
            self.languages.append(call.language)


def talk(*words: str) -> Caller:
    caller = Caller()
    for each in words:
        caller = caller.say(each).pause(1)
    return caller


def test_voice_recogniser_and_model_follow_before_the_answer() -> None:
    desk = Desk(GERMAN, ENGLISH, says="Gerne auf Deutsch.")
    call = simulate(desk, Caller().say(RECORDING).say(RECORDING))
    assert [(each.language, each.before, each.how) for each in desk.changes] == [
        ("de", "en", "words"),
        ("en", "de", "words"),
    ]
    assert desk.spoken[0] == ("ann", "en", "Hello.")
    assert ("katja", "de", "Gerne auf Deutsch.") in desk.spoken
    assert ("katja", "de", "Aha.") in desk.spoken
    assert desk.spoken[-1] == ("ann", "en", "Aha.")
    notes = [message["content"] for message in desk.messages if message["role"] == "developer"]
    assert notes == [
        "The caller speaks German. Answer in German from now on.",
        "The caller speaks English. Answer in English from now on.",
    ]
    first = next(at for at, message in enumerate(desk.messages) if message["content"] == GERMAN)
    assert desk.messages[first - 1]["content"] == notes[0], "the model knows it when it reads the turn"
    assert [event.data["language"] for event in call.of("language")] == ["de", "en"]


def test_a_text_chat_follows_by_its_words_and_one_foreign_word_changes_nothing() -> None:
    desk = Desk(instructions="Antworte auf Deutsch.")
    simulate(desk, talk("Merci!", "A table for four, please.", "Danke", GERMAN), by="text")
    assert [each.language for each in desk.changes] == ["de"]
    assert desk.messages[-3]["content"] == "Antworte auf Deutsch."
    assert desk.languages == ["de"]


@pytest.mark.parametrize(
    "text",
    [
        "It is Jean Pierre Dubois rue de la Paix Paris",
        "Restaurant Bordeaux menu du jour please",
        "We had sauerbraten and spätzle at Oktoberfest",
        "Schadenfreude and Kindergarten are nice",
        "Buongiorno, vorrei prenotare un tavolo per quattro persone domani sera",
        "Buenos días, quisiera reservar una mesa para cuatro personas",
        "Goedemiddag, ik wil graag een tafel reserveren voor vier personen",
    ],
)
def test_names_and_a_language_that_is_not_offered_change_nothing(text: str) -> None:
    asyncio.run(load_guesser())
    known = LanguageEvidence(("en", "de", "fr"), "en")
    guess = guess_language(text, ("en", "de", "fr"))
    assert known.heard(word_count(text), reported=None, guess=guess) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Guten Tag, ich möchte gerne einen Tisch für vier Personen bestellen", "de"),
        ("Ich spreche leider kein Englisch", "de"),
        ("Bonjour, je voudrais réserver une table pour quatre personnes", "fr"),
        ("Est-ce que vous parlez français s'il vous plaît", "fr"),
        ("你好，我想预订明天晚上的位子", "zh"),
        ("明日の夜、四人で予約したいのですが", "ja"),
        ("ต้องการจองโต๊ะสำหรับสี่คนพรุ่งนี้เย็น", "th"),
    ],
)
def test_one_plain_sentence_is_enough(text: str, language: str) -> None:
    asyncio.run(load_guesser())
    languages = ("en", "de", "fr", "zh", "ja", "th")
    known = LanguageEvidence(languages, "en")
    guess = guess_language(text, languages)
    assert known.heard(word_count(text), reported=None, guess=guess) == language


def test_a_call_changes_its_language_a_bounded_number_of_times() -> None:
    desk = Desk()
    simulate(desk, talk(*[GERMAN, ENGLISH] * 6), by="text")
    assert len(desk.changes) == 6


def test_the_next_agent_goes_on_in_the_language_of_the_call() -> None:
    desk = Desk(GERMAN, "Ja.", "Ja.")
    losses = [AgentLoss("bot_turn", number=2, after_s=0.3)]
    simulate(desk, Caller().say(RECORDING).pause(3).say(RECORDING), losses=losses)
    assert len(desk.changes) == 1, "it is not noticed again"
    assert desk.languages[-1] == "de"
    assert desk.spoken[-1][:2] == ("katja", "de")


def test_what_the_author_has_not_worded_is_said_in_the_callers_language() -> None:
    desk = Desk(GERMAN)
    simulate(desk, Caller().say(RECORDING).pause(40))
    assert any(text == "Sind Sie noch da?" for _, _, text in desk.spoken)


def test_a_voice_that_is_not_there_is_a_mistake_before_the_call() -> None:
    desk = Desk(voice=ToneTTS())
    call = simulate(desk, Caller())
    assert "is not among the services" in call.end_detail


AMY = Persona(name="amy", instructions="You are Amy.", voice="amy", introduction="Amy.")
JEAN = Persona(name="jean", instructions="You are Jean.", language="fr", introduction="Jean.")


class Handing(Desk):
    """A bot that hands the call over behind some of the caller's turns; to None: back."""

    def __init__(
        self, *heard: str, to: dict[int, Persona | None], how: HandOffContext = "keep", **german: Any
    ) -> None:
        super().__init__(*heard, **german)
        self.to = to
        self.how = how
        self.turns = 0

    async def __call__(self, call: Call) -> None:
        call.add_personas(AMY, JEAN)

        async def after_turn(_: object) -> None:
            self.turns += 1
            if self.turns in self.to:
                await call.hand_over(self.to[self.turns], context=self.how)
                self.languages.append(call.language)

        call.on("user_turn", after_turn)
        await super().__call__(call)


def speaks(times: int) -> Caller:
    caller = Caller()
    for _ in range(times):
        caller = caller.say(RECORDING).pause(3)
    return caller


@pytest.mark.parametrize("losses", [[], [AgentLoss("bot_turn", number=4, after_s=0.3)]])
def test_a_language_that_changes_under_a_persona_holds_when_the_call_comes_back(
    losses: list[AgentLoss],
) -> None:
    desk = Handing("Ja.", GERMAN, "Ja.", "Ja.", to={1: AMY, 3: None}, voice=None)
    simulate(desk, speaks(4), losses=losses)
    assert ("amy", "en", "Amy.") in desk.spoken
    assert ("amy", "de", "Aha.") in desk.spoken, "she goes on in her voice"
    assert desk.spoken[-1] == ("ann", "de", "Aha.")


@pytest.mark.parametrize("losses", [[], [AgentLoss("hand_off", number=1, after_s=1)]])
def test_a_persona_of_another_language_is_followed_and_the_callers_comes_back(
    losses: list[AgentLoss],
) -> None:
    desk = Handing(GERMAN, "Ja.", "Ja.", to={1: JEAN, 2: None})
    simulate(desk, speaks(1).pause(25).say(RECORDING).pause(3).say(RECORDING).pause(25), losses=losses)
    assert ("katja", "fr", "Jean.") in desk.spoken
    assert ("katja", "fr", "Êtes-vous toujours là ?") in desk.spoken
    assert ("katja", "de", "Sind Sie noch da?") in desk.spoken
    assert desk.spoken[-1][:2] == ("katja", "de")


@pytest.mark.parametrize("losses", [[], [AgentLoss("bot_turn", number=4, after_s=0.3)]])
def test_a_caller_who_speaks_another_language_than_the_persona_is_followed(losses: list[AgentLoss]) -> None:
    desk = Handing("Ja.", GERMAN, "Ja.", to={1: JEAN}, voice=None)
    simulate(desk, speaks(3), losses=losses)
    assert ("ann", "fr", "Jean.") in desk.spoken
    assert desk.spoken[-1] == ("ann", "de", "Aha.")


@pytest.mark.parametrize("how", ["keep", "summary", "fresh"])
def test_whoever_takes_the_call_over_knows_the_callers_language(how: HandOffContext) -> None:
    desk = Handing(GERMAN, "Ja.", "Ja.", to={2: AMY}, how=how, voice=None)
    simulate(desk, talk(GERMAN, "Ja.", "Ja."), by="text")
    notes = [each["content"] for each in desk.messages if each["role"] == "developer"]
    assert notes.count("The caller speaks German. Answer in German from now on.") == 1


def test_whoever_has_a_language_of_their_own_is_not_told_to_speak_the_callers() -> None:
    desk = Handing(GERMAN, "Ja.", "Ja.", to={2: JEAN}, how="fresh", voice=None)
    simulate(desk, talk(GERMAN, "Ja.", "Ja."), by="text")
    assert not any("German" in str(each["content"]) for each in desk.messages if each["role"] == "developer")


def test_a_note_that_is_there_is_not_given_twice_and_one_that_is_not_comes_behind_the_system() -> None:
    system, asks = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Ja."}
    note = {"role": "developer", "content": "Speak German."}
    assert with_language_note([system, asks], "Speak German.") == [system, note, asks]
    assert with_language_note([asks], "Speak German.") == [note, asks]
    assert with_language_note([system, note, asks], "Speak German.") == [system, note, asks]
    assert with_language_note([system, asks], "") == [system, asks]


def test_a_node_that_begins_anew_and_a_summary_keep_the_callers_language() -> None:
    seen: list[list[str]] = []

    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        return None, second

    def model(context: LLMContext) -> Any:
        messages: list[Any] = context.get_messages()
        seen.append([str(message.get("content")) for message in messages])
        tools = context.tools.standard_tools if isinstance(context.tools, ToolsSchema) else ()
        return (
            Tool("go")
            if messages[-1]["content"] == "Weiter." and tools
            else "Aha, das ist gut zu wissen. " * 4
        )

    fresh = ContextStrategyConfig(strategy=ContextStrategy.RESET)
    task: Any = {"task_messages": [{"role": "developer", "content": "Next."}], "context_strategy": fresh}
    second: Any = {"name": "second", "functions": [], **task}
    first: Any = {
        "name": "first",
        "functions": [go],
        "task_messages": [{"role": "developer", "content": "Ask."}],
    }

    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.",
            flow=[first, second],
            call=call,
            languages={"en": None, "de": None},
            summarise_after=Summaries(after_tokens=150, keep_messages=2),
        )
        llm = ScriptedLLM(Replies(otherwise=model, beside="They talked."))
        await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ToneTTS())
        await agent.start()

    call = simulate(bot, talk(GERMAN, "Weiter.", "Ja, gut.", "Ja, sehr gut.", "Ja, alles gut."), by="text")
    note = "The caller speaks German. Answer in German from now on."
    after_reset = next(texts for texts in seen if "Next." in texts and "Ask." not in texts)
    assert note in after_reset
    assert call.of("summary")
    assert seen[-1].count(note) == 1
