"""What leads a call's conversation: a flow of nodes, and the persona that has the call. `Call` is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.arguments import check_kind, shown
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.flow.flow_plan import FlowPlan, FlowSource, author_of
from piopiy_pipeline.session.flow.flow_setup import FlowSetup
from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.session.languages.call_languages import CallLanguages
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage, spoken_languages
from piopiy_pipeline.session.model.summaries import ContextSummaries, Summaries

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph
    from piopiy_pipeline.session.pipeline_run import PipelineRun

__all__ = ["LedCall"]


class LedCall:
    """The part of one call that says what leads the conversation."""

    _run: PipelineRun | None
    _state: CallState
    _flow: FlowSetup | None = None
    _languages: CallLanguages | None = None

    def __init__(self) -> None:
        self._personas: dict[str, Persona] = {}

    def flow(
        self,
        flow: FlowSource,
        *,
        handlers: Any = None,
        state: Mapping[str, Any] | None = None,
        greeting: str | None = None,
    ) -> None:
        """Have a flow of pipecat's lead the conversation. Say it before `run`.

        The first node is entered when the call is answered. The tools of the context stay in every node.

        Args:
            flow: A file (YAML or JSON), pipecat's `FlowConfig` or `Flow`, a `NodeConfig`, or a list of these, of which
                the first is the first node. After the loss of an agent the next one finds nodes by their names in it.
            handlers: Where the functions are that the file names: a mapping, a module, or a list of these. None: where
                this is called, among its local names and those of its module.
            state: The flow's state at its beginning, for ``{{ key }}`` in the texts of nodes.
            greeting: What is said in the first node before anything else.

        Raises:
            FlowFileError: (a `ValueError`) The flow has a mistake; the sentence has the file and the line.
            TypeError: It is no flow.
            RuntimeError: The call runs already.

        Example:
            ```python
            call.flow("booking.yaml", greeting="Olive and Thyme, good day.")
            ```
        """
        if self._run is not None:
            raise RuntimeError("flow() comes before run(): the call runs already")
        check_kind("the flow's state", state, (Mapping, type(None)), "a mapping, or None")
        check_kind("the flow's greeting", greeting, (str, type(None)), "a text, or None for nothing")
        names, folder = author_of()
        plan = FlowPlan.of(flow, names if handlers is None else handlers, folder)
        self._flow = FlowSetup(plan, dict(state or {}), greeting)

    def flow_greets(self, greeting: str | None) -> bool:
        """Have the flow say a greeting, unless it has one of its own. Return whether there is a flow."""
        if self._flow is None:
            return False
        self._flow = replace(self._flow, greeting=self._flow.greeting or greeting)
        return True

    @property
    def node(self) -> str:
        """The name of the flow's node in which the call is. Empty without a flow, and before the first node."""
        led = None if self._run is None else self._run.flow
        return "" if led is None else led.node

    @property
    def flow_graph(self) -> FlowGraph | None:
        """The nodes and edges of the flow. None without one, and of a flow that functions make node by node."""
        return None if self._flow is None else self._flow.plan.graph

    # ------------------------------------------------------------------ a long conversation

    @property
    def between_turns(self) -> bool:
        """Whether neither side has a turn under way, and no tool runs."""
        return self._run is not None and self._run.between_turns

    def summarise(
        self, context: LLMContext, model: LLMService[Any], how: Summaries | int | bool = True
    ) -> None:
        """Have the conversation summarised when it is long. Say it before `run`.

        Args:
            context: The conversation that the model sees.
            model: Who writes summaries, if `how` names no other model.
            how: A number of tokens, `Summaries`, or True for the defaults.

        Raises:
            TypeError: It is none of these.
            ValueError: The number cannot work, or the model is a speech-to-speech one.
        """
        if is_realtime(model) and Summaries.of(how) is not None:
            raise ValueError(
                f"summarise_after: the provider of {type(model).__name__} keeps the conversation itself, and a summary "
                "would not shorten it: leave it out with a speech-to-speech model"
            )
        if (summaries := Summaries.of(how)) is not None:
            ContextSummaries(self._state, context, model, summaries, between_turns=lambda: self.between_turns)

    def follow_language(
        self, chain: CallPipeline, context: LLMContext, languages: Mapping[str, SpokenLanguage | None]
    ) -> None:
        """Have STT, TTS and model follow the language that the caller speaks. Say it before `run`, of the whole chain.

        Args:
            chain: The pipeline.
            context: The conversation that the model sees.
            languages: By their codes, with how each is spoken, the first one first. See `VoiceAgent`.

        Raises:
            ValueError: There is no such language, only one, or a voice that the chain does not have.
            TypeError: It is no mapping of languages.
        """
        known = spoken_languages(languages)
        if known:
            self._languages = CallLanguages(
                self._state,
                chain,
                context,
                known,
                say=lambda text: None if self._run is None else self._run.speaker.say(text, to_the_end=True),
                tell=lambda message: None if self._run is None else self._run.speaker.tell(message),
            )

    @property
    def language(self) -> str:
        """The language in which the call is, of those of `follow_language`. Empty without them."""
        return "" if self._languages is None else self._languages.current

    # ------------------------------------------------------------------ hand-off

    @property
    def persona(self) -> Persona | None:
        """Who has the call. None: the one that it began with."""
        hands = None if self._run is None else self._run.hand_offs
        return None if hands is None else hands.persona

    def add_personas(self, *personas: Persona) -> None:
        """Say to whom `hand_over` may hand the call, so that after a loss the next agent finds them by their names.

        Those of `hand_off_call` among the tools of a `VoiceAgent` or of the context are known already.
        """
        for persona in personas:
            check_kind("add_personas", persona, Persona, "a Persona")
            self._personas[persona.name] = persona

    async def hand_over(self, to: Persona | None, *, context: HandOffContext = "keep") -> None:
        """Hand the call over to another persona: with its instructions, tools, voice and language.

        What the bot is saying is heard first. Then everything changes at once: the other one introduces itself, and
        answers if the caller waits for an answer; within a tool, it answers the tool's result. The flow of the call
        waits in its node until the call comes back.

        Args:
            to: Who has the call from now on. None: the one that it began with.
            context: What the other one knows of the conversation: ``"keep"`` (all of it), ``"summary"`` (a summary that
                the model writes; without one, all of it), or ``"fresh"`` (nothing).

        Raises:
            HandOffError: (a `RuntimeError`) They have the call already, it is being handed over, or it was handed over
                three times without a word of the caller, or thirty times in all.
            ValueError: There is no such `context`, or the persona's voice is a service that the chain does not have.
            TypeError: It is no `Persona`.
            RuntimeError: The call is not answered yet, or its chain has no model with a context, or a
                speech-to-speech model that takes no other instructions in the middle of a call: OpenAI's, Azure's,
                Google's, Amazon's and Ultravox's do, but for an agent or a `join_url` of Ultravox's.

        Example:
            ```python
            billing = Persona(name="billing", instructions="You answer questions about bills.", voice="amy")
            await call.hand_over(billing, context="summary")
            ```
        """
        check_kind("hand_over: to", to, (Persona, type(None)), "a Persona, or None for the first one")
        if context not in ("keep", "summary", "fresh"):
            raise ValueError(f"context={shown(context)}: it is 'keep', 'summary' or 'fresh'")
        self._state.require_answered()
        hands = None if self._run is None else self._run.hand_offs
        if hands is None:
            raise RuntimeError(
                "this chain cannot be handed over: it has no model with a context, or one that speaks and "
                "that takes no other instructions in the middle of a call (OpenAI's, Azure's, Google's, Amazon's and "
                "Ultravox's do, but for an agent or a join_url of Ultravox's)"
            )
        if to is not None:
            self._personas.setdefault(to.name, to)
        hands.claim(to)
        # a tool that waits for it may be cancelled by an interruption, and the hand-off goes on
        await asyncio.shield(self._state.spawn(hands.hand_over(to, context), "hand_over"))
