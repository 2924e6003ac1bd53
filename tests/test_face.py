"""The drop-in face: Piopiy's import paths lead to this project's classes and pipecat's services."""

from __future__ import annotations

import importlib.metadata
from importlib import import_module

import pytest


def test_the_published_imports_are_ours() -> None:
    import piopiy.agent
    import piopiy.tools
    import piopiy.voice_agent
    import piopiy_pipeline
    import piopiy_pipeline.tools

    assert piopiy.agent.Agent is piopiy_pipeline.Agent
    assert piopiy.voice_agent.VoiceAgent is piopiy_pipeline.VoiceAgent
    assert piopiy.tools.transfer_call is piopiy_pipeline.tools.transfer_call


def test_a_service_is_pipecats_own_class_under_either_name() -> None:
    from pipecat.services.openai.llm import OpenAILLMService as Theirs

    from piopiy.services.openai.llm import OpenAILLMService as Published

    assert Published is Theirs
    import pipecat.services.openai.llm as module

    assert module.__name__ == "pipecat.services.openai.llm", "their module keeps its own name"


def test_a_service_that_there_is_not_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_provider"):
        import_module("piopiy.services.no_such_provider")


def test_both_distributions_in_one_environment_are_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import piopiy

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    with pytest.raises(ImportError, match="pip uninstall -y piopiy-ai piopiy-pipeline"):
        piopiy._refuse_company()


def test_every_public_name_is_there() -> None:
    import piopiy_pipeline

    for name in piopiy_pipeline.__all__:
        assert getattr(piopiy_pipeline, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        piopiy_pipeline.nothing  # noqa: B018
