"""Which function of a bot's file answers calls."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from piopiy_pipeline.testing.botfile import callback_of, load_bot
from piopiy_pipeline.testing.line.callers import Caller
from piopiy_pipeline.testing.simulation import simulate, simulate_many


def bot(folder: Path, text: str) -> Path:
    path = folder / "bot.py"
    path.write_text(text)
    return path


def name_of(path: Path) -> str:
    return load_bot(path).__name__


def test_it_is_the_one_that_is_given_to_the_agent(tmp_path: Path) -> None:
    text = (
        "async def create_session(call_id): ...\n"
        "async def second(call_id): ...\n"
        "def main():\n"
        "    import piopiy.agent\n"
        "    piopiy.agent.Agent('id', 'token', {})\n"
    )
    assert name_of(bot(tmp_path, text.format("create_session=second"))) == "second"
    assert name_of(bot(tmp_path, text.format("second"))) == "second"


@pytest.mark.parametrize(
    ("within", "given"),
    [
        ("handle = lambda: 1", "create_session=handle"),
        ("on_new_session = other", "create_session=on_new_session"),
        ("async def on_new_session(call): ...", "'id', 'token', on_new_session"),
        ("from sys import exit as on_new_session", "create_session=on_new_session"),
        ("for on_new_session in [other]: pass", "create_session=on_new_session"),
        ("bots = [other]", "create_session=bots[0]"),
        ("...", "create_session=callback"),
        ("...", "create_session=undefined"),
        ("...", "**options"),
        ("...", "*arguments"),
    ],
)
def test_one_that_only_main_knows_is_refused_and_no_other_one_answers(
    tmp_path: Path, within: str, given: str
) -> None:
    text = (
        "from piopiy_pipeline import Agent\n"
        "async def on_new_session(call): ...\n"
        "async def other(call): ...\n"
        "arguments, options = ('id', 'token', other), {'create_session': other}\n"
        "def main(callback=other):\n"
        f"    {within}\n"
        f"    Agent({given})\n"
    )
    with pytest.raises(ValueError, match=r"bot\.py:7: .*known only while the bot runs"):
        load_bot(bot(tmp_path, text))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("partial(answer, menu=['tea'])", "partial(answer)"),
        ("BOT.answer", "method"),
        ("made('this one')", "this one"),
    ],
)
def test_one_that_is_not_a_function_of_the_file_is_the_same_as_the_agents(
    tmp_path: Path, given: str, what: str
) -> None:
    text = (
        "from functools import partial\n"
        "from piopiy.agent import Agent as PhoneAgent\n"
        "async def on_new_session(call): ...\n"
        "async def answer(call, menu): ...\n"
        "class Bot:\n"
        "    async def answer(self, call): ...\n"
        "def made(name):\n"
        "    async def answer(call): ...\n"
        "    answer.__name__ = name\n"
        "    return answer\n"
        "BOT = Bot()\n"
        "def main():\n"
        f"    PhoneAgent('id', 'token', create_session={given})\n"
    )
    callback = load_bot(bot(tmp_path, text))
    if what == "partial(answer)":
        assert isinstance(callback, partial)
        assert (callback.func.__name__, callback.keywords) == ("answer", {"menu": ["tea"]})
    elif what == "method":
        assert callback.__qualname__ == "Bot.answer"
    else:
        assert callback.__name__ == what


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ("lambda call: 1", TypeError, "must be 'async def'"),
        ("needs_more", TypeError, "wants 'people', which is not of a call"),
        ("None", TypeError, "must be an async function, not None"),
        ("1 / 0", ValueError, r"bot\.py:4: 1 / 0 fails: ZeroDivisionError"),
    ],
)
def test_one_that_the_agent_would_refuse_is_refused_as_it_does(
    tmp_path: Path, given: str, error: type[Exception], told: str
) -> None:
    text = (
        "from piopiy_pipeline import Agent\n"
        "async def on_new_session(call): ...\n"
        "async def needs_more(people): ...\n"
        f"def main(): Agent('id', 'token', create_session={given})\n"
    )
    with pytest.raises(error, match=told):
        load_bot(bot(tmp_path, text))


def test_several_agents_have_one_callback_or_a_file_each(tmp_path: Path) -> None:
    text = (
        "from piopiy_pipeline import Agent\n"
        "async def one(call): ...\n"
        "async def two(call): ...\n"
        "def main():\n"
        "    Agent('a', 'token', one)\n"
        "    Agent('b', 'token', {})\n"
    )
    assert name_of(bot(tmp_path, text.format("one"))) == "one"
    with pytest.raises(ValueError, match="agents of lines 5, 6 have different ones"):
        load_bot(bot(tmp_path, text.format("two")))


def test_another_class_called_agent_is_none(tmp_path: Path) -> None:
    text = "class Agent: ...\nasync def one(call): ...\ndef main(other): Agent('id', 'token', other)\n"
    assert name_of(bot(tmp_path, text)) == "one"


def test_it_is_the_one_with_the_usual_name(tmp_path: Path) -> None:
    text = "async def helper(call): ...\nasync def on_new_session(call): ...\n"
    assert name_of(bot(tmp_path, text)) == "on_new_session"


def test_it_is_the_only_one_that_takes_a_call(tmp_path: Path) -> None:
    text = (
        "from asyncio import sleep\n"
        "async def main(): ...\n"
        "async def tool(params, people): ...\n"
        "async def answer(agent_id, metadata=None): ...\n"
    )
    assert name_of(bot(tmp_path, text)) == "answer"


def test_a_file_in_which_it_cannot_be_told_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    text = "async def one(call): ...\nasync def two(call): ...\n"
    with pytest.raises(ValueError, match=r"which function answers calls\? Found: one, two"):
        load_bot(bot(tmp_path, text))
    with pytest.raises(ValueError, match="Found: none"):
        load_bot(bot(tmp_path, "x = 1\n"))
    with pytest.raises(ValueError, match="no such file"):
        load_bot(tmp_path / "nobody.py")


def test_a_last_line_that_runs_the_agent_does_not_run_it(tmp_path: Path) -> None:
    text = "import asyncio\nasync def one(call): ...\nasync def main(): ...\nasyncio.run(main())\nAFTER = 1\n"
    assert load_bot(bot(tmp_path, text)).__name__ == "one"


def test_a_file_beside_it_can_be_imported_and_its_own_name_is_not_main(tmp_path: Path) -> None:
    (tmp_path / "beside_this_bot.py").write_text("GREETING = 'hi'\n")
    text = (
        "from beside_this_bot import GREETING\n"
        "assert __name__ != '__main__'\n"
        "async def on_new_session(call): return GREETING\n"
    )
    assert name_of(bot(tmp_path, text)) == "on_new_session"


def test_it_is_imported_afresh_each_time(tmp_path: Path) -> None:
    path = bot(tmp_path, "SEEN = []\nasync def on_new_session(call): ...\n")
    first, second = load_bot(path), load_bot(path)
    assert first is not second


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("print(1 / 0)", "ZeroDivisionError at bot.py:2: division by zero"),
        ("int('x')", "ValueError at bot.py:2: invalid literal"),
        ("import no_such_module", "ModuleNotFoundError at bot.py:2: No module named"),
        ("raise SystemExit(3)", "SystemExit at bot.py:2: 3"),
        ("a = = 1", r"invalid syntax \(bot.py, line 2\)"),
    ],
)
def test_an_import_that_fails_is_told_with_the_file_and_the_line(
    tmp_path: Path, line: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = bot(tmp_path, f"import os\n{line}\nasync def on_new_session(call): ...\n")
    with pytest.raises(ValueError, match=f"bot.py cannot be imported: .*{told}"):
        load_bot(path)


def test_an_agent_that_is_made_at_the_import_finds_its_id_and_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENT_ID", raising=False)
    monkeypatch.setenv("AGENT_TOKEN", "")
    text = (
        "import asyncio, os\n"
        "from piopiy_pipeline import Agent\n"
        "async def answer(call): ...\n"
        "agent = Agent(agent_id=os.getenv('AGENT_ID'), agent_token=os.getenv('AGENT_TOKEN'),\n"
        "              create_session=answer, isolation='process', workers='call')\n"
        "asyncio.run(agent.connect())\n"
    )
    assert name_of(bot(tmp_path, text)) == "answer"
    assert "AGENT_ID" not in os.environ
    assert os.environ["AGENT_TOKEN"] == ""


def test_a_bot_is_given_as_its_path_or_its_callback_and_not_as_text(tmp_path: Path) -> None:
    async def answer(call: object) -> None: ...

    assert callback_of(answer) is answer
    assert callback_of(bot(tmp_path, "async def one(call): ...\n")).__name__ == "one"
    with pytest.raises(TypeError, match=r"for a bot's file, pass Path\('my_bot.py'\)"):
        simulate("my_bot.py", Caller().hangup())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"for a bot's file, pass Path\('my_bot.py'\)"):
        simulate_many("my_bot.py", [Caller().hangup()])  # type: ignore[arg-type]


def test_the_text_of_a_file_may_be_of_any_encoding_that_python_reads(tmp_path: Path) -> None:
    path = tmp_path / "bot.py"
    text = "from piopiy_pipeline import Agent\nasync def one(call): 'Grüß Gott'\ndef main(): Agent('i', 't', one)\n"
    for content in (
        b"\xef\xbb\xbf" + text.encode(),
        b"# -*- coding: latin-1 -*-\n" + text.encode("latin-1"),
    ):
        path.write_bytes(content)
        assert name_of(path) == "one"
        assert main(["flow", str(flow_file(tmp_path)), "--bot", str(path)]) == 0


def flow_file(folder: Path) -> Path:
    path = folder / "desk.yaml"
    path.write_text("initial_node: a\nnodes:\n  a: {task_messages: []}\n")
    return path


def beside(folder: Path, greeting: str, where: str) -> Path:
    """A bot that greets with what stands in a file beside it, imported at the top of the file or in its callback."""
    folder.mkdir()
    (folder / "words_of_bot.py").write_text(f"GREETING = {greeting!r}\n")
    text = (
        "from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS\n"
        "from piopiy_pipeline.voice_agent import VoiceAgent\n"
        "{top}\n"
        "async def on_new_session(call_id):\n"
        "    {inside}\n"
        "    agent = VoiceAgent(instructions='Be brief.', greeting=words_of_bot.GREETING)\n"
        "    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())\n"
        "    await agent.start()\n"
    )
    line = "import words_of_bot"
    return bot(
        folder, text.format(top=line if where == "top" else "", inside=line if where != "top" else "pass")
    )


@pytest.mark.parametrize("where", ["top", "callback"])
def test_each_bot_imports_the_file_beside_itself_whichever_was_there_before(
    tmp_path: Path, where: str
) -> None:
    paths = [beside(tmp_path / name, f"I am {name}.", where) for name in ("a", "b")]
    before = list(sys.path)
    heard = [simulate(path, Caller().until("i am").hangup()).said for path in (*paths, paths[0])]
    assert heard == ["I am a.", "I am b.", "I am a."]
    assert sys.path == before
