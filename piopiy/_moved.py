"""What has moved since Piopiy's SDK 0.6.1, as data for `piopiy._modules`.

A name that is in no table is pipecat's module of the same name: `piopiy.frames.frames` is `pipecat.frames.frames`.
"""

from __future__ import annotations

__all__ = ["EMPTY", "GONE", "GONE_NAMES", "MOVED", "RENAMED", "VIEWS", "WHY"]

MOVED = {
    "piopiy.adapters.base_llm_adapter": "pipecat.adapters.llm.base_llm_adapter",
    "piopiy.adapters.schemas": "pipecat.adapters.llm.schemas",
    "piopiy.adapters.services": "pipecat.adapters.llm.services",
    "piopiy.services.aws_nova_sonic": "pipecat.services.aws.nova_sonic",
    "piopiy.services.aws_nova_sonic.aws": "pipecat.services.aws.nova_sonic.llm",
    "piopiy.services.deepgram.stt_sagemaker": "pipecat.services.deepgram.sagemaker.stt",
    "piopiy.services.gemini_multimodal_live.file_api": "pipecat.services.google.gemini_live.file_api",
    "piopiy.services.google.gemini_live.llm_vertex": "pipecat.services.google.gemini_live.vertex.llm",
    "piopiy.services.google.llm_vertex": "pipecat.services.google.vertex.llm",
    "piopiy.services.grok": "pipecat.services.xai",
    "piopiy.services.heygen.api": "pipecat.services.heygen.api_interactive_avatar",
    "piopiy.services.openai_realtime.azure": "pipecat.services.azure.realtime.llm",
    "piopiy.services.openai_realtime.events": "pipecat.services.openai.realtime.events",
    "piopiy.services.opensource.kokoro": "pipecat.services.kokoro",
    "piopiy.sync": "pipecat.utils.sync",
    "piopiy.transports.network.fastapi_websocket": "pipecat.transports.websocket.fastapi",
    "piopiy.transports.network.small_webrtc": "pipecat.transports.smallwebrtc.transport",
    "piopiy.transports.network.webrtc_connection": "pipecat.transports.smallwebrtc.connection",
    "piopiy.transports.network.websocket_client": "pipecat.transports.websocket.client",
    "piopiy.transports.network.websocket_server": "pipecat.transports.websocket.server",
    "piopiy.transports.services.daily": "pipecat.transports.daily.transport",
    "piopiy.transports.services.helpers.daily_rest": "pipecat.transports.daily.utils",
    "piopiy.transports.services.tavus": "pipecat.transports.tavus.transport",
    "piopiy.turns.mute": "pipecat.turns.user_mute",
}
"""A module, and with it everything below it, has another place. The longest name counts."""

VIEWS = {
    "piopiy.audio.interruptions": ("piopiy_pipeline.turns.published_interruptions",),
    "piopiy.audio.interruptions.base_interruption_strategy": (
        "piopiy_pipeline.turns.published_interruptions",
    ),
    "piopiy.audio.interruptions.min_words_interruption_strategy": (
        "piopiy_pipeline.turns.published_interruptions",
    ),
    "piopiy.audio.utils": ("pipecat.audio.utils",),
    "piopiy.audio.vad.aic_vad": ("pipecat.audio.vad.aic_quail_vad",),
    "piopiy.frames.frames": ("pipecat.frames.frames",),
    "piopiy.pipeline.base_task": ("pipecat.pipeline.worker",),
    "piopiy.pipeline.runner": ("pipecat.pipeline.runner",),
    "piopiy.pipeline.task": ("pipecat.pipeline.task",),
    "piopiy.pipeline.task_observer": ("pipecat.pipeline.worker_observer",),
    "piopiy.processors.frameworks.rtvi": (
        "pipecat.processors.frameworks.rtvi",
        "pipecat.processors.frameworks.rtvi.models",
    ),
    "piopiy.processors.aggregators.llm_response": (
        "pipecat.processors.aggregators.llm_response",
        "pipecat.processors.aggregators.llm_response_universal",
    ),
    "piopiy.processors.aggregators.openai_llm_context": ("piopiy_pipeline.session.openai_llm_context",),
    "piopiy.extensions.voicemail.voicemail_detector": ("pipecat.extensions.voicemail.voicemail_detector",),
    "piopiy.services.anthropic.llm": ("pipecat.services.anthropic.llm",),
    "piopiy.services.google.gemini_live.llm": ("pipecat.services.google.gemini_live.llm",),
    "piopiy.services.google.llm": ("pipecat.services.google.llm",),
    "piopiy.services.grok.llm": ("pipecat.services.xai.llm",),
    "piopiy.services.openai.llm": ("pipecat.services.openai.llm",),
    "piopiy.services.ai_services": (
        "pipecat.services.ai_service",
        "pipecat.services.image_service",
        "pipecat.services.llm_service",
        "pipecat.services.stt_service",
        "pipecat.services.tts_service",
        "pipecat.services.vision_service",
    ),
    "piopiy.services.gemini_multimodal_live": (
        "pipecat.services.google.gemini_live.llm",
        "pipecat.services.google.gemini_live.file_api",
    ),
    "piopiy.services.gemini_multimodal_live.gemini": ("pipecat.services.google.gemini_live.llm",),
    "piopiy.services.google.google": (
        "pipecat.services.google.llm",
        "pipecat.services.google.stt",
        "pipecat.services.google.tts",
        "pipecat.services.google.image",
        "pipecat.services.google.frames",
        "pipecat.services.google.rtvi",
        "pipecat.services.google.vertex.llm",
    ),
    "piopiy.services.mcp_service": ("pipecat.services.mcp_service",),
    "piopiy.services.nim": ("pipecat.services.nvidia.llm",),
    "piopiy.services.nim.llm": ("pipecat.services.nvidia.llm",),
    "piopiy.services.openai_realtime": (
        "pipecat.services.openai.realtime.llm",
        "pipecat.services.openai.realtime.events",
        "pipecat.services.azure.realtime.llm",
    ),
    "piopiy.services.riva": ("pipecat.services.nvidia.stt", "pipecat.services.nvidia.tts"),
    "piopiy.services.riva.stt": ("pipecat.services.nvidia.stt",),
    "piopiy.services.riva.tts": ("pipecat.services.nvidia.tts",),
    "piopiy.transports.livekit.transport": ("pipecat.transports.livekit.transport",),
    "piopiy.transports.services.livekit": ("pipecat.transports.livekit.transport",),
    "piopiy.transports.services.telecmi": ("piopiy_pipeline.session.telecmi",),
}
"""A module of several, or of one whose names have changed: each of its names is looked up in these, in order."""

RENAMED = {
    "piopiy.audio.utils": {"create_default_resampler": "pipecat.audio.utils.create_file_resampler"},
    "piopiy.audio.vad.aic_vad": {"AICVADAnalyzer": "pipecat.audio.vad.aic_quail_vad.AICQuailVADAnalyzer"},
    "piopiy.frames.frames": {
        "BotInterruptionFrame": "pipecat.frames.frames.InterruptionWorkerFrame",
        "DeprecatedKeypadEntry": "pipecat.frames.frames.KeypadEntry",
        "InputTransportMessageUrgentFrame": "pipecat.frames.frames.InputTransportMessageFrame",
        "OpenAILLMContextAssistantTimestampFrame": "pipecat.frames.frames.LLMContextAssistantTimestampFrame",
        "StartInterruptionFrame": "pipecat.frames.frames.InterruptionFrame",
        "TransportMessageFrame": "pipecat.frames.frames.OutputTransportMessageFrame",
        "TransportMessageUrgentFrame": "pipecat.frames.frames.OutputTransportMessageUrgentFrame",
    },
    "piopiy.pipeline.base_task": {
        "BasePipelineTask": "pipecat.workers.base_worker.BaseWorker",
    },
    "piopiy.pipeline.runner": {"PipelineRunner": "piopiy_pipeline.session.telecmi.ChainRunner"},
    "piopiy.pipeline.task": {"PipelineTask": "piopiy_pipeline.session.telecmi.ChainTask"},
    "piopiy.pipeline.task_observer": {"TaskObserver": "pipecat.pipeline.worker_observer.WorkerObserver"},
    "piopiy.processors.aggregators.openai_llm_context": {
        "OpenAILLMContextFrame": "pipecat.frames.frames.LLMContextFrame"
    },
    "piopiy.services.gemini_multimodal_live": {
        "GeminiMultimodalLiveLLMService": "pipecat.services.google.gemini_live.llm.GeminiLiveLLMService"
    },
    "piopiy.services.gemini_multimodal_live.gemini": {
        "GeminiMultimodalLiveLLMService": "pipecat.services.google.gemini_live.llm.GeminiLiveLLMService"
    },
    "piopiy.services.mcp_service": {"MCPClient": "piopiy_pipeline.session.mcp_client.MCPClient"},
    "piopiy.services.nim": {"NimLLMService": "pipecat.services.nvidia.llm.NvidiaLLMService"},
    "piopiy.services.nim.llm": {"NimLLMService": "pipecat.services.nvidia.llm.NvidiaLLMService"},
    "piopiy.services.riva": {
        "RivaSTTService": "pipecat.services.nvidia.stt.NvidiaSTTService",
        "RivaSegmentedSTTService": "pipecat.services.nvidia.stt.NvidiaSegmentedSTTService",
        "RivaTTSService": "pipecat.services.nvidia.tts.NvidiaTTSService",
    },
    "piopiy.services.riva.stt": {
        "RivaSTTService": "pipecat.services.nvidia.stt.NvidiaSTTService",
        "RivaSegmentedSTTService": "pipecat.services.nvidia.stt.NvidiaSegmentedSTTService",
    },
    "piopiy.services.riva.tts": {"RivaTTSService": "pipecat.services.nvidia.tts.NvidiaTTSService"},
}
"""Names of a view that are called otherwise now."""

RENAMED["piopiy.transports.livekit.transport"] = RENAMED["piopiy.transports.services.livekit"] = {
    f"LiveKitTransportMessage{kind}": f"pipecat.transports.livekit.transport.LiveKitOutputTransportMessage{kind}"
    for kind in ("Frame", "UrgentFrame")
}

GONE_NAMES = {
    "piopiy.frames.frames": {
        "EmulateUserStartedSpeakingFrame": "UserStartedSpeakingFrame",
        "EmulateUserStoppedSpeakingFrame": "UserStoppedSpeakingFrame",
        "LLMMessagesFrame": "LLMMessagesUpdateFrame, or LLMRunFrame to have an answer",
        "ThoughtTranscriptionMessage": "VoiceAgent.on('agent_turn', ...)",
        "TranscriptionMessage": "VoiceAgent.on('user_turn', ...) and VoiceAgent.transcript",
        "TranscriptionUpdateFrame": "VoiceAgent.on('user_turn', ...) and VoiceAgent.transcript",
    },
    "piopiy.processors.aggregators.llm_response": {
        "BaseLLMResponseAggregator": "LLMAssistantAggregator",
        "LLMAssistantContextAggregator": "LLMAssistantAggregator",
        "LLMAssistantResponseAggregator": "LLMAssistantAggregator",
        "LLMContextResponseAggregator": "LLMContextAggregatorPair",
        "LLMUserResponseAggregator": "LLMUserAggregator",
        "LLMUserContextAggregator": "LLMUserAggregator",
    },
    "piopiy.transports.services.telecmi": {
        "TelecmiCallbacks": "TelecmiTransport.event_handler",
        "TelecmiInputTransport": "TelecmiTransport.input",
        "TelecmiOutputTransport": "TelecmiTransport.output",
        "TelecmiTransportClient": "TelecmiTransport",
        "TelecmiTransportMessageFrame": "OutputTransportMessageFrame",
        "TelecmiTransportMessageUrgentFrame": "OutputTransportMessageUrgentFrame",
    },
}
"""Names of a view that are gone, and what to use instead."""

GONE_NAMES["piopiy.processors.aggregators.openai_llm_context"] = {"CustomEncoder": "json.JSONEncoder"}
GONE_NAMES["piopiy.services"] = {"DeprecatedModuleProxy": "the module itself (piopiy.services.openai.llm)"}
GONE_NAMES["piopiy.extensions.voicemail.voicemail_detector"] = dict.fromkeys(
    ("ClassificationProcessor", "ClassifierGate", "ConversationGate", "NotifierGate"), "VoicemailDetector"
)
for _module, _prefix in (
    ("anthropic.llm", "Anthropic"),
    ("google.gemini_live.llm", "GeminiLive"),
    ("google.llm", "Google"),
    ("grok.llm", "Grok"),
    ("openai.llm", "OpenAI"),
):
    GONE_NAMES[f"piopiy.services.{_module}"] = {
        f"{_prefix}UserContextAggregator": "LLMUserAggregator, or llm.create_context_aggregator(context)",
        f"{_prefix}AssistantContextAggregator": "LLMAssistantAggregator, or llm.create_context_aggregator(context)",
        f"{_prefix}ContextAggregatorPair": "LLMContextAggregatorPair, or llm.create_context_aggregator(context)",
        f"{_prefix}LLMContext": "piopiy.processors.aggregators.llm_context.LLMContext",
        f"{_prefix}Context": "piopiy.processors.aggregators.llm_context.LLMContext",
    }

_RTVI = """
RawClientMessageData ClientMessage RawServerResponseData ServerResponse
Message ErrorResponseData ErrorResponse ErrorData
Error ClientReadyData BotReadyData BotReady
LLMFunctionCallMessageData LLMFunctionCallMessage SendTextOptions SendTextData
LLMFunctionCallStartMessageData LLMFunctionCallStartMessage LLMFunctionCallResultData BotLLMStartedMessage
BotLLMStoppedMessage BotTTSStartedMessage BotTTSStoppedMessage TextMessageData
BotOutputMessageData BotOutputMessage BotTranscriptionMessage BotLLMTextMessage
BotTTSTextMessage AudioMessageData BotTTSAudioMessage UserTranscriptionMessageData
UserTranscriptionMessage UserLLMTextMessage UserStartedSpeakingMessage UserStoppedSpeakingMessage
BotStartedSpeakingMessage BotStoppedSpeakingMessage MetricsMessage ServerMessage
AudioLevelMessageData UserAudioLevelMessage BotAudioLevelMessage SystemLogMessage
"""
RENAMED["piopiy.processors.frameworks.rtvi"] = {
    f"RTVI{name}": f"pipecat.processors.frameworks.rtvi.models.{name}" for name in _RTVI.split()
}

_RTVI_GONE = """
RTVIServiceOption RTVIService RTVIActionArgumentData RTVIActionArgument
RTVIAction RTVIServiceOptionConfig RTVIServiceConfig RTVIConfig
RTVIUpdateConfig RTVIActionRunArgument RTVIActionRun RTVIActionFrame
RTVIDescribeConfigData RTVIDescribeConfig RTVIDescribeActionsData RTVIDescribeActions
RTVIConfigResponse RTVIActionResponseData RTVIActionResponse RTVIAppendToContextData
RTVIAppendToContext
"""
GONE_NAMES["piopiy.processors.frameworks.rtvi"] = dict.fromkeys(_RTVI_GONE.split(), "RTVIProcessor")

EMPTY = {
    "piopiy.services.opensource",
    "piopiy.transports.network",
    "piopiy.transports.services",
    "piopiy.transports.services.helpers",
}
"""Packages in which only other modules are."""

GONE = {
    "piopiy.audio.filters.krisp_filter": "piopiy.audio.filters.krisp_viva_filter",
    "piopiy.audio.filters.noisereduce_filter": "piopiy.audio.filters.rnnoise_filter",
    "piopiy.audio.turn.smart_turn.fal_smart_turn": "piopiy.audio.turn.smart_turn.local_smart_turn_v3",
    "piopiy.audio.turn.smart_turn.local_smart_turn": "piopiy.audio.turn.smart_turn.local_smart_turn_v3",
    "piopiy.config": "piopiy_pipeline.agent",
    "piopiy.observers.loggers.user_bot_latency_log_observer": "piopiy.observers.user_bot_latency_observer",
    "piopiy.pipeline.to_be_updated": "piopiy.pipeline.parallel_pipeline",
    "piopiy.processors.aggregators.gated_open_ai_llm_context": "piopiy.processors.aggregators.gated_llm_context",
    "piopiy.processors.aggregators.gated_openai_llm_context": "piopiy.processors.aggregators.gated_llm_context",
    "piopiy.processors.aggregators.user_response": "piopiy.processors.aggregators.llm_response_universal",
    "piopiy.processors.aggregators.vision_image_frame": "piopiy.processors.aggregators.llm_context",
    "piopiy.processors.filters.stt_mute_filter": "piopiy.turns.user_mute",
    "piopiy.processors.transcript_processor": "piopiy.processors.aggregators.llm_response_universal",
    "piopiy.processors.user_idle_processor": "piopiy.turns.user_idle_controller",
    "piopiy.serializers.livekit": "piopiy.transports.livekit",
    "piopiy.services.aws.nova_sonic.context": "piopiy.processors.aggregators.llm_context",
    "piopiy.services.aws.nova_sonic.frames": "piopiy.services.aws.nova_sonic.llm",
    "piopiy.services.aws_nova_sonic.context": "piopiy.processors.aggregators.llm_context",
    "piopiy.services.aws_nova_sonic.frames": "piopiy.services.aws.nova_sonic.llm",
    "piopiy.services.gemini_multimodal_live.events": "piopiy.services.google.gemini_live.llm",
    "piopiy.services.google.llm_openai": "piopiy.services.google.llm",
    "piopiy.services.lmnt": "piopiy.services.cartesia.tts",
    "piopiy.services.openai.realtime.context": "piopiy.processors.aggregators.llm_context",
    "piopiy.services.openai.realtime.frames": "piopiy.services.openai.realtime.events",
    "piopiy.services.openai_realtime.context": "piopiy.processors.aggregators.llm_context",
    "piopiy.services.openai_realtime.frames": "piopiy.services.openai.realtime.events",
    "piopiy.services.openai_realtime_beta": "piopiy.services.openai.realtime.llm",
    "piopiy.services.openpipe": "piopiy.services.openai.llm",
    "piopiy.services.opensource.chatterbox": "piopiy.services.kokoro.tts",
    "piopiy.services.opensource.orpheus": "piopiy.services.kokoro.tts",
    "piopiy.services.opensource.ultravox": "piopiy.services.ultravox.llm",
    "piopiy.services.playht": "piopiy.services.cartesia.tts",
    "piopiy.services.sambanova.stt": "piopiy.services.whisper.base_stt",
    "piopiy.services.ultravox.stt": "piopiy.services.ultravox.llm",
    "piopiy.setup_utils": "piopiy_pipeline.services.offline_models",
    "piopiy.turns.user_stop.transcription_user_turn_stop_strategy": (
        "piopiy.turns.user_stop.speech_timeout_user_turn_stop_strategy"
    ),
    "piopiy.utils.asyncio.watchdog_async_iterator": "asyncio",
    "piopiy.utils.asyncio.watchdog_coroutine": "asyncio",
    "piopiy.utils.asyncio.watchdog_event": "asyncio",
    "piopiy.utils.asyncio.watchdog_priority_queue": "asyncio",
    "piopiy.utils.asyncio.watchdog_queue": "asyncio",
    "piopiy.utils.tracing.class_decorators": "piopiy.utils.tracing.service_decorators",
    "piopiy.utils.tracing.conversation_context_provider": "piopiy.utils.tracing.tracing_context",
    "piopiy.utils.tracing.turn_context_provider": "piopiy.utils.tracing.tracing_context",
}
"""Modules that have no equal, with everything below them, and what does their work now."""

WHY = {
    "piopiy.config": "is not here: the gateway's address is PIOPIY_URL, or Agent(signaling_url=...).",
    "piopiy.services.lmnt": "is gone from the pipecat of today, which has given it up; any other TTS will do.",
    "piopiy.services.openpipe": "is gone from the pipecat of today, which has given it up.",
    "piopiy.services.opensource.chatterbox": (
        "is not here: pipecat has no client of it. A TTSService of your own will do (examples/own_provider.py)."
    ),
    "piopiy.services.opensource.orpheus": (
        "is not here: pipecat has no client of it. A TTSService of your own will do (examples/own_provider.py)."
    ),
    "piopiy.services.playht": (
        "is gone from the pipecat of today, which has given it up; any other TTS will do."
    ),
    "piopiy.setup_utils": "is not here: models come with the extras, or are loaded when they are first used.",
}
"""Why a module is not here, where it is not that pipecat has something else in its place."""
