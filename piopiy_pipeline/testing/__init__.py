"""Whole calls from recorded audio, in virtual time: see `simulate`.

Names are loaded when they are first used: a test session that simulates nothing pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "AgentLoss": "agent_loss",
    "At": "stage.run_stage",
    "ByTurn": "scripted.latency_profiles",
    "CallStuck": "simulation",
    "Caller": "line.callers",
    "CallerGaveUp": "line.callers",
    "CallerLine": "line.callers",
    "Calls": "report.simulated_call",
    "Constant": "scripted.latency_profiles",
    "Deadlock": "virtual_time.virtual_loop",
    "Disconnects": "scripted.faults",
    "Endless": "realtime.scripted_model",
    "Event": "report.call_events",
    "Garbage": "scripted.faults",
    "GeminiLiveServer": "realtime.gemini_live",
    "GilbertElliott": "line.impairment",
    "GrokRealtimeServer": "realtime.dialect_servers",
    "Habits": "line.turn_taking",
    "Impairment": "line.impairment",
    "InworldRealtimeServer": "realtime.dialect_servers",
    "LatencyParts": "report.simulated_call",
    "LeftBehind": "stage.stage_run",
    "LimitReached": "virtual_time.virtual_loop",
    "Line": "line.line",
    "LossPattern": "line.impairment",
    "Measured": "scripted.latency_profiles",
    "Noise": "line.line",
    "NovaSonicServer": "realtime.nova_sonic",
    "OpenAIRealtimeServer": "realtime.openai_realtime",
    "Percentiles": "scripted.latency_profiles",
    "Providers": "providers",
    "Refused": "scripted.faults",
    "Replay": "replaying.replay",
    "Replies": "scripted.scripted_llm",
    "ScriptedLLM": "scripted.scripted_llm",
    "ScriptedSTT": "scripted.scripted_stt",
    "ScriptedTTS": "scripted.scripted_tts",
    "SimulatedCall": "report.simulated_call",
    "SimulationError": "virtual_time.virtual_loop",
    "SlowStart": "scripted.faults",
    "StageRun": "stage.stage_run",
    "Stalls": "scripted.faults",
    "TimesOut": "scripted.faults",
    "Tool": "scripted.reply_script",
    "Transcripts": "scripted.scripted_stt",
    "TurnResult": "report.call_events",
    "UltravoxServer": "realtime.ultravox",
    "Upstream": "stage.run_stage",
    "Voice": "scripted.scripted_tts",
    "VoiceLiveServer": "realtime.dialect_servers",
    "Wait": "stage.run_stage",
    "WallLimitReached": "virtual_time.virtual_loop",
    "replay": "replaying.replay",
    "run_chain": "stage.run_stage",
    "run_stage": "stage.run_stage",
    "run_virtual": "virtual_time.virtual_loop",
    "simulate": "simulation",
    "simulate_many": "simulation",
    "write_report": "report.html_report",
}

__all__ = [
    "AgentLoss",
    "At",
    "ByTurn",
    "CallStuck",
    "Caller",
    "CallerGaveUp",
    "CallerLine",
    "Calls",
    "Constant",
    "Deadlock",
    "Disconnects",
    "Endless",
    "Event",
    "Garbage",
    "GeminiLiveServer",
    "GilbertElliott",
    "GrokRealtimeServer",
    "Habits",
    "Impairment",
    "InworldRealtimeServer",
    "LatencyParts",
    "LeftBehind",
    "LimitReached",
    "Line",
    "LossPattern",
    "Measured",
    "Noise",
    "NovaSonicServer",
    "OpenAIRealtimeServer",
    "Percentiles",
    "Providers",
    "Refused",
    "Replay",
    "Replies",
    "ScriptedLLM",
    "ScriptedSTT",
    "ScriptedTTS",
    "SimulatedCall",
    "SimulationError",
    "SlowStart",
    "StageRun",
    "Stalls",
    "TimesOut",
    "Tool",
    "Transcripts",
    "TurnResult",
    "UltravoxServer",
    "Upstream",
    "Voice",
    "VoiceLiveServer",
    "Wait",
    "WallLimitReached",
    "replay",
    "run_chain",
    "run_stage",
    "run_virtual",
    "simulate",
    "simulate_many",
    "write_report",
]

if TYPE_CHECKING:
    from piopiy_pipeline.testing.agent_loss import AgentLoss
    from piopiy_pipeline.testing.line.callers import Caller, CallerGaveUp, CallerLine
    from piopiy_pipeline.testing.line.impairment import GilbertElliott, Impairment, LossPattern
    from piopiy_pipeline.testing.line.line import Line, Noise
    from piopiy_pipeline.testing.line.turn_taking import Habits
    from piopiy_pipeline.testing.providers import Providers
    from piopiy_pipeline.testing.realtime.dialect_servers import (
        GrokRealtimeServer,
        InworldRealtimeServer,
        VoiceLiveServer,
    )
    from piopiy_pipeline.testing.realtime.gemini_live import GeminiLiveServer
    from piopiy_pipeline.testing.realtime.nova_sonic import NovaSonicServer
    from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeServer
    from piopiy_pipeline.testing.realtime.scripted_model import Endless
    from piopiy_pipeline.testing.realtime.ultravox import UltravoxServer
    from piopiy_pipeline.testing.replaying.replay import Replay, replay
    from piopiy_pipeline.testing.report.html_report import write_report
    from piopiy_pipeline.testing.report.simulated_call import (
        Calls,
        Event,
        LatencyParts,
        SimulatedCall,
        TurnResult,
    )
    from piopiy_pipeline.testing.scripted.faults import (
        Disconnects,
        Garbage,
        Refused,
        SlowStart,
        Stalls,
        TimesOut,
    )
    from piopiy_pipeline.testing.scripted.latency_profiles import ByTurn, Constant, Measured, Percentiles
    from piopiy_pipeline.testing.scripted.reply_script import Tool
    from piopiy_pipeline.testing.scripted.scripted_llm import Replies, ScriptedLLM
    from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT, Transcripts
    from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS, Voice
    from piopiy_pipeline.testing.simulation import CallStuck, simulate, simulate_many
    from piopiy_pipeline.testing.stage.run_stage import At, Upstream, Wait, run_chain, run_stage
    from piopiy_pipeline.testing.stage.stage_run import LeftBehind, StageRun
    from piopiy_pipeline.testing.virtual_time.virtual_loop import (
        Deadlock,
        LimitReached,
        SimulationError,
        WallLimitReached,
        run_virtual,
    )


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
