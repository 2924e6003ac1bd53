"""What comes next of an intent: a doubtful value, a missing one, the confirmation, its tool, and that one's answer.

It needs no words of the caller: those `dialogue.py` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piopiy_pipeline.services.playbook.dialogue_state import (
    Action,
    DialogueStage,
    DialogueState,
    filled,
    tool_result,
    without_question,
)
from piopiy_pipeline.services.playbook.doubt import is_as_done
from piopiy_pipeline.services.playbook.model import Playbook
from piopiy_pipeline.services.playbook.values import Value
from piopiy_pipeline.services.playbook.wording import Wording

__all__ = ["UNFINISHED", "Agenda"]

UNFINISHED = "IN_PROGRESS"
"""The result of a tool that still runs."""
_CANCELLED = "CANCELLED"


class Agenda:
    """Takes the intents of one playbook through their steps.

    Args:
        playbook: The playbook.
        wording: Its texts.
    """

    def __init__(self, playbook: Playbook, wording: Wording) -> None:
        self.playbook = playbook
        self._wording = wording

    def next_in_line(
        self, state: DialogueState, said: str, names: Sequence[str]
    ) -> tuple[DialogueState, Action]:
        """Go on with the first of these intents, and keep the others for later."""
        state, action = self.begin(DialogueState(turn=state.turn), names[0], {})
        text = f"{said} {action.text}".strip()
        return replace(state, then=tuple(names[1:])), replace(action, text=text)

    def begin(
        self, state: DialogueState, name: str, values: Mapping[str, Value]
    ) -> tuple[DialogueState, Action]:
        """Begin an intent with the values that the caller has said already."""
        slots = self.playbook.intents[name].slots
        state = replace(state, intent=name)
        wrong, fitting = self._wording.allowed(
            state, {slot: value for slot, value in values.items() if slot in slots}
        )
        state, action = self.proceed(replace(state, values=fitting), agreed=False)
        return state, replace(action, text=f"{wrong} {action.text}".strip())

    def proceed(self, state: DialogueState, *, agreed: bool) -> tuple[DialogueState, Action]:
        """Ask for a missing value, then for a confirmation, and then do what the caller wants."""
        assert state.intent is not None
        intent = self.playbook.intents[state.intent]
        doubtful = next(
            (slot for slot in intent.slots if slot in state.values and state.values[slot].doubtful), None
        )
        if doubtful:
            state = replace(state, stage=DialogueStage.CHECKING, asked=doubtful)
            return state, Action(self._wording.open_question(state))
        missing = next((slot for slot in intent.slots if slot not in state.values), None)
        if missing:
            state = replace(state, stage=DialogueStage.ASKING, asked=missing)
            return state, Action(self._wording.open_question(state))
        state = replace(state, asked=None)
        if intent.confirm and is_as_done(state):
            return replace(state, stage=DialogueStage.DONE), self.as_it_was(state)
        if intent.confirm and not agreed:
            state = replace(state, stage=DialogueStage.CONFIRMING)
            return state, Action(self._wording.open_question(state))
        if intent.tool:
            arguments = {slot: state.values[slot].value for slot in intent.slots}
            said = filled(self._wording.pick(intent.say, state), state, None)
            return replace(state, stage=DialogueStage.CALLING), Action(said, intent.tool, arguments)
        return replace(state, stage=DialogueStage.DONE), Action(
            filled(self._wording.pick(intent.reply, state), state, None)
        )

    def as_it_was(self, state: DialogueState) -> Action:
        """Say what was done, to whom it is to be changed to nothing else."""
        assert state.intent is not None
        reply = self._wording.pick(self.playbook.intents[state.intent].reply, state)
        if not reply or "{result." in reply:  # of a result that is not there any more
            return self._wording.action(state, self.playbook.replies.forgotten)
        return Action(filled(reply, state, None))

    def result(self, state: DialogueState, content: str) -> tuple[DialogueState, Action]:
        """Handle the answer of a tool."""
        if state.stage not in (DialogueStage.RUNNING, DialogueStage.CALLING) or state.intent is None:
            return state, Action()
        if content == UNFINISHED:
            return state, Action()
        intent = self.playbook.intents[state.intent]
        if content == _CANCELLED:
            return replace(
                state, stage=DialogueStage.CONFIRMING if intent.confirm else DialogueStage.DONE
            ), Action()
        result, failed = tool_result(content)
        if failed:
            texts = intent.failed or self.playbook.replies.failed
            return replace(state, stage=DialogueStage.DONE), Action(
                filled(self._wording.pick(texts, state), state, result)
            )
        reply = filled(self._wording.pick(intent.reply, state), state, result)
        if state.then:
            return self.next_in_line(state, without_question(reply), state.then)
        return replace(state, stage=DialogueStage.DONE, again=True, done=state.values), Action(reply)

    def late_failure(self, state: DialogueState, content: str) -> Action | None:
        """Return what to say if `content` is the failure of a tool that had begun well, such as a transfer."""
        result, failed = tool_result(content)
        if not (failed and isinstance(result, Mapping) and "tool" in result):
            return None
        intents = (intent for intent in self.playbook.intents.values() if intent.tool == result["tool"])
        intent = next(intents, None)
        texts = (intent.failed if intent else None) or self.playbook.replies.failed
        return Action(filled(self._wording.pick(texts, state), state, result))
