"""`VoiceAgent`: the ten-line way to a bot. It holds what a conversation needs, and builds the pipeline.

    voice_agent = VoiceAgent(instructions="You are an advanced voice AI.", greeting="Hello!")
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()

It has no logic that an author's own pipeline would miss: turns, events, `say`, `hangup` and the recovery from
failures of providers belong to `Call`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.pipeline.service_switcher import ServiceSwitcher
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from piopiy_pipeline.arguments import check_kind, check_lines, check_seconds, check_sentence, check_switches
from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.compat.tool_runs import DEFAULT_TOOL_TIMEOUT_S
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.processors.keys import KeyEntry, KeysToText
from piopiy_pipeline.service_stages import Service, check_model, check_speaking, check_switchers, one_stage
from piopiy_pipeline.services.failover.model_switch import BETWEEN_TOKENS_S, FIRST_TOKEN_S
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.tts.greeting import keep_greeting
from piopiy_pipeline.session import DEFAULT_ERROR_LINE, Call, current_call
from piopiy_pipeline.session.call_facade import CallFacade
from piopiy_pipeline.session.flow.flow_plan import FlowSource
from piopiy_pipeline.session.hand_off.persona import personas_in
from piopiy_pipeline.session.idle_caller import LEAST_TIMEOUT_S
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage, spoken_languages
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.mcp_client import use_mcp_tools
from piopiy_pipeline.session.model.initial_messages import checked_messages
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.tool_set import ToolSet
from piopiy_pipeline.turns.eager_budget import EagerLimits
from piopiy_pipeline.turns.strategies import Interruption, interruption_of
from piopiy_pipeline.turns.turn_ends import Turns

__all__ = ["VoiceAgent"]


class VoiceAgent(CallFacade):
    """One conversation. Make one in each callback, give it services with `Action()`, and `start()` it.

    Args:
        instructions: The system prompt.
        tools: What the model may use: async functions (their signature and docstring describe them), and
            `FunctionSchema`s whose handlers come with them or with `register_tool`. They run on when the
            caller speaks meanwhile, unless `piopiy_pipeline.tools.tool` or `add_tool` says otherwise.
        greeting: What the bot says as soon as the caller can hear it. None: it waits for the caller.
        idle_timeout_secs: The call ends when neither side has spoken for so many seconds, 1 at least. None: never.
        call: The call. By default, the call of the callback in which this runs.
        context: Replaces the context that would be made of `instructions`; `tools` are added to it. If
            another instance of the agent had this call before and was lost, the context goes on with what
            was said there, in either case.
        initial_messages: What was said before this call, or between people before the bot: messages with the
            `role` ``user``, ``assistant`` or ``system`` and their `content`, as OpenAI's chat API takes them.
            They follow `instructions` in the context, and the model knows them from its first answer on.
        error_line: What the bot says when a provider has failed, before it tries once more. None for nothing.
        reply_timeout_secs: An answer that makes no progress for this many seconds counts as a failure.
        tool_timeout_secs: A tool that has not returned after this many seconds is given up. See also `add_tool`.
        filler: What a caller hears who waits for an answer or a tool: a sentence, a WAV file, a `Filler` with
            its times, or None for nothing.
        idle: What a caller is asked who says nothing, spread over `idle_timeout_secs`, and last the goodbye.
            True: two questions and a goodbye in the language of the voice. False: nothing.
        limits: How much models, voices and stages may stream: beyond that an answer is cut, or the call ends.
        dtmf: ``"event"``: keys that the caller presses are the `dtmf` event. ``"text"``: they are a turn of
            the caller as well.
        dtmf_terminator: With ``dtmf="text"``, the key that ends an entry. None: no key does.
        dtmf_timeout_secs: With ``dtmf="text"``, an entry ends when no key was pressed for this many seconds.
        spoken_text: Whether the TTS gets texts as they are said: no markdown, numbers in words. The context keeps
            what the model wrote. A `SpokenText` says how; True: in the language of the TTS.
        flow: Leads the conversation from node to node: a file, or another flow of pipecat's. See `Call.flow`. Functions
            that a file names are looked up where the `VoiceAgent` is made. `tools` can be used in every node.
        flow_state: The flow's state at its beginning, for ``{{ key }}`` in the texts of nodes.
        languages: The languages that the bot speaks, the first one first: ``{"en": None, "de": SpokenLanguage(...)}``.
            The call goes on in the one that the caller speaks. None: in one, whatever they speak.
        summarise_after: A conversation of more tokens than this is summarised, between two turns. `Summaries` says how;
            True: from 8000 tokens on. None: never.

    Raises:
        ValueError: An argument cannot work.
        TypeError: An argument is of the wrong kind.
        RuntimeError: There is no call: this does not run in a callback, and `call` is not given.

    Example:
        ```python
        async def on_new_session(agent_id, call_id, from_number, to_number, metadata=None):
            voice_agent = VoiceAgent(instructions="You take orders.", greeting="Hello!", tools=[end_call()])
            voice_agent.on("user_turn", lambda turn: print(turn.text))
            await voice_agent.Action(stt=stt, llm=llm, tts=tts)
            end = await voice_agent.start()
        ```
    """

    def __init__(
        self,
        *,
        instructions: str,
        tools: ToolsSchema | Sequence[Any] | None = None,
        greeting: str | None = None,
        idle_timeout_secs: float | None = 60,
        call: Call | None = None,
        context: LLMContext | None = None,
        error_line: str | None = DEFAULT_ERROR_LINE,
        reply_timeout_secs: float = 10,
        tool_timeout_secs: float = DEFAULT_TOOL_TIMEOUT_S,
        dtmf: Literal["event", "text"] = "event",
        dtmf_terminator: str | None = "#",
        dtmf_timeout_secs: float = 2,
        initial_messages: Sequence[Mapping[str, Any]] | None = None,
        spoken_text: SpokenText | bool = True,
        filler: Filler | str | Path | None = Filler(),  # noqa: B008  a value
        idle: Sequence[str] | bool = True,
        limits: StreamLimits = StreamLimits(),  # noqa: B008  a value
        flow: FlowSource | None = None,
        flow_state: Mapping[str, Any] | None = None,
        languages: Mapping[str, SpokenLanguage | None] | None = None,
        summarise_after: Summaries | int | bool | None = None,
    ) -> None:
        if initial_messages and context is not None:
            raise ValueError("give either context or initial_messages: a context has its own messages")
        check_kind("dtmf", dtmf, str, "'event' or 'text'")
        if dtmf not in ("event", "text"):
            raise ValueError(f"dtmf={dtmf!r}: it is 'event' or 'text'")
        check_kind("instructions", instructions, str, "a text")
        check_kind("call", call, (Call, type(None)), "a Call, or None for that of the callback")
        check_kind("context", context, (LLMContext, type(None)), "an LLMContext, or None for a new one")
        check_kind("greeting", greeting, (str, type(None)), "a text, or None for nothing")
        check_kind("error_line", error_line, (str, type(None)), "a text, or None for nothing")
        check_seconds("idle_timeout_secs", idle_timeout_secs, or_none="never", least_s=LEAST_TIMEOUT_S)
        check_seconds("reply_timeout_secs", reply_timeout_secs)
        check_seconds("tool_timeout_secs", tool_timeout_secs)
        check_sentence("filler", None if isinstance(filler, Filler) else filler)
        check_lines("idle", idle)
        check_kind("limits", limits, StreamLimits, "StreamLimits")
        KeyEntry(terminator=dtmf_terminator, timeout_s=dtmf_timeout_secs)  # raises what is wrong with them
        found = call or current_call.get()
        if found is None:
            raise RuntimeError(
                "a VoiceAgent belongs to a call: make it inside create_session, or pass call=..."
            )
        super().__init__(found)
        self.context = context
        self._initial_messages = checked_messages(() if initial_messages is None else initial_messages)
        self._instructions = instructions
        self._greeting = greeting
        self._idle_timeout_secs = idle_timeout_secs
        self._error_line = error_line
        self._reply_timeout_secs = reply_timeout_secs
        self._tool_timeout_secs = tool_timeout_secs
        self._filler = Filler(says=filler) if isinstance(filler, str | Path) else filler
        self._idle = idle
        self._limits = limits
        self._dtmf = (dtmf, dtmf_terminator, dtmf_timeout_secs)
        self._spoken_text = SpokenText.of(spoken_text)
        self._tools = ToolSet()
        self._languages = spoken_languages(languages)
        self._summaries = Summaries.of(summarise_after)
        self._pipeline: CallPipeline | None = None
        self._metrics = (False, False)
        self._tools.add(tools)
        if flow is not None:
            self.call.flow(flow, state=flow_state)
        elif flow_state is not None:
            raise ValueError("flow_state is for a flow, and there is none: give flow as well")

    # ------------------------------------------------------------------ tools

    def add_tool(
        self,
        schema: FunctionSchema | Callable[..., Any],
        handler: Callable[..., Any] | None = None,
        *,
        timeout: float | None = None,
        keep_on_interruption: bool | None = None,
    ) -> None:
        """Give the model a tool: a schema with its handler, or a function that describes itself.

        What a tool returns is its result, unless it has called `params.result_callback`.

        Args:
            schema: The schema, or an async function with a docstring.
            handler: An async function of pipecat's `FunctionCallParams`, for a schema.
            timeout: A tool that has not returned after this many seconds is given up, and the model is told
                so. None: `tool_timeout_secs`.
            keep_on_interruption: Whether the tool runs on when the caller speaks meanwhile; its result then
                comes behind the answer to what the caller said. False: it is cancelled, wherever it is. None:
                as pipecat's `tool_options` says, and True without it.

        Raises:
            TypeError: It is no tool, or its handler is no async function.
            ValueError: The timeout is not more than 0.
            RuntimeError: The call runs already.
        """
        self._before_start("add_tool")
        name = self._tools.add_one(schema, handler)
        self._set_options(name, timeout, keep_on_interruption)
        self._refresh_context()

    def register_tool(
        self,
        name: str,
        handler: Callable[..., Any],
        *,
        timeout: float | None = None,
        keep_on_interruption: bool | None = None,
    ) -> None:
        """Give the tool called `name` its handler; the tool's schema is among `tools`.

        Args:
            name: The name in the schema.
            handler: An async function of pipecat's `FunctionCallParams`.
            timeout: See `add_tool`.
            keep_on_interruption: See `add_tool`.

        Raises:
            TypeError: The handler is no async function.
            ValueError: The timeout is not more than 0.
        """
        self._tools.set_handler(name, handler)
        self._set_options(name, timeout, keep_on_interruption)

    def _set_options(self, name: str, timeout: float | None, keep_on_interruption: bool | None) -> None:
        self._tools.set_options(name, timeout, keep_on_interruption)
        if self._pipeline is not None:
            for model in self._models():
                self._tools.register(model, name)

    def _refresh_context(self) -> None:
        schema = self._tools.schema()
        if self.context is not None and schema is not None:
            self.context.set_tools(schema)

    # ------------------------------------------------------------------ building

    async def Action(
        self,
        *,
        stt: Service | None = None,
        llm: Service | None = None,
        tts: Service | None = None,
        stt_switcher: bool | ServiceSwitcher[Any] = False,
        tts_switcher: bool | ServiceSwitcher[Any] = False,
        llm_first_token_secs: float = FIRST_TOKEN_S,
        llm_between_tokens_secs: float = BETWEEN_TOKENS_S,
        mcp_tools: Any = None,
        vad: bool | Mapping[str, float] | VADAnalyzer | None = True,
        enable_metrics: bool = False,
        enable_usage_metrics: bool = False,
        allow_interruptions: bool = True,
        interruption_strategy: BaseUserTurnStartStrategy | Any = None,
        interruption: Interruption | None = None,
        turns: Turns | Literal["provider"] | None = None,
        eager: bool | EagerLimits | None = None,
        telecmi_params: TransportParams | None = None,
    ) -> CallPipeline:
        """Build the pipeline of these services. `pipeline` can be changed until `start()`.

        Args:
            stt: A pipecat STT service, or a list of them; the first one is active. See `switch_service`.
            llm: A pipecat LLM service, or a list of them. The first one is asked; the next one beside it, when
                no word comes in time. The first whole sentence wins, and the other request is cancelled.
            tts: A pipecat TTS service, or a list of them.
            stt_switcher: Whether to make a list even of one `stt`, to which services can be switched. A
                `ServiceSwitcher` of pipecat's is its list of services; `stt` is left out then.
            tts_switcher: The same for `tts`.
            llm_first_token_secs: How long a model of a list may take to its first word until the next is asked.
            llm_between_tokens_secs: How long it may take from one word to the next.
            mcp_tools: A pipecat MCP client, or its tools. They are added to the other tools. A client that is not
                started is started here, and closed with the call.
            vad: Voice activity detection: True, False, a dict, or an analyzer; see `CallPipeline.voice`.
            enable_metrics: Whether pipecat's services measure themselves (`MetricsFrame`).
            enable_usage_metrics: Whether they count tokens and characters, too.
            allow_interruptions: Whether the caller can cut the bot off. False is ``interruption="never"``.
            interruption_strategy: Piopiy's name for `interruption`: a start strategy, or what has `min_words`.
            interruption: What a sound of the caller over the bot's speech does. ``"held"`` (the default): the
                bot is silent at once, and after a cough or a "mhm" it goes on. ``"immediate"``: any speech cuts it
                off. ``"never"``. A number of words. A `BargeInPolicy`. A pipecat user-turn start strategy.
            turns: When the caller's turn ends: ``"smart"``, ``"fast"``, or another of `CallPipeline.voice`'s.
            eager: Whether an answer is begun when the caller has likely finished; see `CallPipeline.voice`.
            telecmi_params: Parameters of pipecat's transports for the call's transport.

        Returns:
            The pipeline.

        Raises:
            StageError: A service is missing or is of the wrong kind; `stage` names it.
            ValueError: Another argument cannot work.
            TypeError: An argument is of the wrong kind.
            RuntimeError: The call runs already.
        """
        self._before_start("Action")
        check_seconds("llm_first_token_secs", llm_first_token_secs)
        check_seconds("llm_between_tokens_secs", llm_between_tokens_secs)
        check_switches(allow_interruptions=allow_interruptions, enable_metrics=enable_metrics)
        check_switches(enable_usage_metrics=enable_usage_metrics)
        check_switchers(stt_switcher=stt_switcher, tts_switcher=tts_switcher)
        speaks = check_model(llm, alone=not (stt or tts or stt_switcher or tts_switcher), eager=eager)
        stages: dict[str, Any] = {
            "llm": one_stage(
                "llm", llm, LLMService, first_s=llm_first_token_secs, next_s=llm_between_tokens_secs
            ),
        }
        if stt or stt_switcher or not speaks:
            stages["stt"] = one_stage("stt", stt, STTService, switcher=stt_switcher)
        if tts or tts_switcher or not speaks:
            stages["tts"] = one_stage("tts", tts, TTSService, switcher=tts_switcher)
            await SpokenText.use(self._spoken_text, stages["tts"])
        if speaks and self.call.info.kind != "text":
            times, line = (llm_first_token_secs, llm_between_tokens_secs), self._error_line
            line = None if line == DEFAULT_ERROR_LINE else line
            check_speaking("tts" in stages, times, error_line=line, spoken_text=self._spoken_text)
        await use_mcp_tools(self.call, self._tools, mcp_tools)
        if self.context is None:
            self.context = self._new_context()
        elif self.call.resumed:
            self.context.set_messages(list[Any](self.call.resumed))  # whatever the author began it with
        self._refresh_context()
        if telecmi_params is not None:
            self.call.transport(telecmi_params)
        interruption = interruption_of(interruption, allow_interruptions, interruption_strategy)
        shared: dict[str, Any] = {**stages, "context": self.context, "vad": vad, "interruption": interruption}
        if speaks:
            self._pipeline = CallPipeline.speech_to_speech(self.call, **shared, turns=turns)
        elif turns == "provider":
            raise ValueError("turns='provider' is for a speech-to-speech model: pass one as llm")
        else:
            self._pipeline = CallPipeline.voice(self.call, **shared, turns=turns, eager=eager)
        dtmf, terminator, timeout_s = self._dtmf
        if dtmf == "text":
            keys = KeysToText(terminator=terminator, timeout_s=timeout_s, interrupts=allow_interruptions)
            self._pipeline.insert("keys", keys, before="user_context", wants_audio=False)
        self._metrics = (enable_metrics, enable_usage_metrics)
        if self._greeting and "tts" in stages:
            keep_greeting(stages["tts"])
        for model in self._models():
            self._tools.register_all(model)
        return self._pipeline

    configure = AgentAction = Action

    @property
    def pipeline(self) -> CallPipeline:
        """The pipeline, to be changed between `Action()` and `start()`.

        Raises:
            RuntimeError: `Action()` was not awaited yet.
        """
        if self._pipeline is None:
            raise RuntimeError("there is no pipeline yet: await Action(stt=..., llm=..., tts=...) first")
        return self._pipeline

    async def switch_service(self, service: FrameProcessor) -> None:
        """Make one of the services of a list (`Action(stt=[a, b])`) the active one, from now on.

        Args:
            service: The service.

        Raises:
            StageError: `Action()` was not given this service in a list.
        """
        for stage in (self.pipeline[name] for name in ("stt", "llm", "tts") if name in self.pipeline):
            if isinstance(stage, ServiceSwitch) and service in stage:
                await stage.switch_to(service)
                return
        raise StageError(f"{service} is not among the services that Action() was given as a list")

    def _models(self) -> list[LLMService[Any]]:
        stage = self.pipeline["llm"]
        models = stage.services if isinstance(stage, ServiceSwitch) else (stage,)
        return [model for model in models if isinstance(model, LLMService)]

    def _new_context(self) -> LLMContext:
        instructions = {"role": "system", "content": self._instructions}
        messages: list[Any] = [instructions, *self._initial_messages]
        if self.call.resumed:
            messages = list(self.call.resumed)  # another instance had this call, perhaps with an older bot
            if messages[0].get("role") == "system":
                messages[0] = instructions
        return LLMContext(messages)

    # ------------------------------------------------------------------ running

    async def start(self) -> CallEnd:
        """Answer the call and run it to its end.

        Returns:
            How the call has ended.

        Raises:
            StageError: The pipeline cannot work; the message names the stage.
            RuntimeError: `Action()` was not awaited before, or the call runs already.
        """
        pipeline = self.pipeline
        self.call.add_personas(*personas_in(self._tools.handlers))
        if self._languages and self.context is not None:
            self.call.follow_language(pipeline, self.context, self._languages)
        if self._summaries is not None and self.context is not None and (models := self._models()):
            self.call.summarise(self.context, models[0], self._summaries)
        led = self.call.flow_greets(self._greeting)
        if self.call.resumed:
            if not led:
                self.call.on("answered", self._answer_resumed)
        elif self._greeting:
            if not ("tts" in pipeline or pipeline.find(TTSService) or pipeline.realtime):
                raise StageError("there is a greeting, and nothing in the chain that could say it: no TTS")
            if not led:
                self.call.on("answered", self._greet)
        return await self.call.run(
            pipeline,
            idle_timeout_s=self._idle_timeout_secs,
            error_line=self._error_line,
            reply_timeout_s=self._reply_timeout_secs,
            tool_timeout_s=self._tool_timeout_secs,
            filler=self._filler,
            idle=self._idle,
            limits=self._limits,
            enable_metrics=self._metrics[0],
            enable_usage_metrics=self._metrics[1],
        )

    async def _greet(self, _: object) -> None:
        assert self._greeting is not None
        await self.call.say(self._greeting, to_the_end=True)

    async def _answer_resumed(self, _: object) -> None:
        """Give the answer that the caller waits for, after another instance with this call was lost."""
        if self.call.waits_for_answer:
            await self.call.respond()

    def _before_start(self, what: str) -> None:
        if self.call.running:
            raise RuntimeError(f"{what}() comes before start(): the call runs already")
