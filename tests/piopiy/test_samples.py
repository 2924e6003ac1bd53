"""Samples with the calls, imports and signatures that Piopiy has published, each a call in virtual time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.testing import Caller, Providers, Tool, Transcripts, Voice, simulate
from piopiy_pipeline.testing.botfile import load_bot
from tests.piopiy.conftest import SAMPLES

ANSWER = "We have roses and tulips today."
TOOLS = {
    "weather": ("tell_weather", {"town": "Chennai"}),
    "tools_schema": ("closing_time", {}),
    "two_tools": ("list_features", {}),
    "tts_switcher": ("change_voice", {}),
    "stt_switcher": ("other_ears", {}),
    "mcp_tools": ("look_up", {}),
    "mcp_client": ("look_up", {}),
    "created_aggregator": ("in_stock", {"flower": "roses"}),
    "realtime": ("in_stock", {}),
}
"""The tool that the model uses in a sample that has one."""

RUN = [
    "quickstart",
    "metadata",
    "agent_action",
    "configure",
    "weather",
    "two_tools",
    "tts_switcher",
    "stt_switcher",
    "mcp_tools",
    "mcp_client",
    "vad_values",
    "vad_params",
    "no_interruptions",
    "turn_start_strategy",
    "telecmi_params",
    "language",
    "azure_stack",
    "google_stack",
    "anthropic_elevenlabs",
    "groq_rime",
    "package_imports",
    "kokoro",
    "raw_pipeline",
    "raw_stage",
    "created_aggregator",
    "initial_messages",
    "openai_only",
    "other_models",
    "grok",
    "tools_schema",
    "interruption_frames",
    "realtime",
    "speech_agent",
    "muted_at_first",
]

SAY_WHAT_TO_DO = {
    "orpheus": "Use piopiy.services.kokoro.tts instead",
    "chatterbox": "Use piopiy.services.kokoro.tts instead",
    "playht": "Use piopiy.services.cartesia.tts instead",
    "ultravox_stt": "Use piopiy.services.ultravox.llm instead",
    "ultravox_omni": "Use piopiy.services.ultravox.llm instead",
    "transcripts": "Use piopiy.processors.aggregators.llm_response_universal instead",
}

pytestmark = [
    pytest.mark.usefixtures("sdks"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what the samples use of pipecat
]


class FakeServer:
    """An MCP client of the kind of pipecat's, which has no `mcp` package to speak through here."""

    made: Sequence[FakeServer] = ()

    def __init__(self, *_: Any, **__: Any) -> None:
        self._session_requested = False
        self.closed = False
        FakeServer.made = [*FakeServer.made, self]

    async def tools(self) -> ToolsSchema:
        self._session_requested = True

        async def look_up(params: FunctionCallParams) -> None:
            await params.result_callback("found")

        schema = FunctionSchema("look_up", "Look something up.", {}, [], handler=look_up)
        return ToolsSchema(standard_tools=[schema])

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def mcp(monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    module: Any = ModuleType("pipecat.services.mcp_service")
    module.MCPClient, module.StreamableHttpParameters = FakeServer, dict
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "piopiy.services.mcp_service", raising=False)
    from piopiy_pipeline.session import mcp_client

    monkeypatch.setattr(mcp_client, "MCPClient", mcp_client.published_client(module.MCPClient), raising=False)
    FakeServer.made = ()
    return FakeServer


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ["DEEPGRAM", "OPENAI", "CARTESIA", "ELEVENLABS", "ASSEMBLYAI", "ANTHROPIC", "GROQ", "RIME"]:
        monkeypatch.setenv(f"{name}_API_KEY", "key")
    monkeypatch.setenv("AZURE_KEY", "key")


def test_every_sample_is_in_one_of_the_lists() -> None:
    assert {path.stem for path in SAMPLES.glob("*.py")} == {*RUN, *SAY_WHAT_TO_DO}
    assert len(RUN) >= 28


@pytest.mark.parametrize("name", RUN)
def test_a_sample_runs(name: str, mcp: type[FakeServer]) -> None:
    tool = TOOLS.get(name)
    turn: Any = ANSWER if tool is None else (Tool(tool[0], **tool[1]), ANSWER)
    info = CallInfo(call_id="a-call", agent_id="an-agent", metadata={"customer_name": "Asha"})
    call = simulate(
        SAMPLES / f"{name}.py",
        Caller().say("What do you have today?").say("Thank you."),
        providers=Providers(stt=Transcripts(latency=0.3), llm=[turn, "Come again!"], tts=Voice()),
        info=info,
    )
    call.assert_said("good day")
    call.assert_said("roses and tulips")
    call.assert_ended("caller_hangup")
    if tool is not None:
        call.assert_tool(tool[0])
    assert all(client.closed for client in mcp.made), "started and stopped with the call"
    assert len(mcp.made) == name.startswith("mcp")


@pytest.mark.parametrize("name", SAY_WHAT_TO_DO)
def test_a_sample_that_cannot_run_says_what_to_do(name: str) -> None:
    with pytest.raises(ValueError) as raised:
        load_bot(SAMPLES / f"{name}.py")
    assert SAY_WHAT_TO_DO[name] in str(raised.value)


def test_the_table_of_samples_is_as_these_lists_have_it() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/samples_table.py", "--check"],
        cwd=SAMPLES.parents[2], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
