"""Whole calls from recorded audio, in virtual time: see `simulate`.

Names are loaded when they are first used: a test session that simulates nothing pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "At": "stage",
    "ByTurn": "latency_profiles",
    "CallStuck": "simulation",
    "Caller": "callers",
    "CallerGaveUp": "callers",
    "CallerLine": "callers",
    "Calls": "values",
    "Constant": "latency_profiles",
    "Deadlock": "clock",
    "Disconnects": "faults",
    "Event": "values",
    "Garbage": "faults",
    "GilbertElliott": "impairment",
    "Habits": "callers",
    "Impairment": "impairment",
    "LatencyParts": "values",
    "LeftBehind": "stage_run",
    "LimitReached": "clock",
    "Line": "line",
    "LossPattern": "impairment",
    "Measured": "latency_profiles",
    "Noise": "line",
    "Percentiles": "latency_profiles",
    "Providers": "providers",
    "Refused": "faults",
    "Replay": "replaying",
    "Replies": "scripted_llm",
    "ScriptedLLM": "scripted_llm",
    "ScriptedSTT": "scripted_stt",
    "ScriptedTTS": "scripted_tts",
    "SimulatedCall": "values",
    "SimulationError": "clock",
    "SlowStart": "faults",
    "StageRun": "stage_run",
    "Stalls": "faults",
    "TimesOut": "faults",
    "Tool": "reply_script",
    "Transcripts": "scripted_stt",
    "TurnResult": "values",
    "Upstream": "stage",
    "Voice": "scripted_tts",
    "Wait": "stage",
    "WallLimitReached": "clock",
    "replay": "replaying",
    "run_chain": "stage",
    "run_stage": "stage",
    "run_virtual": "clock",
    "simulate": "simulation",
    "simulate_many": "simulation",
    "write_report": "report",
}

__all__ = [
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
    "Event",
    "Garbage",
    "GilbertElliott",
    "Habits",
    "Impairment",
    "LatencyParts",
    "LeftBehind",
    "LimitReached",
    "Line",
    "LossPattern",
    "Measured",
    "Noise",
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
    "Upstream",
    "Voice",
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
    from piopiy_pipeline.testing.callers import Caller, CallerGaveUp, CallerLine, Habits
    from piopiy_pipeline.testing.clock import (
        Deadlock,
        LimitReached,
        SimulationError,
        WallLimitReached,
        run_virtual,
    )
    from piopiy_pipeline.testing.faults import Disconnects, Garbage, Refused, SlowStart, Stalls, TimesOut
    from piopiy_pipeline.testing.impairment import GilbertElliott, Impairment, LossPattern
    from piopiy_pipeline.testing.latency_profiles import ByTurn, Constant, Measured, Percentiles
    from piopiy_pipeline.testing.line import Line, Noise
    from piopiy_pipeline.testing.providers import Providers
    from piopiy_pipeline.testing.replaying import Replay, replay
    from piopiy_pipeline.testing.reply_script import Tool
    from piopiy_pipeline.testing.report import write_report
    from piopiy_pipeline.testing.scripted_llm import Replies, ScriptedLLM
    from piopiy_pipeline.testing.scripted_stt import ScriptedSTT, Transcripts
    from piopiy_pipeline.testing.scripted_tts import ScriptedTTS, Voice
    from piopiy_pipeline.testing.simulation import CallStuck, simulate, simulate_many
    from piopiy_pipeline.testing.stage import At, Upstream, Wait, run_chain, run_stage
    from piopiy_pipeline.testing.stage_run import LeftBehind, StageRun
    from piopiy_pipeline.testing.values import Calls, Event, LatencyParts, SimulatedCall, TurnResult


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
