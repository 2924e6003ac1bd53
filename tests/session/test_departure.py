"""When a call asks to be moved: in a pause between two turns, and not in one within a turn. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.agent.draining import Draining, DrainPlan
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.session.departure import AGAIN_S, FINISH_S, GOODBYE_S, POLL_S, QUIET_S
from piopiy_pipeline.session.pipeline_worker import INTERRUPT_S
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, Control, Dtmf, Hangup, Move
from piopiy_pipeline.testing.providers import Providers
from piopiy_pipeline.testing.scripted.reply_script import Tool
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.recorded_caller import RecordedLink
from tests.support.scripted_calls import Heard, Says, call
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

pytestmark = pytest.mark.usefixtures("either_bot")

FOR_FOUR = Says(3.0, "booking/01-people.wav", "I would like to book a table for four people.")
SECONDS = 2.76
"""How long that takes."""
HEARD_S = 12.5


class Leaving:
    """A call that is told to leave at a second of the line, and what it says to the gateway then."""

    def __init__(
        self, at: float, *, keys: tuple[tuple[float, str], ...] = (), held_at: float | None = None
    ) -> None:
        self.moves: list[tuple[float, Move]] = []
        self.saved: list[dict[str, Any]] = []
        self._at = at
        self._keys = keys
        self._held_at = held_at
        self._now: Callable[[], float] = lambda: 0.0

    def post(self, message: AgentMessage) -> None:
        if isinstance(message, Checkpoint):
            self.saved.append(message.state)
            if message.number is not None:
                self._kept(message.number)
        elif isinstance(message, Move):
            self.moves.append((self._now(), message))

    def begun(self, session: Session, link: RecordedLink) -> None:
        loop = asyncio.get_running_loop()
        self._now = lambda: loop.time() - link.start
        self._kept = session._state.checkpoints.kept

        def answered(_: object) -> None:
            loop.call_later(self._at, session.leave, lambda: HEARD_S)
            if self._held_at is not None:
                held = Control(call_id=session.info.call_id, what="hold", on=True)
                loop.call_later(self._held_at, session.on_message, held)
            for at, key in self._keys:
                loop.call_later(at, link.tell, Dtmf(digits=key))

        session.call.on("answered", answered)

    def run(self, bot: Callable[[Call], Any], says: tuple[Says, ...] = (), *replies: Any) -> Heard:
        providers = Providers(
            stt=Transcripts(),
            llm=Replies(*replies, otherwise="For which day would you like it?"),
            tts=Voice(),
        )
        return call(bot, providers, says, hangup_s=12.0, post=self.post, begun=self.begun)

    @property
    def first(self) -> float:
        return self.moves[0][0]

    def roles(self) -> list[str]:
        """Return who spoke, as of the checkpoint before the first move."""
        return [message["role"] for message in self.saved[-1]["messages"]]


async def bot(call: Call) -> None:
    """Greet, and answer."""
    agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call, dtmf="text", filler=None)
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
    await agent.start()


def spoken_until(heard: Heard, role: str) -> float:
    """Return when this side's last turn was over."""
    return max(at for at, turn in heard.turns if turn.role == role)


def test_it_asks_in_a_pause_and_says_how_far_it_has_heard() -> None:
    leaving = Leaving(at=2.0)
    leaving.run(bot)
    at, move = leaving.moves[0]
    assert 2.0 <= at <= 2.0 + 2 * POLL_S
    assert move.heard_s == HEARD_S
    again = leaving.moves[1][0] - at
    assert AGAIN_S <= again <= AGAIN_S + 3 * POLL_S, "nobody has taken it"


def test_a_call_on_hold_moves() -> None:
    leaving = Leaving(at=3.0, held_at=2.5)
    leaving.run(bot)
    assert 3.0 <= leaving.first <= 3.0 + 2 * POLL_S


def test_a_bot_that_speaks_is_heard_out() -> None:
    leaving = Leaving(at=0.1)
    heard = leaving.run(bot)
    assert leaving.first >= spoken_until(heard, "bot") + QUIET_S - POLL_S


def test_a_caller_who_speaks_is_heard_out_and_answered() -> None:
    leaving = Leaving(at=FOR_FOUR.at + 0.5)
    heard = leaving.run(bot, (FOR_FOUR,))
    assert heard.texts("user") == [FOR_FOUR.text]
    assert leaving.first >= spoken_until(heard, "bot") + QUIET_S - POLL_S
    assert leaving.roles() == ["system", "assistant", "user", "assistant"]


def test_a_caller_who_pauses_within_a_turn_is_waited_for() -> None:
    pausing = (
        Says(3.0, "pauses/05-and.wav", "For four people and"),
        Says(6.0, "pauses/06-and_goes_on.wav", "two children."),
    )
    leaving = Leaving(at=3.5)
    heard = leaving.run(bot, pausing)
    assert leaving.first >= spoken_until(heard, "bot") + QUIET_S - POLL_S


def test_an_entry_of_keys_is_waited_for() -> None:
    leaving = Leaving(at=2.3, keys=((2.0, "4"), (3.5, "2")))
    heard = leaving.run(bot)
    assert heard.texts("user") == ["42"]
    assert leaving.first >= spoken_until(heard, "bot") + QUIET_S - POLL_S


def test_a_tool_that_runs_is_waited_for() -> None:
    returned: list[float] = []

    async def slow(params: FunctionCallParams) -> None:
        await asyncio.sleep(3)
        returned.append(asyncio.get_running_loop().time())
        await params.result_callback({"ok": True})

    async def with_tool(call: Call) -> None:
        agent = VoiceAgent(instructions="", greeting="Good day.", call=call, filler=None)
        model = ScriptedLLM([])
        model.register_function("slow", slow)
        await agent.Action(stt=ScriptedSTT([]), llm=model, tts=ToneTTS())
        await agent.start()

    leaving = Leaving(at=FOR_FOUR.at + SECONDS + 1.0)
    heard = leaving.run(with_tool, (FOR_FOUR,), (Tool("slow"), "It is done."))
    assert returned
    assert heard.texts("bot")[-1] == "It is done."
    assert leaving.first >= spoken_until(heard, "bot") + QUIET_S - POLL_S


class Drained(Leaving):
    """A call to an agent that drains for so many seconds from the answer on, or was told to before it began."""

    def __init__(self, at: float, *, grace_s: float) -> None:
        super().__init__(at)
        self._grace_s = grace_s
        self.told: list[AgentMessage] = []

    def post(self, message: AgentMessage) -> None:
        self.told.append(message)
        super().post(message)

    def begun(self, session: Session, link: RecordedLink) -> None:
        super().begun(session, link)
        sessions: list[Session] = []
        draining = Draining(
            DrainPlan("finish", self._grace_s), lambda: sessions, moves=lambda _: True, heard_s=lambda _: None
        )

        def begin(_: object = None) -> None:
            sessions.append(session)
            draining.begin()

        if self._at < 0:  # the last offer before the SIGTERM was confirmed behind the grace
            draining.begin()
            draining._say_goodbye()
            draining.joined(session)
        else:
            session.call.on("answered", begin)


def long_greeting(text: str, *, interruptible: bool = True) -> Callable[[Call], Any]:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, filler=None)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        call.on("answered", lambda _: call.say(text, interruptible=interruptible))
        await agent.start()

    return bot


def test_a_bot_that_speaks_for_long_is_cut_off_so_that_the_drain_is_bounded() -> None:
    drained = Drained(at=0.0, grace_s=1.0)
    heard = drained.run(long_greeting("this goes on and on and " * 40))
    assert heard.end is not None
    assert heard.end.reason is EndReason.DRAINED
    assert 1.0 + FINISH_S < heard.end.duration_s < 1.0 + FINISH_S + 2 * INTERRUPT_S + GOODBYE_S
    cut, goodbye = (turn for _, turn in heard.turns if turn.role == "bot")
    assert cut.interrupted
    assert goodbye.text.endswith("Goodbye.")
    assert not goodbye.interrupted


def answer(*sentences: str) -> Callable[[Call], Any]:
    """Return a bot that says this in one answer, a sentence at a time."""

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=" ".join(sentences), call=call, filler=None)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        await agent.start()

    return bot


def bot_turns(heard: Heard) -> list[tuple[str, bool]]:
    return [(turn.text, turn.interrupted) for _, turn in heard.turns if turn.role == "bot"]


def test_the_goodbye_comes_at_the_end_of_the_sentence_if_the_rest_takes_too_long() -> None:
    sentences = [f"This is number {number} of all that I have to say to you." for number in range(12)]
    heard = Drained(at=0.0, grace_s=1.0).run(answer(*sentences))
    assert heard.end is not None
    assert heard.end.reason is EndReason.DRAINED
    (said, interrupted), (goodbye, _) = bot_turns(heard)
    assert interrupted
    assert said.endswith("to you.")
    assert said.count("to you.") == 1, "the next sentence is not begun"
    assert goodbye.endswith("Goodbye.")


def test_what_the_bot_says_in_time_is_heard_to_its_end_and_not_cut_at_a_sentence() -> None:
    sentences = ("This is the first sentence.", "This is the second one.")
    heard = Drained(at=0.0, grace_s=0.2).run(answer(*sentences))
    assert bot_turns(heard)[0] == (" ".join(sentences), False)


def test_a_state_that_is_no_json_moves_as_it_was_and_the_record_says_so() -> None:
    errors: list[str] = []

    async def with_state(call: Call) -> None:
        call.state["step"] = 1
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call, filler=None)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())

        def spoil() -> None:
            call.state.update(step=2, bad=object())

        call.on("error", lambda error: errors.append(error.message))
        call.on("answered", lambda _: asyncio.get_running_loop().call_later(2.0, spoil))
        await agent.start()

    leaving = Leaving(at=3.0)
    leaving.run(with_state)
    assert 3.0 <= leaving.first <= 3.0 + 2 * POLL_S
    assert leaving.saved[-1]["state"] == {"step": 1}
    assert any("call.state['bad'] is of type object" in error for error in errors)


def test_speech_that_must_not_be_cut_off_costs_the_goodbye_and_not_the_bound() -> None:
    drained = Drained(at=0.0, grace_s=1.0)
    heard = drained.run(long_greeting("This goes on and on. " * 60, interruptible=False))
    assert heard.end is not None
    assert heard.end.duration_s < 1.0 + FINISH_S + 2 * INTERRUPT_S + GOODBYE_S + 0.5


def test_the_gateway_hears_of_the_goodbye_before_the_end() -> None:
    drained = Drained(at=0.0, grace_s=3.0)
    drained.run(bot)
    ended = next(number for number, message in enumerate(drained.told) if isinstance(message, Hangup))
    before = [message.model_dump_json() for message in drained.told[:ended]]
    assert any("bot_turn" in message and "Goodbye." in message for message in before)


def test_a_call_that_begins_behind_the_grace_ends_too() -> None:
    heard = Drained(at=-1.0, grace_s=0.0).run(bot)
    assert heard.end is not None
    assert heard.end.reason is EndReason.DRAINED
