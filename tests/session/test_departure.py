"""When a call asks to be moved: in a pause between two turns, and not in one within a turn. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.session.departure import AGAIN_S, POLL_S, QUIET_S
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, Dtmf, Move
from piopiy_pipeline.testing.scripted.providers import Providers
from piopiy_pipeline.testing.scripted.reply_script import Tool
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.recorded_caller import RecordedLink
from tests.support.scripted_calls import Heard, Says, call
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

FOR_FOUR = Says(3.0, "booking/01-people.wav", "I would like to book a table for four people.")
SECONDS = 2.76
"""How long that takes."""
HEARD_S = 12.5


class Leaving:
    """A call that is told to leave at a second of the line, and what it says to the gateway then."""

    def __init__(self, at: float, *, keys: tuple[tuple[float, str], ...] = ()) -> None:
        self.moves: list[tuple[float, Move]] = []
        self.saved: list[dict[str, Any]] = []
        self._at = at
        self._keys = keys
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
