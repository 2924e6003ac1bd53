"""Services in one place have names by which a person knows which is meant."""

from __future__ import annotations

import pytest
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.services.failover.service_names import names_of
from tests.support.services import ToneTTS


def model(model: str, *, host: str = "api.openai.com", name: str | None = None) -> OpenAILLMService:
    return OpenAILLMService(
        api_key="none",
        base_url=f"https://user:secret@{host}/v1",
        settings=OpenAILLMService.Settings(model=model),
        name=name,
    )


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ([model("gpt-4o")], ["OpenAILLMService"]),
        ([model("gpt-4o"), model("gpt-4.1")], ["OpenAILLMService gpt-4o", "OpenAILLMService gpt-4.1"]),
        (
            [model("gpt-4o"), model("gpt-4o", host="llm.example:8443")],
            ["OpenAILLMService at api.openai.com", "OpenAILLMService at llm.example:8443"],
        ),
        (
            [model("gpt-4o"), model("llama", host="127.0.0.1:8080")],
            ["OpenAILLMService gpt-4o at api.openai.com", "OpenAILLMService llama at 127.0.0.1:8080"],
        ),
        ([model("gpt-4o"), model("gpt-4o")], ["OpenAILLMService (1 of 2)", "OpenAILLMService (2 of 2)"]),
        ([model("gpt-4o", name="quick"), model("gpt-4o", name="clever")], ["quick", "clever"]),
        ([model("gpt-4o", name="quick"), model("gpt-4o")], ["quick", "OpenAILLMService"]),
    ],
)
def test_a_model_is_named_by_what_tells_it_from_the_others(
    models: list[OpenAILLMService], names: list[str]
) -> None:
    assert list(names_of(models).values()) == names
    switch = ModelSwitch(models)
    assert [switch.name_of(each) for each in models] == names


def test_services_of_different_classes_are_named_by_their_class() -> None:
    assert list(names_of([model("gpt-4o"), ToneTTS()]).values()) == ["OpenAILLMService", "ToneTTS"]
