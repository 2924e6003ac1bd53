"""Every module of Piopiy's SDK 0.6.1 leads somewhere: to pipecat's, to ours, or to an error that names a successor."""

from __future__ import annotations

import importlib
import pickle
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import piopiy
from piopiy import _modules, _moved

MODULES = (Path(__file__).parent / "data" / "modules_0_6_1.txt").read_text().split()
TOP = {name.split(".")[1] for name in MODULES if name.count(".") > 1}


def test_the_list_is_the_whole_of_it() -> None:
    assert len(MODULES) == len(set(MODULES)) == 458


@pytest.mark.parametrize("name", [name for name in MODULES if name != "piopiy"])
def test_a_module_leads_somewhere(name: str) -> None:
    if not any(above in _moved.GONE for above in _modules._self_and_above(name)):
        found = find_spec(name)
        assert found is not None
        if isinstance(found.loader, _modules.PublishedModules) and name not in _moved.EMPTY:
            assert all(find_spec(target) for target in _modules.targets_of(name))
        return
    with pytest.raises(ImportError) as raised:
        find_spec(name)
    told = re.search(r"Use (\S+) instead\.", str(raised.value))
    assert told, f"{raised.value} names no successor"
    assert name.startswith(raised.value.name or "nothing")
    assert find_spec(told[1]), f"{told[1]}, the successor of {name}, is not there"


def test_most_of_them_resolve() -> None:
    gone = [name for name in MODULES if any(above in _moved.GONE for above in _modules._self_and_above(name))]
    assert len(gone) <= 66, "what is gone is what has no equal"


def test_the_tables_name_what_there_is() -> None:
    for name in (
        *_moved.MOVED,
        *_moved.VIEWS,
        *_moved.GONE,
        *_moved.EMPTY,
        *_moved.GONE_NAMES,
        *_moved.RENAMED,
    ):
        assert any(each == name or each.startswith(f"{name}.") for each in MODULES), name
    assert set(_moved.WHY) <= set(_moved.GONE)
    for name, renamed in _moved.RENAMED.items():
        for old, now in renamed.items():
            module, _, attribute = now.rpartition(".")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    found = getattr(importlib.import_module(module), attribute)
            except ImportError:  # of a provider whose SDK is not here
                assert find_spec(module)
                continue
            assert getattr(importlib.import_module(name), old) is found


def test_every_package_has_its_file_for_another_packages_init() -> None:
    folder = Path(piopiy.__file__).parent
    assert {name for name in TOP if not (folder / name / "__init__.py").is_file()} == set()


def test_a_name_is_pipecats_own_object() -> None:
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema as Theirs
    from pipecat.frames import frames as their_frames
    from pipecat.pipeline import pipeline as their_pipeline
    from pipecat.pipeline.service_switcher import ServiceSwitcher as TheirSwitcher
    from pipecat.transports.websocket.fastapi import FastAPIWebsocketTransport as TheirTransport

    import piopiy.pipeline.pipeline as pipeline
    from piopiy.adapters.schemas.function_schema import FunctionSchema
    from piopiy.frames.frames import TextFrame
    from piopiy.pipeline.service_switcher import ServiceSwitcher
    from piopiy.transports.network.fastapi_websocket import FastAPIWebsocketTransport

    assert FunctionSchema is Theirs
    assert TextFrame is their_frames.TextFrame
    assert ServiceSwitcher is TheirSwitcher
    assert FastAPIWebsocketTransport is TheirTransport
    assert pipeline is their_pipeline, "a module is the module itself"


def test_nothing_is_set_on_pipecats_packages() -> None:
    import pipecat.services
    import pipecat.services.openai.llm
    import pipecat.turns

    import piopiy.services.openai.llm
    import piopiy.turns.mute  # noqa: F401

    assert pipecat.services.openai.__name__ == "pipecat.services.openai"
    assert not hasattr(pipecat.turns, "mute")


def test_a_providers_package_has_the_names_of_its_modules() -> None:
    from pipecat.services.openai.llm import OpenAILLMService as Theirs

    from piopiy.services.openai import OpenAILLMService
    from piopiy.services.openai import llm as module

    assert OpenAILLMService is Theirs
    assert module.OpenAILLMService is Theirs
    with pytest.raises(ImportError, match="NoSuchService"):
        from piopiy.services.openai import NoSuchService  # noqa: F401


def test_names_that_have_changed_are_the_objects_of_today() -> None:
    from pipecat.frames.frames import InterruptionFrame, OutputTransportMessageFrame

    from piopiy.frames.frames import StartInterruptionFrame, TransportMessageFrame

    assert StartInterruptionFrame is InterruptionFrame
    assert TransportMessageFrame is OutputTransportMessageFrame
    with pytest.raises(ImportError, match=r"TranscriptionUpdateFrame .* is gone\. Use VoiceAgent"):
        from piopiy.frames.frames import TranscriptionUpdateFrame  # type: ignore[attr-defined]  # noqa: F401


def test_star_import_and_modules_of_several() -> None:
    names: dict[str, object] = {}
    exec("from piopiy.services.ai_services import *", names)
    from pipecat.services.llm_service import LLMService

    assert names["LLMService"] is LLMService


def test_pickles_and_reloading() -> None:
    import pipecat.frames.frames as theirs

    import piopiy.clocks.system_clock as clock
    import piopiy.frames.frames as frames

    assert pickle.loads(pickle.dumps(frames.TextFrame)) is theirs.TextFrame
    old = b"cpiopiy.frames.frames\nTextFrame\n."  # as it was pickled with Piopiy's SDK
    assert pickle.loads(old) is theirs.TextFrame
    assert importlib.reload(frames) is frames
    assert frames.TextFrame is theirs.TextFrame
    assert importlib.reload(clock) is clock


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, piopiy; before = set(sys.modules); import piopiy.services.openai, piopiy.frames.frames, "
        "piopiy.transports.services; new = {name for name in set(sys.modules) - before}; "
        "print(sorted(name for name in new if name in "
        "('pipecat.services.openai.llm', 'pipecat.frames.frames', 'openai', 'pipecat.transports.base_transport')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_rest_clients_names_say_what_to_install() -> None:
    with pytest.raises(ImportError, match="pip install piopiy"):
        from piopiy import RestClient  # noqa: F401


def test_a_provider_whose_packages_are_missing_says_what_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(sys.modules):
        if "deepgram" in name or "services.fish" in name or name.startswith("ormsgpack"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "deepgram", None)
    monkeypatch.setitem(sys.modules, "ormsgpack", None)
    with pytest.raises(ImportError, match=r"pip install 'piopiy-pipeline\[deepgram\]'"):
        importlib.import_module("piopiy.services.deepgram.stt")
    with pytest.raises(ImportError, match=r"pip install 'piopiy-pipeline\[deepgram\]'"):
        from piopiy.services.deepgram import DeepgramSTTService  # noqa: F401
    with pytest.raises(ImportError, match=r"pip install 'pipecat-ai\[fish\]'"):
        importlib.import_module("piopiy.services.fish.tts")
