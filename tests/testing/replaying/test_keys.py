"""A replay where no provider's key is set, as in CI: a service needs none where the recording answers for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAIError
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.services.providers import ProviderError, build
from piopiy_pipeline.testing import Caller, Providers, replay, simulate
from piopiy_pipeline.testing.replaying.replay import Replay
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import GREETING
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "LLM_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def bot(make: Callable[[], Any]) -> Callable[[str], Any]:
    """A bot with a model of its own making."""

    async def create_session(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
        await agent.Action(stt=ScriptedSTT(["a table please"]), llm=make(), tts=ToneTTS())
        await agent.start()

    return create_session


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call with a model whose settings are those of OpenAI's service."""

    path = tmp_path_factory.mktemp("calls") / "call.zip"
    caller = Caller().say(PEOPLE).pause(3).hangup()
    providers = Providers(llm=["For how many?"])
    simulate(bot(lambda: OpenAILLMService(api_key="none")), caller, providers=providers, record=path)
    return path


def by_name() -> Any:
    return build("llm", "openai")


def with_its_own_client() -> Any:
    class Own(OpenAILLMService):
        def __init__(self, *, api_key: str | None = None) -> None:
            if not api_key:
                raise ValueError("a key, please")
            super().__init__(api_key=api_key)

    return Own()


@pytest.mark.parametrize(
    "make",
    [OpenAILLMService, lambda: OpenAILLMService(api_key=None), by_name, with_its_own_client],
    ids=["no argument", "none", "by name", "of a class that is made later"],
)
def test_a_service_that_the_recording_answers_for_needs_no_key(
    make: Callable[[], Any], recorded: Path
) -> None:
    replay(recorded, bot(make)).assert_same()


def ends(outcome: Replay) -> str:
    (end,) = [each for each in outcome.differences if each.what == "end"]
    return str(end.now)


def test_a_service_that_is_no_stage_of_the_pipeline_gets_no_placeholder(recorded: Path) -> None:
    def make() -> ScriptedLLM:
        kept.append(OpenAILLMService())
        return ScriptedLLM([])

    kept: list[Any] = []
    assert "OpenAILLMService was made without its provider's key" in ends(replay(recorded, bot(make)))


def test_a_mistake_that_has_nothing_to_do_with_a_key_is_said_as_it_is(recorded: Path) -> None:
    class Broken(OpenAILLMService):
        def __init__(self, *, api_key: str | None = None) -> None:
            raise ValueError(f"there is no such region (key: {api_key})")

    assert "there is no such region (key: None)" in ends(replay(recorded, bot(Broken)))


def test_after_a_replay_services_need_their_keys_again(recorded: Path) -> None:
    made = OpenAILLMService.__init__
    asked: list[Exception] = []

    def make() -> ScriptedLLM:
        llm = ScriptedLLM([])

        async def ask(*_: object) -> None:
            for attempt in (OpenAILLMService, by_name):
                with pytest.raises((OpenAIError, ProviderError)) as found:
                    attempt()
                asked.append(found.value)

        llm.add_event_handler("on_before_process_frame", ask)
        return llm

    replay(recorded, bot(make))
    assert len(asked) >= 2, "a service that is made while the call runs is none of the replay's"
    assert OpenAILLMService.__init__ is made
    assert not any("placeholder" in str(error) for error in asked)
    with pytest.raises(OpenAIError):
        OpenAILLMService()
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        by_name()
