"""`HeldAnswers`: keeps a speech-to-speech model from answering while code has the caller's turns.

The provider hears the caller and writes down what they say as ever. Answers are asked for by this side, and by nobody
at the end of a turn; a session whose provider begins them by itself is told not to, as long as it takes. Tools that
return meanwhile wait. Gemini Live answers whatever it hears: where an STT writes down what the caller says, it hears
nothing meanwhile, and is told the words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import watch_processed, watch_taken
from piopiy_pipeline.compat.tool_options import tool_handlers
from piopiy_pipeline.processors.typed_words import is_typed
from piopiy_pipeline.services.realtime_dialects import dialect_of, put_setting, setting
from piopiy_pipeline.services.realtime_services import detects_turns, is_gemini_live, may_leave_answers
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.openai_provider import OpenAIProvider
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.secret_items import SecretItems
from piopiy_pipeline.stage_error import StageError
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns

__all__ = ["HeldAnswers"]

_TAKE = "to collect values take OpenAI's or Azure's service, or a chain of stt, llm and tts"


class HeldAnswers:
    """Those of one call.

    Args:
        state: Knows who has the caller's turns.
        service: The model's service, before it runs.
        provider: Its provider.
        turns: Who decides on turns; None: strategies of the author's.
        user: The user's side of the conversation.
        has_ears: Whether an STT writes down what the caller says.
        ask_again: Has the model answer what has waited.

    Raises:
        StageError: A tool collects values, and the model cannot be kept from answering.
    """

    def __init__(
        self,
        state: CallState,
        service: LLMService[Any],
        provider: RealtimeProvider,
        turns: RealtimeTurns | None,
        user: LLMUserAggregator,
        *,
        has_ears: bool,
        ask_again: Callable[[], Awaitable[None]],
    ) -> None:
        self._state = state
        self._service = service
        self._provider = provider
        context = self._context = user.context
        self._ask_again = ask_again
        asks = turns is not None and turns.asks
        self._by_provider = detects_turns(service) and not asks
        """Whether the provider begins an answer at the end of a turn by itself."""
        self._unwritten = turns is None and not has_ears
        """Whether strategies of the author's decide on turns, and nobody may write down what the caller says."""
        self._told_of: bool | None = None  # what the session was told last of who has the turns
        self._waits = False  # something waits to be answered
        self._turn_ends = False
        self._turns_deaf = has_ears and is_gemini_live(service)
        self._can = isinstance(provider, OpenAIProvider) or self._turns_deaf
        if self._turns_deaf:
            told_nothing: Any = provider
            told_nothing.withholds = lambda: self._held
            watch_processed(user, self._heard, TranscriptionFrame)
        self._secrets: SecretItems | None = None
        if isinstance(provider, OpenAIProvider):
            provider.withholds = self._withholds
            provider.hears = state.info.kind != "text"
            self._secrets = SecretItems(state, service, provider)
        if obstacle := self.obstacle:
            for name, handler in tool_handlers(service, context).items():
                if getattr(handler, "collects_values", False):
                    raise StageError(f"the tool {name!r} collects a value: {obstacle}", "llm")
        self._is_taken = False  # code has had the words of the caller's latest turn
        state.events.on("user_turn", self._user_turn)
        state.turns_moved = self._turns_moved
        watch_taken(service, self._caller_speaks, VADUserStartedSpeakingFrame)
        watch_taken(service, self._turn_begins, UserStartedSpeakingFrame)
        watch_taken(service, self._turn_is_over, UserStoppedSpeakingFrame)
        watch_processed(service, self._turn_was_over, UserStoppedSpeakingFrame)

    @property
    def obstacle(self) -> str:
        """Why the model cannot be kept from answering, for an author. Empty: it can."""
        by_itself = f"{type(self._service).__name__} answers each turn of the caller by itself"
        if not self._can:
            ears = (
                ", or add an stt, which hears the caller meanwhile" if is_gemini_live(self._service) else ""
            )
            return f"{by_itself}, and its protocol has no way to keep it silent: {_TAKE}{ears}"
        if self._by_provider and not may_leave_answers(self._service):
            return f"{by_itself}, as its turns are set up: end them here (turns='smart'), or {_TAKE}"
        return ""

    # ------------------------------------------------------------------ who has the turns

    def _turns_moved(self) -> None:
        if not self._state.ended:
            self._state.spawn(self.follow(), "held_answers")

    async def follow(self) -> None:
        """Bring the session in line with who has the caller's turns now: code has taken them, or given them back."""
        if self._state.held_turns is not None:
            self._hears_no_more()
        if (self._by_provider or self._unwritten) and bool(self._told_of) != self._held:
            self._told_of = self._held
            await self._provider.update()
        if not self._held and self._secrets is not None:
            await self._secrets.forget()
        if not self._held and self._waits:
            self._waits = False
            await self._ask_again()

    def _hears_no_more(self) -> None:
        """Keep what the caller says behind a final goodbye from a provider that would answer it."""
        if self._state.closing and self.obstacle:
            self._provider.hears = False

    def _caller_speaks(self, _service: Any, _frame: Frame) -> None:
        if self._provider.spares:  # their turn may begin when the goodbye is over, and is heard by then
            self._hears_no_more()

    def session_is_new(self) -> None:
        """Take note that the session is another one."""
        if self._secrets is not None:
            self._secrets.session_is_new()

    async def _heard(self, _user: Any, frame: TranscriptionFrame) -> None:
        """Tell a provider that does not hear what the caller has said, if that is no secret."""
        held = self._state.held_turns
        if held is not None and not held.redact and not is_typed(frame) and frame.text.strip():
            await self._provider.write(frame.text)

    def in_session(self, session: dict[str, Any]) -> None:
        """Change the settings of the session on their way."""
        dialect = dialect_of(self._service)
        if dialect is None or not (self._held or self._told_of is not None):
            return
        if self._unwritten:
            dialect.decide_turns(session, own=False, asks=False, transcribes=True)
        if self._by_provider:
            detection = setting(session, dialect.detection) or {"type": "server_vad"}
            put_setting(session, dialect.detection, detection | {"create_response": not self._held})

    @property
    def _held(self) -> bool:
        return self._state.held_turns is not None and not self.obstacle

    # ------------------------------------------------------------------ requests

    def may_ask(self) -> bool:
        """Return whether the model may be asked to answer the conversation now."""
        held = self._state.held_turns
        return held is None or held.model_may_answer(self._is_callers())

    def accepts(self, frame: Frame, direction: FrameDirection) -> bool:
        """Return whether a frame goes on to the service: a request of the assistant's side of the context may wait."""
        asks = isinstance(frame, LLMContextFrame) and direction is FrameDirection.UPSTREAM
        if not asks or self.may_ask():
            return True
        self._waits = self._waits or not self._is_callers()
        return False

    def _is_callers(self) -> bool:
        """Whether what came last is the caller's."""
        messages: list[Any] = self._context.get_messages()
        return bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "user"

    def _withholds(self) -> bool:
        """Return whether a request for an answer that pipecat's service makes now is not sent."""
        return self._turn_ends and (self.has_turn or self._state.info.kind == "text")

    @property
    def has_turn(self) -> bool:
        """Whether the caller's turn is code's, which may have its words before the turn is over."""
        return self._held or self._is_taken

    def _user_turn(self, _: object) -> None:
        self._is_taken = self._held

    def _turn_begins(self, _service: Any, _frame: Frame) -> None:
        self._is_taken = False

    def _turn_is_over(self, _service: Any, _frame: Frame) -> None:
        self._turn_ends = True

    def _turn_was_over(self, _service: Any, _frame: Frame) -> None:
        self._turn_ends = False
