"""Beside PyPI's package `piopiy`, which has `piopiy/__init__.py` too: with real pip, in either order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REST_CLIENT = "piopiy==1.2.2"

BOT_FIRST = """
from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.agent import Agent
from piopiy.frames.frames import StartInterruptionFrame
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent
import sys, pipecat.services.openai.llm, piopiy.agent, piopiy_pipeline
assert piopiy.agent.__file__.startswith(sys.prefix)
assert Agent is piopiy_pipeline.Agent
assert VoiceAgent is piopiy_pipeline.VoiceAgent
assert OpenAILLMService is pipecat.services.openai.llm.OpenAILLMService
"""
CLIENT = """
from piopiy_voice import PipelineBuilder, RestClient
from piopiy import RestClient as Same
assert Same is RestClient
assert RestClient(token="token") and PipelineBuilder()
"""


def run(*command: str | Path) -> str:
    environ = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }  # it may be this checkout
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    built = subprocess.run(
        [uv, "build", "--wheel", "-q", "-o", folder / "ours", ROOT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    got = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder / "theirs", REST_CLIENT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if built.returncode or got.returncode:
        pytest.skip(f"no package index is reachable: {(built.stderr + got.stderr)[-300:]}")
    return {name: next((folder / name).glob("*.whl")) for name in ("ours", "theirs")}


class Environment:
    """A virtual environment that has this one's libraries, and nothing of this project."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.python = folder / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        libraries = folder / "lib" / version / "site-packages" / "libraries.pth"
        libraries.write_text(
            sysconfig.get_path("purelib")
        )  # its own .pth files, and so this checkout, do not count

    def pip(self, *arguments: str | Path) -> None:
        run(sys.executable, "-m", "pip", "-q", "--python", self.python, *arguments)

    def runs(self, code: str) -> None:
        run(self.python, "-P", "-c", code)


@pytest.mark.skipif(sys.platform == "win32", reason="a virtual environment is laid out otherwise")
@pytest.mark.parametrize("order", [("theirs", "ours"), ("ours", "theirs")], ids=["ours last", "theirs last"])
def test_both_work_in_either_order(order: tuple[str, str], wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env")
    for name in order:
        # Not compiled: of 950 modules the fewest are imported.
        environment.pip("install", "--no-deps", "--no-compile", wheels[name])
    environment.runs(CLIENT + BOT_FIRST)  # each begins as if it were alone
    environment.runs(BOT_FIRST + CLIENT)
    environment.pip("uninstall", "-y", "piopiy")
    environment.runs(BOT_FIRST)  # the file of both is gone with it, and no bot needs it
