"""`watch_text_beside_tools`: what a model writes beside a tool call is heard to its end, also over a loss of its agent.

"The table is for four, is that right?", and a tool that notes it: the text is in the conversation when it was heard,
and the tool runs meanwhile. Another instance knows the call and its result, asks the model about that, and nobody would
say the text. So it is in the checkpoint as a prepared sentence is (`PromisedSentence`), while it is being said.
"""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    Frame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.call import Turn
from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.promised_sentence import says
from piopiy_pipeline.text import has_words

__all__ = ["watch_text_beside_tools"]

MAX_CHARACTERS = 4000
"""What is longer is no text beside a tool call, and would make each checkpoint long."""


def watch_text_beside_tools(model: FrameProcessor, state: CallState, *, hears: bool = False) -> None:
    """Keep what a model writes beside a tool call, until it was heard or the caller has cut it off.

    Args:
        model: The stage that answers, before it runs.
        state: The call.
        hears: Whether the model hears the caller itself, so that their words come when it answers them.
    """
    written: list[str] = []
    uses_tool = False

    def watch(_: FrameProcessor, frame: Frame) -> None:
        nonlocal uses_tool
        match frame:
            case LLMFullResponseStartFrame():
                written.clear()
                uses_tool = False
            case LLMTextFrame():
                written.append(frame.text)
            case FunctionCallsStartedFrame():
                uses_tool = True
        if uses_tool:  # a model that speaks may write down what it says behind the call
            text = "".join(written).strip()
            if has_words(text) and len(text) <= MAX_CHARACTERS:
                state.promised.writes(text)

    def bot_turn(turn: Turn) -> None:
        over(turn.text, is_cut_off=turn.interrupted)

    def cut_off(*_: Any) -> None:
        over("", is_cut_off=True)

    def over(said: str, *, is_cut_off: bool) -> None:
        if is_cut_off or says(said, "".join(written)):
            written.clear()  # a tool that is used without a word begins no answer: it would be beside this one
        state.promised.was_said(said, cut_off=is_cut_off)

    watch_pushes(model, watch, LLMFullResponseStartFrame, LLMTextFrame, FunctionCallsStartedFrame)
    state.events.on("bot_turn", bot_turn)
    if hears:
        watch_taken(model, cut_off, InterruptionFrame)
    else:
        state.events.on("user_turn", cut_off)
