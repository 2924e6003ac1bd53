"""An argument that cannot work is one sentence with its name, what is expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.agent.call_captures import captures_folder
from piopiy_pipeline.agent.callback import bind_callback
from piopiy_pipeline.arguments import check_keys, shown
from piopiy_pipeline.processors.keys import KeyEntry
from piopiy_pipeline.session.call_control import CallControl
from piopiy_pipeline.session.events import Emitter
from piopiy_pipeline.session.flow.flow_plan import FlowPlan
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.tools import end_call, press_keys, transfer_call
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.eager_budget import EagerLimits
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer
from piopiy_pipeline.turns.turn_end_policy import TurnWaits


def transfer(to: Any = "200", warm: Any = True, summary: Any = "", ring_timeout_s: Any = 30) -> None:
    control = CallControl("c", post=lambda message: None, on_transfer=lambda outcome: None)
    control.transfer(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)


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
    (ExpectedAnswer.of, {"answer": "digits:99"}, "1 to 64 digits, as 'digits:6', not digits:99"),
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
]


@pytest.mark.parametrize(("make", "arguments", "message"), WRONG, ids=lambda value: shown(value)[:40])
def test_what_cannot_work_is_named(make: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_work_is_taken() -> None:
    Filler(says=Path(__file__).parent / "turns" / "recordings" / "cough.wav", answer_s=1, sound=False)
    BargeInPolicy(answer_s=0)
    TurnWaits(answered=0, learns=False)
    SpokenText("de", pronunciations={"Siobhan": "shi vawn"})
