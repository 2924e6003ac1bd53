"""`piopiy call` and `simulate` share one caller: the same script gets the same turns and bookings from a bot.

Here too is what the callers' script does on a gateway beyond speaking: keys, messages, silence, hanging up.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.cli.turns import load_script
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerGaveUp, Habits, simulate
from tests.support.calls import AUDIO, CallLog, house
from tests.support.scripted_bots import Restaurant
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts

WAVS = [AUDIO / "booking" / f"{name}.wav" for name in ("01-people", "02-when", "03-yes")]
LONG = "We have a table by the window, and another one out on the terrace under the old lime trees."


class Bookings(Restaurant):
    """The restaurant with providers that follow a script, afresh for each call."""

    async def __call__(self, call: Call) -> CallEnd:
        self.stt = ScriptedSTT(["a table for four", "on friday", "yes please"])
        self.llm = ScriptedLLM([LONG, ("book", {"people": 4, "day": "Friday"}), "It is booked.", "Goodbye."])
        self.tts = ToneTTS(words=True)
        return await super().__call__(call)


async def place(bot: Any, caller: Caller, **options: Any) -> CallLog:
    log = CallLog(16000)
    async with house(bot) as where:
        await where.place(caller, log, **options)
    return log


@pytest.mark.realtime
@pytest.mark.parametrize("interrupt_s", [None, 1.5])
def test_the_same_script_over_a_gateway_and_in_a_simulation_is_the_same_conversation(
    interrupt_s: float | None,
) -> None:
    """Real time: a call over a gateway takes as long as it takes."""
    caller = load_script(WAVS, [], 16000, interrupt_s=interrupt_s, habits=Habits(hangup_after_s=2))
    over_gateway, simulated = Bookings(), Bookings()
    log = asyncio.run(place(over_gateway, caller))
    call = simulate(simulated, caller)
    assert log.texts("user") == texts(call, "user")
    whole = [turn.data["text"] for turn in call.of("bot_turn") if not turn.data["interrupted"]]
    assert [turn["text"] for turn in log.of("bot") if not turn["interrupted"]] == whole
    assert [turn["interrupted"] for turn in log.of("bot")] == [
        turn.data["interrupted"] for turn in call.of("bot_turn")
    ]
    assert any(turn["interrupted"] for turn in log.of("bot")) == (interrupt_s is not None)
    assert over_gateway.booked == simulated.booked == [{"people": 4, "day": "Friday"}]
    assert log.reason == call.end_reason == "caller_hangup"


@pytest.mark.realtime
def test_a_caller_presses_keys_waits_for_words_and_gives_up_over_a_gateway() -> None:
    """Real time: a call over a gateway takes as long as it takes."""
    caller = Caller().say(PEOPLE).until("by the window").mute(0.2).press("1#").say(YES)
    log = asyncio.run(place(Bookings(), caller.hangup()))
    assert log.texts("user")[0] == "a table for four"
    assert log.reason == "caller_hangup"
    with pytest.raises(CallerGaveUp, match="waited 1 s for the bot to say /never/"):
        asyncio.run(place(Bookings(), Caller().until("never", timeout_s=1)))


def test_a_call_over_a_gateway_does_not_load_pipecat() -> None:
    code = (
        "import sys, piopiy_pipeline.cli.narration, piopiy_pipeline.cli.place_call, piopiy_pipeline.cli.turns;"
        "sys.exit('loaded: pipecat' if 'pipecat' in sys.modules else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
