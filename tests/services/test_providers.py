"""Services by name: what is chosen, what is missing, and what to do about it."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.services import providers
from piopiy_pipeline.services.playbook.model import PlaybookError
from piopiy_pipeline.services.providers import (
    ProviderError,
    build,
    check,
    chosen,
    from_environment,
    names,
    prepare,
)
from piopiy_pipeline.services.stt import moonshine_files


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(handler)


PLAYBOOK = Path(__file__).parents[2] / "examples" / "front_desk.yaml"


def test_offline_services_are_the_default() -> None:
    assert [chosen(kind, {}) for kind in ("stt", "tts", "llm")] == ["moonshine", "piper", "playbook"]
    stt, llm, tts = from_environment(playbook=PLAYBOOK, env={})
    found = [type(service).__name__ for service in (stt, llm, tts)]
    assert found == ["MoonshineSTTService", "PlaybookLLMService", "PiperTTSService"]


@pytest.mark.parametrize("env", [{"OPENAI_API_KEY": "k"}, {"LLM_BASE_URL": "http://127.0.0.1:1/v1"}])
def test_a_key_or_a_base_url_makes_a_language_model_the_default(env: dict[str, str]) -> None:
    assert chosen("llm", env) == "openai"
    assert chosen("stt", env) == "moonshine"
    assert chosen("llm", {**env, "PIOPIY_LLM": "playbook"}) == "playbook"


def test_a_voice_that_is_named_and_missing_is_said_and_not_replaced_by_another() -> None:
    env = {"PIPER_VOICE": "xx_XX-nobody-low"}
    assert chosen("tts", env) == "piper"
    with pytest.raises(ProviderError, match=r"python -m piper\.download_voices xx_XX-nobody-low"):
        build("tts", "piper", env=env)


def test_a_base_url_needs_no_key() -> None:
    llm = build("llm", "openai", env={"LLM_BASE_URL": "http://127.0.0.1:1/v1", "LLM_MODEL": "llama3.2"})
    assert type(llm).__name__ == "OpenAILLMService"
    assert llm._settings.model == "llama3.2"


@pytest.mark.parametrize(
    ("name", "env", "address"),
    [
        ("openai", {"OPENAI_API_KEY": "k"}, "https://api.openai.com"),
        ("ollama", {}, "http://localhost:11434"),
    ],
)
def test_an_empty_base_url_is_none(name: str, env: dict[str, str], address: str) -> None:
    """As a file of settings has it that was copied from a template."""
    llm: Any = build("llm", name, env={**env, "LLM_BASE_URL": "", "LLM_MODEL": ""})
    assert str(llm._client.base_url).startswith(address)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("stt", "openai", "OPENAI_API_KEY is not set"),
        ("tts", "cartesia", "CARTESIA_API_KEY is not set; cartesia: CARTESIA_VOICE_ID is not set"),
        ("llm", "openai", "neither OPENAI_API_KEY nor LLM_BASE_URL is set"),
        ("llm", "playbook", "needs a playbook file"),
        ("stt", "siri", "not known; choose one of moonshine, "),
    ],
)
def test_what_is_missing_is_named(kind: providers.Kind, name: str, message: str) -> None:
    with pytest.raises(ProviderError, match=message.replace("(", r"\(")):
        build(kind, name, env={})


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find_spec", lambda _: None)
    with pytest.raises(ProviderError, match=r"pip install 'piopiy-pipeline\[deepgram\]'"):
        build("stt", "deepgram", env={"DEEPGRAM_API_KEY": "k"})
    assert check("tts", "espeak", {}) == [
        "espeak: espeakng_loader is not installed: pip install 'piopiy-pipeline[espeak]'"
    ]


@pytest.fixture
def nothing_hears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine for which there is no wheel of moonshine-voice, and without its model."""
    monkeypatch.setattr(moonshine_files, "_PACKAGE", "moonshine_nowhere")
    monkeypatch.setattr(moonshine_files, "DOWNLOADED", tmp_path / "tiny-en")


@pytest.mark.usefixtures("nothing_hears")
def test_what_is_not_installed_is_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"faster_whisper"}
    monkeypatch.setattr(providers, "find_spec", lambda name: None if name in missing else object())
    assert chosen("stt", {}) == "moonshine"
    with pytest.raises(ProviderError, match=r"^moonshine: there is no speech model: pip install"):
        build("stt", chosen("stt", {}), env={})
    missing.clear()
    assert chosen("stt", {}) == "whisper"
    missing.add("piper")
    assert chosen("tts", {}) == "espeak"


@pytest.mark.usefixtures("nothing_hears")
def test_the_model_that_was_downloaded_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_spec("moonshine_voice")
    assert model is not None
    assert model.submodule_search_locations is not None
    monkeypatch.setattr(
        moonshine_files, "DOWNLOADED", Path(model.submodule_search_locations[0]) / "assets" / "tiny-en"
    )
    assert check("stt", "moonshine", {}) == []


def test_keys_are_never_in_a_message() -> None:
    for provider in providers.PROVIDERS:
        problems = check(provider.kind, provider.name, dict.fromkeys(provider.keys, "s3cret"))
        assert "s3cret" not in " ".join(problems)


@pytest.mark.parametrize(
    ("kind", "name"), [("stt", "openai"), ("tts", "openai"), ("tts", "cartesia"), ("llm", "ollama")]
)
def test_pipecats_own_services_are_built_with_their_keys(kind: providers.Kind, name: str) -> None:
    env = {"OPENAI_API_KEY": "k", "CARTESIA_API_KEY": "k", "CARTESIA_VOICE_ID": "v"}
    assert build(kind, name, env=env) is not None


def test_no_sdk_is_imported_before_it_is_chosen() -> None:
    code = (
        "import sys; from piopiy_pipeline.services.providers import check, names\n"
        "[check(kind, name, {}) for kind in ('stt', 'tts', 'llm') for name in names(kind)]\n"
        "assert not {'openai', 'pipecat', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_playbook_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(PLAYBOOK.read_text())
    build("llm", "playbook", playbook=path, env={})
    path.write_text("intents: {}\n")
    with pytest.raises(PlaybookError, match=r"book\.yaml:1: intents: expected at least one"):
        build("llm", "playbook", playbook=path, env={})


def test_names_are_in_the_order_of_the_table() -> None:
    assert names("tts") == ("piper", "espeak", "cartesia", "openai")


def test_prepare_loads_the_models_and_says_which(log: list[str]) -> None:
    from piopiy_pipeline.services.stt.moonshine import moonshine_pool
    from piopiy_pipeline.services.workers.worker_pool import close_pools

    moonshine_files._common_words.cache_clear()
    asyncio.run(prepare(playbook=PLAYBOOK, env={}))
    assert all(worker.pid for worker in moonshine_pool().workers)
    read = moonshine_files._common_words.cache_info().misses
    build("stt", "moonshine", hot_words=["Gnocchi"], env={})
    assert moonshine_files._common_words.cache_info().misses == read, "no call reads the common words"
    (line,) = [line for line in log if "loaded in" in line]
    assert re.fullmatch(r"ears: moonshine tiny-en 44 MB, voice: \S+ \S+ \d+ MB, loaded in \d+\.\d s", line)
    close_pools()


def test_prepare_says_what_is_still_loading_when_it_takes_long(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        role, name, megabytes = "ears", "tiny", 44

        async def load(self) -> None:
            while not log:  # noqa: ASYNC110  the line comes of a timer
                await asyncio.sleep(0)

    monkeypatch.setattr(providers, "SLOW_LOAD_S", 0.0)
    monkeypatch.setattr(providers, "find_offline_model", lambda *_: Model())
    asyncio.run(asyncio.wait_for(prepare(["stt"], env={}), 20))
    assert log[0] == "ears: tiny 44 MB, still loading"


def test_prepare_refuses_what_cannot_be_used() -> None:
    with pytest.raises(ProviderError, match="DEEPGRAM_API_KEY is not set"):
        asyncio.run(prepare(env={"PIOPIY_STT": "deepgram"}))
