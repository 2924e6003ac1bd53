"""`CallState`: everything that is known of one call in progress, and the small acts that change it.

One object per call, made by the `Session`. Whoever works on the call shares it: `Call` (the author's
handle), the run of the pipeline, the monitor of its end, the client's application. It knows none of them,
so that they need not know each other. It runs nothing by itself, and every field has a plain name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from loguru import logger
from pipecat.frames.frames import InterruptionFrame
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.call import (
    CallEnd,
    CallInfo,
    ContextSummary,
    EndReason,
    FlowStep,
    HandOff,
    LanguageChange,
    Turn,
)
from piopiy_pipeline.compat.side_requests import ask_beside
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.session.author_pace import AuthorPace
from piopiy_pipeline.session.call_control import CallControl, TransferOutcome
from piopiy_pipeline.session.call_outlet import CallOutlet
from piopiy_pipeline.session.checkpoints import Checkpoints
from piopiy_pipeline.session.collected_values import CollectedValues
from piopiy_pipeline.session.events import CallError, CollectionEvent, Emitter
from piopiy_pipeline.session.failure_recovery import FailureRecovery
from piopiy_pipeline.session.held_turns import HeldTurns, KeysAhead
from piopiy_pipeline.session.promised_sentence import PART as SENTENCE
from piopiy_pipeline.session.promised_sentence import SEVERAL, PromisedSentence
from piopiy_pipeline.session.resumable_state import ResumableState
from piopiy_pipeline.session.utterances import PendingUtterances
from piopiy_pipeline.session.voice_change import VoiceChange
from piopiy_pipeline.signaling.messages import AgentMessage, ConversationEvent
from piopiy_pipeline.text import well_formed_json
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["CallState", "Post"]

Post = Callable[[AgentMessage], None]
"""Sends a message to the gateway, without waiting."""


MAX_EVENT_TEXT = 50_000
"""So many characters of a text are reported: a whole turn, whatever an STT or a model makes of one."""
MAX_FAILED_HANDLERS = 50
"""So many failures of handlers are on the record of a call."""


class CallState:
    """The state of one call.

    Args:
        info: Who calls whom.
        link: The media link of the call.
        post: Sends a message to the gateway.
        finish: Ends the call, with a reason and a sentence. The first reason counts.
        resumed: What to go on with, when another instance of the agent had this call and was lost.
        confirmed: Returns whether the gateway confirms checkpoints. By default it does not.
        counted: Returns whether the gateway takes events ``usage``. By default it does not.
        steps: Returns whether the gateway takes events ``flow``, ``hand_off``, ``collection``, ``summary`` and
            ``language``. By default it does not.
    """

    def __init__(
        self,
        info: CallInfo,
        link: MediaLink,
        *,
        post: Post,
        finish: Callable[[EndReason, str], None],
        resumed: ResumableState | None = None,
        confirmed: Callable[[], bool] = lambda: False,
        counted: Callable[[], bool] = lambda: False,
        steps: Callable[[], bool] = lambda: False,
    ) -> None:
        self.info = info
        self.link = link
        self.outlet = CallOutlet(post)
        self.post = self.outlet.post
        self.pace = AuthorPace()
        """Holds back an author's code that has the call speak or send in a loop."""
        self.way_out = AuthorPace()
        """The same for what ends the call or hands it over, which does not wait for what it says."""
        self.finish = finish
        self.transcript: list[Turn] = []
        self.events = Emitter(failed=self._handler_failed)
        self._failed_handlers = 0
        self.recovery = FailureRecovery()
        self.utterances = PendingUtterances()
        self.control = CallControl(info.call_id, post=self.post, on_transfer=self.transfer_finished)
        self._confirmed = confirmed
        self._counted = counted
        self._steps = steps
        self.count_tokens: Callable[[LLMService[Any], LLMTokenUsage], None] = lambda model, used: None
        """Counts what a model has used beside the conversation."""
        self.close_usage: Callable[[], None] = lambda: None
        """Reports what providers were given, at the end of the call."""
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        """Returns the time of the loop's clock, in seconds."""
        self.keys_ahead = KeysAhead()
        self.resume(resumed)
        self.answered_at: float | None = None
        """When the call was answered, by the loop's clock in seconds."""
        self.clean_sound: bool | None = None
        """What was asked before the answer: whether the gateway cleans the caller's sound; None: as it is set up."""
        self.held_turns: HeldTurns | None = None
        """Set while the caller's turns are given to code in the place of the model."""
        self.turns_moved: Callable[[], None] = lambda: None
        """Called when they were given to somebody else: to code, or back to the model."""
        self.closing = False
        """Whether the bot has asked for an end that is final: no turn that begins from then on is answered."""
        self.voice_change: VoiceChange | None = None
        """Changes voice and language, for the persona that has the call and for the caller's language."""
        self.language_note = ""
        """What the model has to know of the caller's language; empty: it is the one in which the call began."""
        for event in ("user_turn", "dtmf"):
            self.events.on(event, self._caller_acts)
        self.end: asyncio.Future[CallEnd] = asyncio.get_running_loop().create_future()
        self.abandoned = False
        """Whether everything of the call was cancelled at once, and nothing can end in order any more."""
        self.run_over = asyncio.Event()
        """Set when the pipeline has run and is torn down."""
        self.show_turn: Callable[[str, dict[str, Any]], None] | None = None
        """Called with ``user`` or ``bot`` and each whole turn as it is reported, in a text chat."""
        self.own_interruption: InterruptionFrame | None = None
        """The interruption that the call itself has sent last, until it has come down the whole pipeline."""
        self.interruption_passed = asyncio.Event()
        """Set when it has come down the whole pipeline; cleared by whoever sends one."""
        self._began_at = self.now()
        self._background: set[asyncio.Task[Any]] = set()
        self._answered = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self.end.done()

    def resume(self, resumed: ResumableState | None) -> None:
        """Go on with this, before anything else has happened in the call; None: begin."""
        self.resumed = resumed
        self.author_state: dict[str, Any] = {} if resumed is None else resumed.state
        """`Call.state`: the author's own JSON."""
        self.checkpoints = Checkpoints(
            self.info.call_id,
            post=lambda message: None if self.ended else self.post(message),
            author_state=lambda: self.author_state,
            resumed=resumed,
            confirmed=self._confirmed,
            on_fault=self._unsaved,
        )
        self.promised = PromisedSentence()
        self.checkpoints.parts[SENTENCE] = self.promised.to_json
        self.checkpoints.parts[SEVERAL] = self.promised.several
        self.collected = CollectedValues(self.checkpoints.kept_part("collected"))
        self.checkpoints.parts["collected"] = self.collected.to_json
        late_keys = self.keys_ahead.late
        late_keys.restore(self.checkpoints.kept_part("late_keys"), self.now())
        self.checkpoints.parts["late_keys"] = lambda: late_keys.to_json(self.now())

    def _unsaved(self, fault: str) -> None:
        """Put on record that another instance would go on with an older state than there is."""
        self.add_error("checkpoint", f"not saved: {fault}")

    def add_error(self, stage: str, message: str) -> None:
        """Put something that has failed on record, and tell the author of it. The call goes on."""
        self.report_live("error", {"stage": stage, "message": message[:500]})
        self.events.emit("error", CallError(stage, message))

    def elapsed_s(self) -> float:
        """Return seconds since the answer, to the millisecond; before the answer, since the call began here."""
        return round(self.now() - (self.answered_at or self._began_at), 3)

    def require_answered(self) -> None:
        """Raise `RuntimeError` if the call is not answered yet."""
        if self.answered_at is None:
            raise RuntimeError("the call is not answered yet: wait for the 'answered' event")

    async def until_answered(self) -> None:
        """Wait until the call is answered. One that never is ends otherwise, and with it whoever was spawned."""
        await self._answered.wait()

    # ------------------------------------------------------------------ tasks beside the pipeline

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside the pipeline. It is cancelled when the pipeline is torn down."""
        task = asyncio.create_task(work, name=f"{self.info.call_id}::{name}")
        self._background.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    def cancel_spawned(self) -> None:
        """Cancel what was spawned and still runs."""
        for task in list(self._background):
            task.cancel()

    def _spawned_done(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.opt(exception=error).error("{} failed: {}", task.get_name(), error_text(error))

    # ------------------------------------------------------------------ what happens in the call

    def answer(self) -> None:
        """Mark the call as answered, because the pipeline can hear and speak."""
        self.answered_at = self.now()
        if self.clean_sound is not None:
            self.control.switch("clean_sound", self.clean_sound)
        self.events.emit("answered", self.info)
        self._answered.set()

    def add_turn(self, turn: Turn) -> None:
        """Add a turn to the transcript, and report it to the gateway and to the author."""
        self.transcript.append(turn)
        data: dict[str, Any] = {"text": turn.text}
        if turn.role == "bot":
            data["interrupted"] = turn.interrupted
        elif turn.turn_wait_s is not None:
            data |= {"turn_wait_s": turn.turn_wait_s, "turn_reason": turn.turn_reason}
        self.report(f"{turn.role}_turn", data)
        self.events.emit(f"{turn.role}_turn", turn)

    def add_backchannel(self, turn: Turn) -> None:
        """Add what the caller said while the bot spoke on to the transcript, and report it."""
        self.transcript.append(turn)
        self.report("user_backchannel", {"text": turn.text})
        self.events.emit("backchannel", turn)

    def add_flow_step(self, step: FlowStep) -> None:
        """Report that a node of the call's flow was entered."""
        self.report_step("flow", {"node": step.node, "before": step.before, "function": step.function})
        self.events.emit("flow", step)

    def add_hand_off(self, change: HandOff) -> None:
        """Report that another persona has the call."""
        data = {"agent": change.agent, "before": change.before, "context": change.context}
        self.report_step("hand_off", data)
        self.events.emit("hand_off", change)

    def add_summary(self, summary: ContextSummary) -> None:
        """Report that a summary has taken the place of a part of the conversation."""
        data = {"messages": summary.messages, "tokens_before": summary.tokens_before}
        self.report_step("summary", data | {"tokens_after": summary.tokens_after})
        self.checkpoints.part_changed()
        self.events.emit("summary", summary)

    def add_language(self, change: LanguageChange) -> None:
        """Report that the call goes on in another language."""
        data = {"language": change.language, "before": change.before, "how": change.how}
        self.report_step("language", data)
        self.checkpoints.part_changed()
        self.events.emit("language", change)

    def transfer_finished(self, outcome: TransferOutcome) -> None:
        """Report the outcome of a transfer."""
        detail = f" ({outcome.detail})" if outcome.detail else ""
        logger.info("the transfer to {}: {}{}", outcome.to, outcome.outcome, detail)
        self.events.emit("transfer", outcome)

    def close(self, end: CallEnd) -> None:
        """Mark the call as ended. The session calls it once."""
        self.end.set_result(end)
        COUNTS.call_ended(self.info.kind, end.reason.value)
        self.outlet.close()
        self.control.on_end(end)
        self.utterances.cut_off(everything=True)
        self.events.emit("end", end)

    def _handler_failed(self, event: str, text: str) -> None:
        """Report that a handler of the author's has failed; one of errors itself to the gateway only."""
        self._failed_handlers += 1
        if not self.ended and self._failed_handlers <= MAX_FAILED_HANDLERS:
            stage = f"handler of {event}"
            self.report("error", {"stage": stage, "message": text[:500]})
            if event != "error":
                self.events.emit("error", CallError(stage, text))

    # ------------------------------------------------------------------ reports to the gateway

    def report(self, event: str, data: dict[str, Any]) -> None:
        """Send the gateway an event of the conversation, for whoever watches the call."""
        if self.held_turns is not None:
            data = self.held_turns.redacted(event, data)
        data = {name: _cut(value) for name, value in well_formed_json(data).items()}
        if self.show_turn is not None and event in ("user_turn", "bot_turn"):
            self.show_turn(event.removesuffix("_turn"), data)
        COUNTS.conversation(self.info.agent_id, event, data)
        message = {"call_id": self.info.call_id, "at": self.elapsed_s(), "event": event, "data": data}
        self.post(ConversationEvent.model_validate(message))

    async def ask_beside(self, model: LLMService[Any], context: LLMContext, **options: Any) -> str | None:
        """Have a model write something that is no part of the conversation, and count what it takes.

        Args:
            model: The model.
            context: What it is asked.
            options: Of pipecat's `run_inference`.

        Raises:
            Exception: What the provider's client raises.
        """
        text, used = await ask_beside(model, context, **options)
        if used is not None:
            self.count_tokens(model, used)
        return text

    def report_usage(self, data: dict[str, Any]) -> None:
        """Tell the gateway what a provider was given, if it takes that."""
        if self._counted() and not self.ended:
            self.report("usage", data)

    def report_step(self, event: str, data: dict[str, Any]) -> None:
        """Tell the gateway what leads the conversation from now on, if it takes that."""
        if self._steps() and not self.ended:
            self.report(event, data)

    def give_turns(self, held: HeldTurns | None) -> None:
        """Give the caller's turns to code, or back to the model (None)."""
        self.held_turns = held
        self.turns_moved()

    def _caller_acts(self, _: object) -> None:
        if self.held_turns is None:
            self.collected.caller_acts()

    def report_collection(self, event: CollectionEvent) -> None:
        """Tell the author's handlers of a value that is collected, and the gateway, if it takes that."""
        self.report_step(
            "collection", {name: value for name, value in asdict(event).items() if value is not None}
        )
        self.events.emit("collection", event)

    def report_live(self, event: str, data: dict[str, Any]) -> None:
        """Do as `report` does, for events that have a meaning only while the call goes on."""
        if not self.ended:
            self.report(event, data)


def _cut(value: Any) -> Any:
    return f"{value[:MAX_EVENT_TEXT]}…" if isinstance(value, str) and len(value) > MAX_EVENT_TEXT else value
