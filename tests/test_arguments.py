"""An argument that cannot work is one sentence with its name, what is expected and what came."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.agent.call_admission import AdmissionPlan
from piopiy_pipeline.agent.call_captures import captures_folder
from piopiy_pipeline.agent.callback import bind_callback
from piopiy_pipeline.arguments import check_keys, shown
from piopiy_pipeline.processors.keys import KeyEntry
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.call_control import CallControl
from piopiy_pipeline.session.events import Emitter
from piopiy_pipeline.session.flow.flow_plan import FlowPlan
from piopiy_pipeline.session.held_turns import TurnListener
from piopiy_pipeline.session.model.initial_messages import checked_messages
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.speech_agent import SpeechAgent
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.testing import Caller, Refused, Replies, Stalls, Transcripts, Voice, simulate
from piopiy_pipeline.testing.call_setting import Setting
from piopiy_pipeline.testing.line.callers import Habits
from piopiy_pipeline.testing.line.impairment import Impairment
from piopiy_pipeline.testing.line.line import Line, Noise
from piopiy_pipeline.tool_set import ToolSet
from piopiy_pipeline.tools import end_call, press_keys, transfer_call
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.eager_budget import EagerLimits
from piopiy_pipeline.turns.eager_turns import eager_limits
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer
from piopiy_pipeline.turns.turn_end_policy import TurnWaits
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import voice


def transfer(to: Any = "200", warm: Any = True, summary: Any = "", ring_timeout_s: Any = 30) -> None:
    control = CallControl("c", post=lambda message: None, on_transfer=lambda outcome: None)
    control.transfer(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)


async def book(day: str) -> None:
    """Book a table, as a tool that does not take what gives its result."""


NAN = float("nan")
HUGE = 10**5_000
WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Filler, {"answer_s": 0}, "Filler: answer_s must be more than 0 seconds, not 0"),
    (Filler, {"answer_s": "x"}, "Filler: answer_s must be a number of seconds, not 'x'"),
    (Filler, {"tool_s": float("nan")}, "Filler: tool_s must be more than 0 seconds, not nan"),
    (Filler, {"tool_s": float("inf")}, "Filler: tool_s must be more than 0 seconds, not inf"),
    (Filler, {"sound": "x"}, "Filler: sound must be True or False, not 'x'"),
    (Filler, {"says": "x.WAV"}, "Filler: says='x.WAV' would be read out: write Path('x.WAV')"),
    (Filler, {"says": 5}, "Filler: says must be a sentence, the Path of a WAV file or None, not 5"),
    (BargeInPolicy, {"language": 5}, "BargeInPolicy: language must be the code of a language"),
    (BargeInPolicy, {"speech_s": "1"}, "BargeInPolicy: speech_s must be a number of seconds, not '1'"),
    (BargeInPolicy, {"answer_s": -1}, "BargeInPolicy: answer_s must be 0 seconds or more, not -1"),
    (BargeInPolicy, {"earliest_s": 2.6}, "2.5 at most"),
    (BargeInPolicy, {"language": "german"}, "BargeInPolicy: language must be the code of a language"),
    (EagerLimits, {"per_turn": "2"}, "EagerLimits: per_turn must be a whole number, not '2'"),
    (EagerLimits, {"per_turn": 1.5}, "EagerLimits: per_turn must be a whole number, not 1.5"),
    (EagerLimits, {"per_minute": None}, "EagerLimits: per_minute must be a whole number, not None"),
    (EagerLimits, {"per_minute": 0}, "EagerLimits: per_minute must be 1 at least, not 0"),
    (
        EagerLimits,
        {"wasted_share": float("nan")},
        "EagerLimits: wasted_share must be a share from 0 to 1, not nan",
    ),
    (KeyEntry, {"timeout_s": "a"}, "the timeout of keys must be a number of seconds, not 'a'"),
    (KeyEntry, {"terminator": 1}, "the terminator must be one key of 0-9, * and #, or None, not 1"),
    (Filler, {"says": Path("/nope.wav")}, "Filler: says: '/nope.wav' cannot be played"),
    (Filler, {"says": Path(__file__)}, "cannot be played: file does not start with RIFF id"),
    (ExpectedAnswer.of, {"answer": "digits:"}, "'digits:6', not 'digits:'"),
    (ExpectedAnswer.of, {"answer": "digits: 6"}, "'digits:6', not 'digits: 6'"),
    (ExpectedAnswer.of, {"answer": "digits:99"}, "1 to 64 digits, as 'digits:6', not 'digits:99'"),
    (TurnWaits, {"neutral": "x"}, "TurnWaits: neutral must be a number of seconds, not 'x'"),
    (TurnWaits, {"neutral": True}, "TurnWaits: neutral must be a number of seconds, not True"),
    (TurnWaits, {"open": 6}, "TurnWaits: open must be 5 seconds at most, not 6"),
    (TurnWaits, {"learns": "no"}, "TurnWaits: learns must be True or False, not 'no'"),
    (SpokenText, {"language": 5}, "SpokenText: language must be the code of a language"),
    (SpokenText, {"pronunciations": ["a"]}, "pronunciations must be a dict of words"),
    (SpokenText, {"pronunciations": {"a": 5}}, "of texts, not 'a': 5"),
    *(
        (
            Emitter().on,
            {"event": "answered", "handler": handler},
            f"on('answered'): handler must be a function of one argument, not {told}",
        )
        for handler, told in ((None, "None"), ("x", "'x'"), (5, "5"))
    ),
    (Emitter().on, {"event": 5, "handler": print}, "on: event must be the name of an event, not 5"),
    (Emitter().on, {"event": [], "handler": print}, "on: event must be the name of an event, not []"),
    (bind_callback, {"create_session": lambda call: None}, "must be 'async def': <function <lambda>> is not"),
    (bind_callback, {"create_session": object()}, "must be an async function, not <object object>"),
    (captures_folder, {"given": 5}, "record must be the path of a folder, or None, not 5"),
    (FlowPlan.of, {"flow": []}, "flow is empty: give one NodeConfig at least"),
    (FlowPlan.of, {"flow": {}}, "flow is empty: give one NodeConfig at least"),
    (FlowPlan.of, {"flow": object()}, "or a list of NodeConfigs, not <object object>"),
    (check_keys, {"name": "digits", "value": 12}, "digits must be a text of telephone keys, not 12"),
    (transfer, {"to": 5}, "transfer: to must be a number, a SIP URI, or a name the gateway knows, not 5"),
    (transfer, {"warm": "x"}, "warm must be True or False, not 'x'"),
    (transfer, {"summary": None}, "transfer: summary must be a text, not None"),
    (transfer, {"ring_timeout_s": "x"}, "transfer: ring_timeout_s must be a number of seconds, not 'x'"),
    (transfer_call, {"to": 5}, "transfer_call: to must be a text, not 5"),
    (transfer_call, {"to": " "}, "transfer_call: to is empty"),
    (
        transfer_call,
        {"destinations": []},
        "transfer_call: destinations must be a mapping of names to numbers",
    ),
    (transfer_call, {"destinations": {"a": 5}}, "of names to numbers, all of them texts, not 5"),
    (transfer_call, {"any_number": "x"}, "any_number must be True or False, not 'x'"),
    (transfer_call, {"to": "1", "warm": None}, "warm must be True or False, not None"),
    (transfer_call, {"to": "1", "when": 5}, "transfer_call: when must be a text, not 5"),
    (
        transfer_call,
        {"to": "1", "ring_timeout_s": float("nan")},
        "ring_timeout_s must be more than 0 seconds",
    ),
    (end_call, {"goodbye": 5}, "end_call: goodbye must be a text, or None for the model's own, not 5"),
    (end_call, {"when": ""}, "end_call: when is empty"),
    (end_call, {"final": "x"}, "final must be True or False, not 'x'"),
    (press_keys, {"when": None}, "press_keys: when must be a text, not None"),
    (
        checked_messages,
        {"messages": 5},
        "initial_messages is a list of messages, each with 'role' and 'content'",
    ),
    (Setting, {"seed": None}, "seed must be a whole number, not None"),
    (Setting, {"line": "x"}, "line must be a Line, or None for a perfect one, not 'x'"),
    (Setting, {"info": 5}, "info must be a CallInfo, or None, not 5"),
    (Setting, {"providers": {}}, "providers must be Providers, or None for the bot's own, not {}"),
    (Setting, {"record": "x.zip"}, "record must be the Path of a file, or None, not 'x.zip'"),
    (Setting, {"progress": 5}, "progress must be a function, or None, not 5"),
    (
        Setting,
        {"transfers": []},
        "transfers must be a mapping of destinations to outcomes, a function, or None",
    ),
    (Setting, {"limit_s": "x"}, "limit_s must be a number of seconds, not 'x'"),
    (Setting, {"losses": None}, "losses must be a list of AgentLoss, not None"),
    (Setting, {"by": object()}, "by=<object object>: a caller comes by 'voice' or by 'text'"),
    (simulate, {"bot": voice, "caller": Caller(), "wall_limit_s": "x"}, "wall_limit_s must be a number of"),
    (simulate, {"bot": voice, "caller": 5}, "a caller must be a Caller, or an async function"),
    (simulate, {"bot": voice, "caller": Caller(), "line": ""}, "line must be a Line"),
    (Caller().say, {"what": object()}, "say: what must be the Path of a WAV file, a sentence, or samples"),
    (Caller().say, {"what": " "}, "say: what is empty"),
    (Caller().say, {"what": b"Yes."}, "int16 of shape [samples], not b'Yes.'"),
    (Caller().say, {"what": np.zeros(4)}, "int16 of shape [samples], not float64 of shape [4]"),
    (Caller().say, {"what": np.zeros((2, 2), np.int16)}, "not int16 of shape [2, 2]"),
    (Caller().say, {"what": [object()]}, "int16 of shape [samples], not such a list"),
    (Caller().say, {"what": "Yes.", "text": 5}, "say: text must be a text, or None, not 5"),
    (Caller().say, {"what": "Yes.", "name": 5}, "say: name must be a text, or None, not 5"),
    (Caller().say, {"what": "Yes.", "wait": None}, "say: wait must be True or False, not None"),
    (Caller().interrupt, {"what": "Yes.", "after": "1"}, "interrupt: after must be a number of seconds"),
    (Caller().interrupt, {"what": "Yes.", "insist": 1}, "interrupt: insist must be True or False, not 1"),
    (Caller().pause, {"seconds": NAN}, "pause: seconds must be 0 seconds or more, not nan"),
    (Caller().mute, {"seconds": -1}, "mute: seconds must be 0 seconds or more, not -1"),
    (Caller().press, {"keys": 12}, "press: keys must be a text of telephone keys, not 12"),
    (Caller().press, {"keys": "1x"}, "press('1x'): a telephone has no key 'x'"),
    (Caller().until, {"wanted": 5}, "until: wanted must be a pattern, as a text or compiled, not 5"),
    (Caller().until, {"wanted": "("}, "until: wanted: '(' is no pattern: missing ), unterminated subpattern"),
    (Caller().until, {"wanted": "a", "timeout_s": object()}, "until: timeout_s must be a number of seconds"),
    (Caller, {"steps": [5]}, "Caller: steps must be a tuple of async functions of a CallerLine: 5 is none"),
    (Caller, {"habits": {}}, "Caller: habits must be Habits, not {}"),
    (Habits, {"settle_s": "x"}, "Habits: settle_s must be a number of seconds, not 'x'"),
    (Habits, {"until_s": -1}, "Habits: until_s must be 0 seconds or more, not -1"),
    (Line, {"codec": object()}, "Line(codec=<object object>): 'linear', 'pcmu' or 'pcma'"),
    (Line, {"level_dbfs": "x"}, "Line: level_dbfs must be a number of dB, or None, not 'x'"),
    (Line, {"level_dbfs": NAN}, "Line(level_dbfs=nan): dB below full scale, from -80 to 0"),
    (Line, {"level_dbfs": HUGE}, "Line(level_dbfs=<int>): dB below full scale, from -80 to 0"),
    (Line, {"noise": "babble"}, "Line: noise must be a Noise, or None, not 'babble'"),
    (Line, {"to_bot": 0.1}, "Line: to_bot must be an Impairment, or None, not 0.1"),
    (Noise, {"sound": "pink", "snr_db": NAN}, "Noise: snr_db must be from -200 to 200 dB, not nan"),
    (Impairment, {"delay_ms": "x"}, "Impairment: delay_ms must be a number of milliseconds, not 'x'"),
    (Impairment, {"loss": "x"}, "Impairment: loss must be a probability, a GilbertElliott or a LossPattern"),
    (Impairment, {"keep_order": 0}, "Impairment: keep_order must be True or False, not 0"),
    (
        Impairment,
        {"reorder": object()},
        "Impairment(reorder) must be a probability from 0 to 1, not <object object>",
    ),
    (Refused, {"times": "x"}, "Refused: times must be a whole number, not 'x'"),
    (Refused, {"status": None}, "Refused: status must be an HTTP status, not None"),
    (Stalls, {"after": "x"}, "Stalls: after must be a share of the answer, 0 to 1, not 'x'"),
    (Replies, {"faults": [1]}, "faults must be a mapping of turns to faults, not [1]"),
    (Replies, {"words_per_s": NAN}, "Replies: words_per_s must be more than 0, not nan"),
    (Replies, {"latency": HUGE}, "a latency must be 0 seconds or more, not <int>"),
    (Voice, {"recordings": "x"}, "Voice: recordings must be a mapping of sentences to WAV files, not 'x'"),
    (Voice, {"speed": "x"}, "Voice: speed must be a number, or None, not 'x'"),
    (
        Voice,
        {"seconds_per_character": ""},
        "Voice: seconds_per_character must be a number of seconds, not ''",
    ),
    (Transcripts, {"interim_s": "x"}, "Transcripts: interim_s must be a number of seconds (None: never)"),
    (AdmissionPlan.choose, {"capacity": None, "load_threshold": object()}, "to 1, not <object object>"),
    (eager_limits, {"eager": object()}, "eager must be True, False or EagerLimits, not <object object>"),
    (TurnWaits.of, {"turns": object()}, "turns=<object object>: it is 'smart', 'fast', seconds from 0 to 5"),
    (ToolSet().add, {"tools": [object()]}, "must be a function or a FunctionSchema, not <object object>"),
    (ToolSet().add, {"tools": [book]}, "the first parameter of the tool 'book' must be named 'params'"),
    (ToolSet().set_handler, {"name": [], "handler": print}, "the name of a tool must be a text, not []"),
    *(
        (ToolSet().set_options, {"name": "look", "timeout": 1, "keep_on_interruption": None, **given}, told)
        for given, told in (
            ({"timeout": "x"}, "the timeout of 'look' must be a number of seconds"),
            ({"timeout": True}, "the timeout of 'look' must be a number of seconds"),
            ({"timeout": float("inf")}, "the timeout of 'look' must be more than 0 seconds"),
            ({"keep_on_interruption": "no"}, "keep_on_interruption must be True or False, not 'no'"),
        )
    ),
]


@pytest.mark.parametrize(("make", "arguments", "message"), WRONG, ids=lambda value: shown(value)[:40])
def test_what_cannot_work_is_named(make: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_is_shown_in_one_line_without_addresses_and_not_at_any_length() -> None:
    async def coroutine() -> None: ...

    begun = coroutine()
    values = [object(), lambda: None, begun, weakref.ref(Caller), np.zeros((3, 3)), HUGE, "x" * 1_000, b"\n"]
    begun.close()
    for value in values:
        assert " at 0x" not in shown(value)
        assert "\n" not in shown(value)
        assert len(shown(value)) <= 201
    assert shown(HUGE) == "<int>"
    assert shown("two  blanks") == "'two  blanks'"


BEFORE_A_CALL: list[tuple[str, dict[str, Any], str]] = [
    ("VoiceAgent", {"call": 5}, "call must be a Call, or None for that of the callback, not 5"),
    ("VoiceAgent", {"call": ""}, "call must be a Call, or None for that of the callback, not ''"),
    ("SpeechAgent", {"tools": 5}, "tools must be a list of tools, or a ToolsSchema, not 5"),
    ("VoiceAgent", {"initial_messages": 0}, "initial_messages is a list of messages"),
    ("Action", {"enable_usage_metrics": "x"}, "enable_usage_metrics must be True or False, not 'x'"),
    ("transport", {"params": 5}, "must be pipecat's TransportParams, or None for the call's own, not 5"),
    (
        "flow",
        {"flow": "x.yaml", "greeting": 5},
        "the flow's greeting must be a text, or None for nothing, not 5",
    ),
]
LISTENER = TurnListener(print, print, print)
IN_A_CALL: list[tuple[str, dict[str, Any], str]] = [
    ("on", {"event": "answered", "handler": None}, "on('answered'): handler must be a function"),
    ("hangup", {"drain_s": "x"}, "hangup: drain_s must be a number of seconds, not 'x'"),
    ("hangup", {"final": None}, "final must be True or False, not None"),
    ("say", {"text": 5}, "only a text can be said, not 5"),
    ("say", {"text": "x", "interruptible": "x"}, "interruptible must be True or False, not 'x'"),
    ("say", {"text": "x", "to_the_end": 1}, "to_the_end must be True or False, not 1"),
    ("respond", {"note": 5}, "respond: note must be a text, or None, not 5"),
    ("send_dtmf", {"digits": 12}, "send_dtmf: digits must be a text of telephone keys, not 12"),
    ("send_dtmf", {"digits": "1", "at_once": None}, "at_once must be True or False, not None"),
    ("hold_turns", {"listener": print}, "hold_turns: listener must be a TurnListener, not <built-in"),
    ("hold_turns", {"listener": LISTENER, "redact": None}, "redact must be True or False, not None"),
    ("transfer", {"to": 5}, "transfer: to must be a number, a SIP URI"),
]


async def sentence(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Return how what was given is refused."""
    try:
        outcome = function(**arguments)
        if inspect.isawaitable(outcome):
            await outcome
    except (TypeError, ValueError) as error:
        return str(error)
    return "accepted"


def test_what_cannot_work_in_a_call_is_named() -> None:
    told: list[str] = []

    async def bot(call: Call) -> None:
        begin: dict[str, Callable[..., Any]] = {
            "VoiceAgent": partial(VoiceAgent, instructions="Be brief."),
            "SpeechAgent": partial(SpeechAgent, instructions="Be brief."),
            "Action": VoiceAgent(instructions="Be brief.").Action,
            "transport": call.transport,
            "flow": call.flow,
        }
        for what, given, _ in BEFORE_A_CALL:
            told.append(await sentence(begin[what], given))
        agent = await voice(call, greeting="Hello.")

        async def try_all(_: object) -> None:
            for what, given, _message in IN_A_CALL:
                told.append(await sentence(getattr(call, what), given))
            await call.hangup()

        agent.on("answered", try_all)
        await agent.start()

    simulate(bot, Caller())
    expected = [message for _, _, message in (*BEFORE_A_CALL, *IN_A_CALL)]
    assert [said for said, message in zip(told, expected, strict=True) if message not in said] == []


def test_what_can_work_is_taken() -> None:
    Filler(says=Path(__file__).parent / "turns" / "recordings" / "cough.wav", answer_s=1, sound=False)
    BargeInPolicy(answer_s=0)
    TurnWaits(answered=0, learns=False)
    SpokenText("de", pronunciations={"Siobhan": "shi vawn"})
