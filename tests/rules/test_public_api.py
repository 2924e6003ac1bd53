"""Names and parameters of an earlier version still serve: what can be imported, and how it is called.

``published/public_api.json`` was recorded from the version of commit c5a3850. A name that must change keeps an alias
with a `DeprecationWarning` for one release; then its line goes from the file, with a line in CHANGELOG.md.
Constructors that only the harness calls (`CallerLine`) are left out. ``EXPORTS`` is what each package offers today: a
new export is a decision, and its line here the place to make it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import piopiy_pipeline

RECORDED = json.loads((Path(__file__).parent / "published" / "public_api.json").read_text())

EXPORTS: dict[str, list[str]] = {
    "piopiy_pipeline": [
        "Agent", "AuthenticationError", "Call", "CallEnd", "CallInfo", "CallPipeline", "ClientMessage",
        "ContextSummary", "EndReason", "Filler", "FlowStep", "HandOff", "LanguageChange", "Persona",
        "SpokenLanguage", "SpokenText", "StageError", "StreamLimits", "Summaries", "TransferOutcome", "Turn",
        "VoiceAgent", "__version__",
    ],
    "piopiy_pipeline.agent": ["Agent", "AuthenticationError", "ROOM_CTX", "TOKEN_CTX", "URL_CTX"],
    "piopiy_pipeline.capture": ["CallCapture", "CaptureError", "CapturedCall", "Redaction"],
    "piopiy_pipeline.cli": ["app", "main"],
    "piopiy_pipeline.collect": [
        "Address", "CollectPhrases", "Collected", "NoValueReason", "NotCollected", "Reading", "ValueReader",
        "as_tool", "collect_address", "collect_date", "collect_digits", "collect_email",
        "collect_phone_number", "collect_phrases_in", "collect_value", "confirm",
    ],
    "piopiy_pipeline.compat": ["CompatError", "check_attributes", "check_parameters"],
    "piopiy_pipeline.gateway": ["Gateway", "GatewayConfig", "GatewayError"],
    "piopiy_pipeline.session": [
        "Call", "CallError", "CallState", "Callback", "ClientMessage", "CollectionEvent",
        "DEFAULT_ERROR_LINE", "Filler", "Persona", "PipelineHook", "Post", "ResumableState", "Session",
        "SpokenLanguage", "StreamLimits", "Summaries", "TransferOutcome", "current_call", "resumable_from",
    ],
    "piopiy_pipeline.spoken_text": ["SpokenText"],
    "piopiy_pipeline.testing": sorted([
        "AgentLoss", "Endless", "GeminiLiveServer", "GrokRealtimeServer", "InworldRealtimeServer",
        "NovaSonicServer", "OpenAIRealtimeServer", "UltravoxServer", "VoiceLiveServer",
        *RECORDED["names"]["piopiy_pipeline.testing"],
    ]),
}  # fmt: skip
"""Package -> what its ``__all__`` holds, sorted. Packages that are not named export nothing."""


def _resolve(path: str) -> Any:
    """The object at a dotted path: the longest prefix that is a module, then attributes."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise LookupError(path)


@pytest.mark.parametrize("module", RECORDED["names"])
def test_every_name_of_an_earlier_version_can_still_be_imported(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in RECORDED["names"][module]:
            assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("path", RECORDED["signatures"])
def test_calls_that_an_earlier_version_took_are_still_taken(path: str) -> None:
    before = {name: (kind, optional) for name, kind, optional in RECORDED["signatures"][path]}
    now = inspect.signature(_resolve(path)).parameters
    for name, (kind, optional) in before.items():
        assert name in now, f"{path} no longer takes {name!r}"
        assert now[name].kind.name == kind or kind == "KEYWORD_ONLY"
        assert not optional or now[name].default is not inspect.Parameter.empty
    for name, parameter in now.items():
        if name not in before:
            assert parameter.default is not inspect.Parameter.empty or "VAR" in parameter.kind.name, (
                f"{path} requires {name!r}, which nobody gives yet"
            )
    positional = [name for name, (kind, _) in before.items() if kind == "POSITIONAL_OR_KEYWORD"]
    assert [name for name, parameter in now.items() if parameter.kind.name == "POSITIONAL_OR_KEYWORD"][
        : len(positional)
    ] == positional


def test_every_package_exports_what_is_written_here() -> None:
    exports = {}
    for _, name, is_package in pkgutil.walk_packages(piopiy_pipeline.__path__, "piopiy_pipeline."):
        if is_package and name.count(".") == 1:
            exported = getattr(importlib.import_module(name), "__all__", None)
            if exported is not None:
                exports[name] = sorted(exported)
    exports["piopiy_pipeline"] = sorted(piopiy_pipeline.__all__)
    assert exports == EXPORTS


@pytest.mark.parametrize("package", EXPORTS)
def test_every_export_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name in EXPORTS[package]:
        assert getattr(module, name) is not None
