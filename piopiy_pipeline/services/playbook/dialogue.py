"""Decides what to do next from the conversation so far. It has no I/O, no clock, and no state of its own.

Each decision is computed from all messages. So a bot that was interrupted, or an agent that has taken the call
over from one that died, needs only the messages to continue. They are those of pipecat's `LLMContext`: `user`,
`assistant` (with `tool_calls`), and `tool` with the result as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from piopiy_pipeline.services.playbook.agenda import UNFINISHED, Agenda
from piopiy_pipeline.services.playbook.dialogue_state import (
    Action,
    DialogueStage,
    DialogueState,
    message_text,
    without_question,
)
from piopiy_pipeline.services.playbook.doubt import (
    DENIES,
    WRONG,
    after_saying,
    agrees,
    doubted,
    doubted_change,
    is_as_done,
    named_slot,
    settle,
    shaken,
    was_read_back,
)
from piopiy_pipeline.services.playbook.matching import LIKELY, PLAIN, Matcher, Understood
from piopiy_pipeline.services.playbook.model import Playbook
from piopiy_pipeline.services.playbook.relative_values import added
from piopiy_pipeline.services.playbook.sentence_kinds import asks_on, is_question
from piopiy_pipeline.services.playbook.sentence_vectors import sentence_vectors
from piopiy_pipeline.services.playbook.values import Value
from piopiy_pipeline.services.playbook.wording import Wording
from piopiy_pipeline.services.playbook.words import read_words

__all__ = ["Action", "Dialogue"]


class Dialogue:
    """Conducts the conversations of one playbook. It remembers none of them, so calls can share it."""

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self._matcher = Matcher(playbook, vectors=sentence_vectors())
        self._wording = Wording(playbook)
        self._agenda = Agenda(playbook, self._wording)

    @property
    def hot_words(self) -> tuple[str, ...]:
        """Names that a recogniser cannot guess: values of lists, with their other words, and names in examples."""
        return self.playbook.names()

    def next(
        self, messages: Iterable[Mapping[str, Any]], unsure: Callable[[str], Collection[str]] | None = None
    ) -> Action:
        """Return what to do after `messages`.

        Args:
            messages: All messages of the conversation so far, in the form of pipecat's `LLMContext`.
            unsure: Returns the words of a caller's message that the recogniser was not sure of. Whoever continues a
                conversation of which it knows nothing more sees from the bot's questions what was doubted.
        """
        state = DialogueState()
        action = Action()
        for message in messages:
            state, action = self._step(state, message, unsure)
            if action != Action():
                state = replace(state, last=action)
        return action

    def _step(
        self,
        state: DialogueState,
        message: Mapping[str, Any],
        unsure: Callable[[str], Collection[str]] | None,
    ) -> tuple[DialogueState, Action]:
        # Here and not above: the recogniser's workers read playbooks too, and load no pipecat.
        from pipecat.processors.aggregators import async_tool_messages

        content = message_text(message.get("content"))
        role = message.get("role")
        kept = async_tool_messages.parse_message(cast(Any, message))  # of a tool that outlives interruptions
        if kept is not None:
            role, content = "tool", UNFINISHED if kept.result is None else kept.result
        match role:
            case "user" if content.strip():
                doubted_words = frozenset(unsure(content)) if unsure else frozenset()
                state = replace(state, turn=state.turn + 1, unsure=doubted_words)
                state, action = self._user(state, content)
                return replace(state, heard=state.heard and ""), action
            case "assistant" if message.get("tool_calls"):
                if state.stage is DialogueStage.CALLING:
                    state = replace(state, stage=DialogueStage.RUNNING)
                return state, Action()
            case "assistant":
                return after_saying(state, content, self.playbook), Action()
            case "tool":
                return self._agenda.result(state, content)
            case "developer":
                # The bot is to speak: a tool has failed after all, nothing was understood, or the line is silent.
                if late := self._agenda.late_failure(state, content):
                    return state, late
                return state, Action(self._wording.open_question(state) or state.last.text)
        return state, Action()

    # ------------------------------------------------------------------ the caller speaks

    def _user(self, state: DialogueState, text: str) -> tuple[DialogueState, Action]:
        topic, state = state.topic, replace(state, then=(), topic=None)
        if topic and asks_on(read_words(text).text, plainly=state.stage.is_question):
            return self._answered(state, topic)
        named, rest = self._matcher.split(text)
        served = [name for name in dict.fromkeys(named) if not self._asks_back(name)]
        if state.stage is DialogueStage.RUNNING and served:
            return replace(state, then=self._tools_of(served)), self._wording.action(
                state, self.playbook.replies.wait
            )
        beside = self._means_something(state, rest)
        nothing_open = state.stage in (DialogueStage.OPEN, DialogueStage.DONE)
        if served == [self.playbook.done] and beside and self._only_parts(state, rest):  # "okay, goodbye"
            return self._agenda.begin(DialogueState(turn=state.turn), served[0], {})
        garbled = nothing_open and self._matcher.read(text, slots=[]).intent is None
        if served and (beside or len(served) > 1 or garbled):
            return self._several(state, rest if beside else "", served)
        return self._one(state, text)

    def _several(self, state: DialogueState, rest: str, names: Sequence[str]) -> tuple[DialogueState, Action]:
        """Handle several things in one sentence: what was asked or confirmed first, and a goodbye last."""
        action = Action()
        if rest:
            state, action = self._one(state, rest)
        questions = [name for name in names if not self.playbook.intents[name].tool]
        answers = " ".join(self._wording.pick(self.playbook.intents[name].reply, state) for name in questions)
        tools = tuple(name for name in self._tools_of(names) if name != state.intent or not action.tool)
        if action.tool:
            text = f"{answers} {action.text}".strip()
            return replace(state, then=tools), replace(action, text=text)
        if state.stage.is_question:
            tools = tuple(
                name for name in tools if name != self.playbook.done
            )  # not while a question is open
        if not tools:
            return state, Action(f"{answers} {action.text}".strip())
        said = f"{without_question(action.text)} {answers}".strip()
        return self._agenda.next_in_line(state, said, tools)

    def _tools_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those that call a tool, in the order in which they are to be served."""
        tools = (name for name in names if self.playbook.intents[name].tool)
        return tuple(sorted(tools, key=lambda name: name == self.playbook.done))

    def _asks_back(self, name: str) -> bool:
        """Return whether an intent is answered with a question only: a "hello" beside something else needs none."""
        intent = self.playbook.intents[name]
        return not intent.tool and not any(without_question(text) == text for text in intent.reply or [""])

    def _means_something(self, state: DialogueState, rest: str) -> bool:
        """Return whether the rest of a sentence says anything by itself, now."""
        is_asked = state.stage.is_question or state.stage is DialogueStage.CALLING
        heard = self._matcher.read(rest, slots=self._open_slots(state) if is_asked else [], asked=state.asked)
        if is_asked and (heard.polarity is not None or heard.values):
            return True
        named = bool(heard.intents) and heard.intents[0][1] >= PLAIN  # the rest may be misheard
        return heard.only_polarity or heard.forget or named

    def _one(self, state: DialogueState, text: str) -> tuple[DialogueState, Action]:
        """Handle a sentence that says one thing."""
        if state.stage is DialogueStage.CALLING:  # interrupted before the tool was called
            state = replace(state, stage=DialogueStage.CONFIRMING)
        under_way = state.intent if state.stage is not DialogueStage.OPEN else None
        in_reach = self.playbook.intents[under_way].slots if under_way else list(self.playbook.slots)
        heard = shaken(
            self._matcher.read(text, slots=in_reach, asked=state.asked, known=state.values),
            state.unsure,
            of_one_value=state.stage is DialogueStage.CHECKING,
        )
        counted = {name: added(value, state.values.get(name)) for name, value in heard.values.items()}
        heard = replace(heard, values=counted)
        match state.stage:
            case DialogueStage.RUNNING:
                return state, self._wording.action(state, self.playbook.replies.wait)
            case DialogueStage.ASKING | DialogueStage.CHECKING | DialogueStage.CONFIRMING:
                return self._answer(state, heard)
            case DialogueStage.DONE:
                return self._afterwards(state, heard, text)
        return self._open(state, heard)

    def _answer(self, state: DialogueState, heard: Understood) -> tuple[DialogueState, Action]:
        """Handle what the caller says after a question, whether it answers it or not."""
        assert state.intent is not None
        unwanted = heard.refused == state.intent or heard.cancels
        if not heard.values and (heard.forget or (unwanted and not state.again)):
            return DialogueState(turn=state.turn), self._wording.action(
                state, self.playbook.replies.forgotten
            )
        if state.stage is DialogueStage.CHECKING and (settled := self._settled(state, heard)) is not None:
            if is_as_done(settled) and heard.polarity is False:  # what was denied was all that was new
                open_again = replace(settled, stage=DialogueStage.CONFIRMING, asked=None)
                return open_again, self._wording.action(state, self.playbook.replies.change)
            return self._agenda.proceed(settled, agreed=False)
        agreed = agrees(state, heard)
        if agreed and not was_read_back(state, self.playbook):
            return state, Action(self._wording.open_question(state))
        elsewhere = heard.intent if heard.intent != state.intent and not heard.only_polarity else None
        if not heard.values and (slot := named_slot(state, heard, self.playbook)):  # "the time is wrong"
            kept = {name: value for name, value in state.values.items() if name != slot}
            return self._agenda.proceed(replace(state, values=kept), agreed=False)
        if elsewhere is not None and heard.intents[0][1] < LIKELY:
            elsewhere = None  # what is under way is not given up for what may be misheard
        if elsewhere is not None and (not heard.values or self._is_about_us(heard)):
            if agreed:  # "yes, and tell me when you open"
                return self._several(state, "yes", [elsewhere])
            return self._aside(state, elsewhere)
        wrong, values = self._wording.allowed(state, self._beside_the_question(state, heard))
        before = {name: value.value for name, value in state.values.items()}
        state = replace(state, values={**state.values, **values})
        if wrong:
            return state, Action(f"{wrong} {self._wording.open_question(state)}".strip())
        if values:
            same = all(before.get(name) == value.value for name, value in values.items())
            return self._agenda.proceed(state, agreed=agreed and same)
        if agreed:
            return self._agenda.proceed(state, agreed=True)
        if heard.polarity is False and not self._open_slots(state):  # nothing to change
            return DialogueState(turn=state.turn), self._wording.action(
                state, self.playbook.replies.forgotten
            )
        if state.stage is DialogueStage.CONFIRMING and (
            heard.polarity is not None or WRONG.search(heard.words)
        ):
            if is_as_done(state) and heard.polarity is False:  # nothing is to be changed
                return replace(state, stage=DialogueStage.DONE), self._agenda.as_it_was(state)
            if state.again:  # what was denied is not to come back beside a correction
                state = replace(state, values=state.done)
            return state, self._wording.action(state, self.playbook.replies.change)
        if heard.intent == state.intent and not heard.only_polarity:  # asked for the same thing again
            return state, Action(self._wording.open_question(state))
        fallback = self._wording.action(state, self.playbook.replies.fallback)
        return state, Action(f"{fallback.text} {self._wording.open_question(state)}".strip())

    def _settled(self, state: DialogueState, heard: Understood) -> DialogueState | None:
        """Return the state after an answer to "did you say ...?", or None if it was no clear answer to that."""
        slot = state.asked
        assert slot is not None
        clear, value = settle(state.values[slot], heard, slot)
        if not clear or (value is not None and self._wording.allowed(state, {slot: value})[0]):
            return None
        kept = {name: each for name, each in state.values.items() if name != slot}
        kept |= {name: each for name, each in heard.values.items() if name != slot}
        value = value or state.done.get(slot)
        return replace(state, values=kept if value is None else {**kept, slot: value})

    def _beside_the_question(self, state: DialogueState, heard: Understood) -> dict[str, Value]:
        """Return the values of an answer, with doubt where they were not asked for."""
        if state.stage is not DialogueStage.ASKING or heard.changes:
            return heard.values
        return {
            name: value if name == state.asked else doubted(value, state.values.get(name))
            for name, value in heard.values.items()
        }

    def _aside(self, state: DialogueState, name: str) -> tuple[DialogueState, Action]:
        """Handle another intent in the middle of one: a question is answered, others take over."""
        other = self.playbook.intents[name]
        if other.tool or other.slots:
            return self._agenda.begin(DialogueState(turn=state.turn), name, {})
        return self._answered(state, name)

    def _answered(self, state: DialogueState, name: str) -> tuple[DialogueState, Action]:
        """Answer a question, and ask again what is open."""
        answer = self._wording.pick(self.playbook.intents[name].reply, state)
        return replace(state, topic=name), Action(f"{answer} {self._wording.open_question(state)}".strip())

    def _is_about_us(self, heard: Understood) -> bool:
        """Return whether a sentence with a value is a question of its own: "do you open on Mondays?" changes no day."""
        if heard.intent is None or heard.changes or not is_question(heard.words):
            return False
        return self.playbook.intents[heard.intent].is_answer

    def _only_parts(self, state: DialogueState, rest: str) -> bool:
        """Return whether what stands beside a goodbye answers nothing that was asked: "okay", or "no" to a summary."""
        heard = self._matcher.read(rest, slots=self._open_slots(state), asked=state.asked)
        confirming = state.stage is DialogueStage.CONFIRMING
        return state.stage.is_question and heard.only_polarity and not (confirming and heard.polarity)

    def _open_slots(self, state: DialogueState) -> list[str]:
        return self.playbook.intents[state.intent].slots if state.intent else []

    def _afterwards(self, state: DialogueState, heard: Understood, text: str) -> tuple[DialogueState, Action]:
        """Handle what is said after something was done: a change of mind, "no", or something new."""
        if heard.polarity is False and not heard.values and DENIES.search(heard.words):
            state = replace(state, stage=DialogueStage.CONFIRMING, values=state.done)
            return state, self._wording.action(state, self.playbook.replies.change)
        if heard.only_polarity or heard.forget:
            return self._open(replace(state, values={}), heard)
        if not heard.values and heard.intents[0][1] < PLAIN and self._matcher.says_no_first(text):
            nothing_else = replace(heard, polarity=False, only_polarity=True)  # whatever else was heard
            return self._open(replace(state, values={}), nothing_else)
        asks = self._is_about_us(heard) or (heard.cancels and heard.intents[0][1] >= LIKELY)
        more = any(value.more for value in heard.values.values())
        if (heard.values and not asks) and (
            heard.changes
            or more
            or heard.intents[0][1] < PLAIN
            or (heard.intent == state.intent and not self._is_new(heard))
        ):
            wrong, values = self._wording.allowed(state, doubted_change(heard.values, heard))
            changed = replace(state, values={**state.values, **values}, again=True)
            if wrong:
                return state, Action(wrong)
            return self._agenda.proceed(changed, agreed=False)
        everything = self._matcher.read(text, slots=list(self.playbook.slots))
        return self._open(state, everything)

    def _is_new(self, heard: Understood) -> bool:
        """Return whether the caller has said a whole request, which begins the same intent a second time."""
        return heard.intents[0][1] >= PLAIN and len(heard.values) > 1

    def _open(self, state: DialogueState, heard: Understood) -> tuple[DialogueState, Action]:
        """Handle what the caller says while no intent is in progress."""
        if heard.forget:
            return DialogueState(turn=state.turn), self._wording.action(
                state, self.playbook.replies.forgotten
            )
        if heard.refused is not None:
            return state, self._wording.action(state, self.playbook.replies.listening)
        if heard.only_polarity and heard.polarity is not None:
            if not heard.polarity and self.playbook.done and state.turn > 1:
                return self._agenda.begin(DialogueState(turn=state.turn), self.playbook.done, {})
            return state, self._wording.action(state, self.playbook.replies.listening)
        wanting = [
            name
            for name, intent in self.playbook.intents.items()
            if heard.values and all(slot in intent.slots for slot in heard.values)
        ]
        likely = heard.intents[0][1] >= LIKELY
        rash = heard.intent is not None and not likely and self.playbook.intents[heard.intent].is_rash
        if heard.intent is not None and not likely and is_question(heard.words):
            rash = rash or self._asks_back(heard.intent)  # "is there vegan food?" is answered by no "hello"
        several = len(wanting) == 1 and len(heard.values) > (2 if likely else 1)
        if heard.intent is not None and not rash and not (several and heard.intent not in wanting):
            intent = self.playbook.intents[heard.intent]
            if intent.is_answer:  # a question: what was done stays changeable
                return self._answered(state, heard.intent)
            return self._agenda.begin(DialogueState(turn=state.turn), heard.intent, heard.values)
        if len(wanting) == 1:  # "four people on Friday" can only mean one thing
            return self._agenda.begin(DialogueState(turn=state.turn), wanting[0], heard.values)
        return state, self._wording.action(state, self.playbook.replies.fallback)
