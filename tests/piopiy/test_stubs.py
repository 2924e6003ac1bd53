"""What type checkers see of Piopiy's modules: the types of where they lead to."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts import write_stubs

ROOT = Path(__file__).parents[2]

BOT = """
from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.frames.frames import StartInterruptionFrame, TextFrame
from piopiy.pipeline.task import PipelineParams, PipelineTask
from piopiy.processors.aggregators.openai_llm_context import OpenAILLMContext
from piopiy.services.openai import OpenAITTSService
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.transports.services.telecmi import TelecmiTransport

reveal_type(OpenAILLMService(api_key="key"))
reveal_type(OpenAITTSService(api_key="key"))
reveal_type(StartInterruptionFrame())
reveal_type(TextFrame("a"))
reveal_type(PipelineParams())
reveal_type(TelecmiTransport())
reveal_type(OpenAILLMContext())
FunctionSchema(7, "a", {}, [])
"""
SEEN = [
    "pipecat.services.openai.llm.OpenAILLMService",
    "pipecat.services.openai.tts.OpenAITTSService",
    "pipecat.frames.frames.InterruptionFrame",
    "pipecat.frames.frames.TextFrame",
    "pipecat.pipeline.worker.PipelineParams",
    "piopiy_pipeline.session.telecmi.TelecmiTransport",
    "piopiy_pipeline.session.openai_llm_context.OpenAILLMContext",
]


def test_mypy_knows_what_a_bot_imports(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    bot = tmp_path / "bot.py"
    bot.write_text(BOT)
    cache = ROOT / ".mypy_cache"  # that of `make lint`: all of pipecat is read otherwise
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", cache, bot],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
    )
    said = done.stdout.splitlines()
    assert [line.partition('"')[2].strip('"') for line in said if "Revealed" in line] == SEEN, (
        done.stdout + done.stderr
    )
    wrong = [line for line in said if "error" in line and "bot.py" in line]
    assert len(wrong) == 1
    assert 'Argument 1 to "FunctionSchema" has incompatible type "int"' in wrong[0]


@pytest.mark.skipif(version("pipecat-ai") != write_stubs.PIPECAT, reason="the stubs are of another pipecat")
def test_the_stubs_are_as_they_would_be_written() -> None:
    wanted = write_stubs.stubs()
    there = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "piopiy").rglob("*.pyi")}
    own = {path for path, text in there.items() if not text.startswith(write_stubs.HEAD)}
    assert own == {Path("piopiy/__init__.pyi")}
    stale = [str(path) for path, text in wanted.items() if there.get(path) != text]
    assert stale == [], "run scripts/write_stubs.py"
    assert set(there) - own == set(wanted)
