"""What the bot says in a state of a conversation: alternatives in turn, the open question, and what a slot refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from piopiy_pipeline.services.playbook.dialogue_state import Action, DialogueStage, DialogueState, filled
from piopiy_pipeline.services.playbook.doubt import confirmation, is_as_done, read_back
from piopiy_pipeline.services.playbook.model import Playbook, Slot
from piopiy_pipeline.services.playbook.values import Value

__all__ = ["Wording"]


class Wording:
    """Chooses the texts of one playbook.

    Args:
        playbook: The playbook.
    """

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook

    def pick(self, texts: Sequence[str] | None, state: DialogueState) -> str:
        """Choose an alternative by the turn's number, so that it is the same whenever it is computed."""
        return texts[state.turn % len(texts)] if texts else ""

    def action(self, state: DialogueState, texts: Sequence[str]) -> Action:
        """Return the action that says one of these texts."""
        return Action(self.pick(texts, state))

    def open_question(self, state: DialogueState) -> str:
        """Return the question that is open, or an empty text."""
        if state.intent is None:
            return ""
        intent = self.playbook.intents[state.intent]
        if state.stage is DialogueStage.ASKING and state.asked:
            return self.pick(self.playbook.slots[state.asked].ask, state)
        if state.stage is DialogueStage.CHECKING and state.asked:
            return self._read_back(state, state.asked)
        if state.stage is DialogueStage.CONFIRMING and is_as_done(state):
            return self.pick(self.playbook.replies.change, state)
        if state.stage is DialogueStage.CONFIRMING:
            return filled(self.pick(confirmation(intent, state.again), state), state, None)
        return ""

    def _read_back(self, state: DialogueState, name: str) -> str:
        """Return the question whether a doubtful value is what was said."""
        replies = self.playbook.replies
        check = self.pick(self.playbook.slots[name].check or replies.check, state)
        return read_back(state.values[name], check, self.pick(replies.choose, state))

    def allowed(self, state: DialogueState, values: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
        """Return what to say about a value that its slot does not allow, and the values that are allowed."""
        fitting: dict[str, Value] = {}
        problem = ""
        for name, value in values.items():
            slot = self.playbook.slots[name]
            if _is_refused(slot, value.value):
                problem = self.pick(slot.out_of_range or self.playbook.replies.fallback, state)
            else:
                fitting[name] = value
        return problem, fitting


def _is_refused(slot: Slot, value: str | int) -> bool:
    """Return whether a slot does not take a value: outside of its bounds, or a weekday that is closed."""
    if isinstance(value, int):
        return not slot.min <= value <= slot.max
    if slot.type == "time":  # as HH:MM, which sorts as it passes
        return value < (slot.earliest or "") or value > (slot.latest or "~")
    return slot.type == "day" and not set(slot.closed).isdisjoint(value.split())
