"""The documentation is checked as code is: its links lead somewhere, and its code blocks work.

Every fenced block names its language, and each language has its check:

- ``python`` on the pages of `TEST_PAGES` is a test file, and passes as it stands. On other pages each block is
  compiled, its imports are carried out, and a name that neither the page nor `GIVEN` has is an error. The webhook
  receiver of docs/api.md is also used as it stands, in tests/gateway/webhooks/test_sender.py, and the bot of
  the README in tests/call/test_published.py. The README's test of a call is run here, and so is each program that makes
  an `Agent`, up to its connection; a bot that is whole takes a call in virtual time.
- ``toml`` is read as the configuration of a gateway.
- ``sh``, and code in backticks: verbs and options of ``piopiy``, targets of ``make`` and files exist.
- ``json`` and ``yaml`` are parsed; a block that begins with ``# name.yaml`` is a file of the page's tests;
  ``text`` and ``mermaid`` are drawings and output.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from piopiy_pipeline import Agent
from piopiy_pipeline.cli.verbs import app
from piopiy_pipeline.gateway import GatewayConfig
from piopiy_pipeline.services import providers
from piopiy_pipeline.testing import Caller, Providers, Replies, Transcripts, Voice
from scripts.draw_floors import PICTURE, draw
from tests.call.test_published import PUBLISHED
from tests.rules.pages import PAGES, ROOT, CodeBlock, anchors, code_blocks, commands, links, prose

LANGUAGES = {"python", "toml", "sh", "json", "yaml", "text", "mermaid"}

GIVEN = {
    "stt",
    "llm",
    "tts",
    "call",
    "agent",
    "voice_agent",
    "on_new_session",
    "MaskDigits",
    "Path",
    "np",
    "re",
}
"""Names that a reader has already: services, what a callback makes, a class that the page links to."""

TEST_PAGES = {
    ROOT / "docs" / "processors.md": 8,
    ROOT / "docs" / "control.md": 2,
    ROOT / "docs" / "chat.md": 1,
    ROOT / "docs" / "collecting.md": 3,
    ROOT / "docs" / "flows.md": 2,
}
"""Pages whose Python is a test file -> how many tests it has at least."""

GUIDES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]
"""Pages whose paths and methods, in backticks, have to be there."""

BLOCKS = [block for page in PAGES for block in code_blocks(page)]


def _of(*languages: str) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages]


def _tests_of_pages() -> list[Any]:
    return [
        pytest.param(page, name, id=f"{page.name}-{name}")
        for page in TEST_PAGES
        for name in re.findall(r"^def (test_\w+)\(\)", _source(page), re.M)
    ]


@cache
def _source(page: Path) -> str:
    return "\n".join(block.text for block in code_blocks(page) if block.language == "python")


@cache
def _module(page: Path) -> types.ModuleType:
    module = types.ModuleType(f"page_{page.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module
    exec(compile(_source(page), str(page), "exec"), module.__dict__)
    return module


def test_every_block_names_its_language() -> None:
    assert {block.place: block.language for block in BLOCKS if block.language not in LANGUAGES} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize(("page", "name"), _tests_of_pages())
def test_a_test_on_a_page_passes(
    page: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("OPENAI_API_KEY", "LLM_BASE_URL", "PIOPIY_LLM"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(tmp_path if _save_files(page, tmp_path) else ROOT)
    test: Callable[[], None] = getattr(_module(page), name)
    test()


def _save_files(page: Path, folder: Path) -> int:
    """Save the page's blocks of YAML that begin with a file's name, and return how many there are."""
    blocks = [block.text for block in code_blocks(page) if block.language == "yaml"]
    named = [(text, match[1]) for text in blocks if (match := re.match(r"# (\w+\.yaml)\n", text))]
    for text, name in named:
        (folder / name).write_text(text)
    return len(named)


def test_the_pages_that_are_tests_are_found() -> None:
    found = [param.values[0] for param in _tests_of_pages()]
    for page, least in TEST_PAGES.items():
        assert found.count(page) >= least


def test_the_test_of_a_call_in_the_readme_passes(
    simulate: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BOOKINGS", str(tmp_path / "bookings.jsonl"))
    blocks = [block for block in code_blocks(ROOT / "README.md") if "(simulate)" in block.text]
    assert len(blocks) == 1
    names: dict[str, Any] = {}
    exec(compile(blocks[0].text, blocks[0].place, "exec"), names)
    (test,) = (each for name, each in names.items() if name.startswith("test_"))
    test(simulate)


def _programs() -> list[Any]:
    """Blocks that make an agent or are a whole bot, and name all that they need."""
    pages = [each for each in _of("python") if each.values[0].page not in TEST_PAGES]
    return [
        each
        for each in pages
        if ("Agent(" in each.values[0].text and "=..." not in each.values[0].text)
        and ("Agent(agent_id" in each.values[0].text or _CALLBACK.search(each.values[0].text))
    ]


_CALLBACK = re.compile(r"^async def (create_session|on_new_session)\(", re.M)


@pytest.mark.parametrize("block", _programs())
def test_a_program_on_a_page_runs_and_its_bot_takes_a_call(
    block: CodeBlock, simulate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object, **__: object) -> None:
        """In place of a connection, and of the models that the first caller need not wait for."""

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AGENT_ID", "desk")
    monkeypatch.setenv("AGENT_TOKEN", "token")
    monkeypatch.setattr(Agent, "connect", nothing)
    monkeypatch.setattr(providers, "prepare", nothing)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block.text, block.place, "exec"), names)
    if ".start()" in block.text and (callback := _CALLBACK.search(block.text)):
        scripted = Providers(stt=Transcripts(), llm=Replies("It is."), tts=Voice())
        caller = Caller().say("Is it open today?").pause(5)
        call = simulate(names[callback[1]], caller, providers=scripted)
        call.assert_said("It is.")
        call.assert_ended("caller_hangup")


def test_the_programs_on_pages_are_found() -> None:
    pages = {each.values[0].page.name for each in _programs()}
    assert {"README.md", "index.md", "isolation.md", "capacity.md", "turns.md"} <= pages


@pytest.mark.parametrize("block", _of("python"))
def test_python_compiles_and_every_name_and_import_is_there(block: CodeBlock) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree = compile(block.text, block.place, "exec", flags=flags)
    page = compile(_source(block.page), str(block.page), "exec", flags=flags)
    assert isinstance(tree, ast.Module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert used - _bound(page) - set(dir(builtins)) - GIVEN == set()


def _bound(tree: ast.AST) -> set[str]:
    """Every name that a module binds anywhere."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.arg():
                names.add(node.arg)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
    return names


@pytest.mark.parametrize("block", _of("toml"))
def test_toml_is_a_gateways_configuration(block: CodeBlock, tmp_path: Path) -> None:
    text = block.text.replace('"whsec_..."', '"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"')
    if "agents" not in tomllib.loads(text):
        text += '\n[agents]\nfront_desk = "its-token"\n'
    if 'host = "0.0.0.0"' not in text and "api_keys" not in text:
        text = 'api_keys = ["key"]\n' + text
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    GatewayConfig.load(file, environ={})


def test_data_is_parsed() -> None:
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    for command in commands(page):
        words = _words(command)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if not words:
            continue
        program = words[0].removeprefix(".venv/bin/")
        if program == "piopiy":
            _check_piopiy(command, words[1:])
        elif program == "make":
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
            assert {word for word in words[1:] if "=" not in word} <= targets, command
        elif program in ("python", "pytest", "sh"):
            _check_files(command, words[1:])


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:  # code in backticks that is no command
        return []


@cache
def _verbs() -> dict[str, set[str]]:
    """Verb -> its options, as the command line has them."""
    group: Any = typer.main.get_command(app)
    return {
        name: {option for parameter in verb.params for option in [*parameter.opts, *parameter.secondary_opts]}
        for name, verb in group.commands.items()
    }


def _check_piopiy(command: str, words: list[str]) -> None:
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return  # `piopiy` alone, `piopiy --help`, `piopiy ...`
    verb, *rest = words
    assert verb in _verbs(), command
    options = {word.partition("=")[0] for word in rest if re.match(r"-{1,2}[a-z]", word)}
    assert options <= _verbs()[verb] | {"--help"}, command
    _check_files(command, rest)


def _check_files(command: str, words: list[str]) -> None:
    """Files of this repository that a command names are there."""
    for position, word in enumerate(words):
        if re.match(r"(tests|examples|benchmarks|scripts|docs)/", word):
            assert list(ROOT.glob(word.partition("::")[0])), f"{command}: no {word}"
        elif position and words[position - 1] == "-m" and re.match(r"(tests|examples|benchmarks)\.", word):
            assert (ROOT / word.replace(".", "/")).with_suffix(".py").exists(), f"{command}: no {word}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_file_and_method_that_a_guide_names_is_there(page: Path) -> None:
    names = re.findall(r"`([^`\n]+)`", prose(page))
    made_up = ("mycarrier", "mystage", "myverb", "myexample", "site/")
    files = [name for name in names if re.fullmatch(r"[\w./]+(\.(py|md|toml|svg)|/)", name)]
    files = [name for name in files if not any(each in name for each in made_up)]
    missing = [
        name for name in files if not any((base / name).exists() for base in (ROOT, ROOT / "piopiy_pipeline"))
    ]
    methods = {name for name in names if re.fullmatch(r"[A-Z][a-zA-Z]+\.[a-z_]+", name)} - set(files)
    assert missing + sorted(methods - _methods()) == []


@cache
def _methods() -> set[str]:
    """`Class.method` of every class of the package."""
    return {
        f"{node.name}.{member.name}"
        for path in (ROOT / "piopiy_pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_example_has_its_row() -> None:
    folder = ROOT / "examples"
    named = set(links(folder / "README.md"))
    assert {path.name for path in folder.glob("*.py")} - named == set(), (
        "examples/README.md has no row for these"
    )


def test_the_drawing_of_the_floors_is_of_todays_contracts() -> None:
    drawn = draw((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert PICTURE.read_text(encoding="utf-8") == drawn, "run scripts/draw_floors.py"


def test_the_table_of_floors_has_every_room_of_the_package() -> None:
    rows = re.findall(
        r"^\| (`.*?) \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = {name.rstrip("/").partition("/")[0] for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    package = ROOT / "piopiy_pipeline"
    rooms = {path.name for path in package.glob("[a-z]*.py")}
    rooms |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms - named == set()
    assert {name for name in named if name.endswith(".py")} - rooms == set()


def test_the_readme_counts_the_rows_of_the_table_of_harms() -> None:
    counted = re.search(r"has (\d+) rows", (ROOT / "README.md").read_text(encoding="utf-8"))
    faults = (ROOT / "docs/faults.md").read_text(encoding="utf-8").partition("| fault |")[2].splitlines()
    assert counted is not None
    assert int(counted[1]) == sum(line.startswith("| ") for line in faults)


def test_the_readme_has_the_published_code_word_for_word() -> None:
    """The code that tests/call/test_published.py runs as a program."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines(keepends=True)
    ours = [line for line in lines if "from_environment" in line and "`" not in line]
    assert len(ours) == 2, "the services that make it run when it is pasted"
    assert PUBLISHED in "".join(line for line in lines if line not in ours)
