"""Each import contract of pyproject.toml turns red for an import that breaks it.

A contract that no import can break proves nothing: a copy of the tree gets one wrong import of each kind.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WRONG_IMPORTS = {
    "floors": ("piopiy_pipeline/session/events.py", "import piopiy_pipeline.agent.agent"),
    "gateway-without-agent": ("piopiy_pipeline/gateway/webhooks/config.py", "import pipecat.frames.frames"),
    "agent-without-gateway": ("piopiy_pipeline/session/tasks.py", "import piopiy_pipeline.gateway.errors"),
    "gateway-floors": ("piopiy_pipeline/gateway/records/store.py", "import piopiy_pipeline.gateway.server"),
    "core-alone": ("piopiy_pipeline/gateway/core/bridge.py", "import piopiy_pipeline.gateway.rtp"),
    "sip-layers": (
        "piopiy_pipeline/gateway/sip/syntax/uri.py",
        "import piopiy_pipeline.gateway.sip.dialog.dialog",
    ),
    "no-io": ("piopiy_pipeline/gateway/core/instances.py", "import asyncio"),
    "spoken-text-floors": (
        "piopiy_pipeline/spoken_text/alignment.py",
        "import piopiy_pipeline.spoken_text.recognizer",
    ),
    "no-cycles": ("piopiy_pipeline/audio/concealment.py", "import piopiy_pipeline.audio.jitter_buffer"),
}
"""Contract -> the file that gets a wrong import, and the import."""

MORE_WRONG_IMPORTS = [
    ("gateway-without-agent", "piopiy_pipeline/gateway/api/app.py", "from piopiy_pipeline import session"),
    (
        "gateway-without-agent",
        "piopiy_pipeline/audio/g711.py",
        "import piopiy_pipeline.services.failover.switch",
    ),
    ("agent-without-gateway", "piopiy/agent.py", "from piopiy_pipeline.gateway import server"),
    ("no-io", "piopiy_pipeline/gateway/sip/transaction/timers.py", "import socket"),
    ("no-io", "piopiy_pipeline/gateway/sip/dialog/dialog.py", "from websockets.sync import client"),
    (
        "floors",
        "piopiy_pipeline/testing/simulation.py",
        "def late() -> None:\n    import piopiy_pipeline.cli",
    ),
    ("no-cycles", "piopiy_pipeline/audio/resample.py", "import piopiy_pipeline.session"),
]
"""Further kinds: through a third module, inside a function, of a public module."""


@pytest.fixture(scope="module")
def contracts() -> list[dict[str, object]]:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return list(tools["importlinter"]["contracts"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and of the contracts, which tests leave as it was."""
    tree = tmp_path_factory.mktemp("tree")
    for package in ("piopiy", "piopiy_pipeline"):
        shutil.copytree(
            ROOT / package,
            tree / package,
            ignore=shutil.ignore_patterns("__pycache__", "web", "examples"),
        )
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def _lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    only = [part for contract in contracts for part in ("--contract", contract)]
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *only]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300, check=False)


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    result = _lint(tree)
    assert result.returncode == 0, result.stdout


def test_every_contract_has_a_wrong_import_here(contracts: list[dict[str, object]]) -> None:
    assert {contract["id"] for contract in contracts} == set(WRONG_IMPORTS)


@pytest.mark.parametrize(
    ("contract", "file", "wrong"),
    [(contract, *wrong) for contract, wrong in WRONG_IMPORTS.items()] + MORE_WRONG_IMPORTS,
)
def test_a_wrong_import_turns_its_contract_red(tree: Path, contract: str, file: str, wrong: str) -> None:
    source = (tree / file).read_text()
    (tree / file).write_text(f"{source}\n{wrong}\n")
    try:
        result = _lint(tree, contract)
    finally:
        (tree / file).write_text(source)
    assert result.returncode == 1, result.stdout
    assert "Contracts: 0 kept, 1 broken." in result.stdout


def test_the_core_of_the_gateway_may_import_none_of_its_neighbours(
    contracts: list[dict[str, object]],
) -> None:
    (forbidden,) = (each["forbidden_modules"] for each in contracts if each["id"] == "core-alone")
    folder = ROOT / "piopiy_pipeline" / "gateway"
    modules = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    assert isinstance(forbidden, list)
    assert {name.rpartition(".")[2] for name in forbidden} == modules - {"core", "__init__"}


def _exceptions(contracts: list[dict[str, object]], kinds: set[str]) -> set[str]:
    found: set[str] = set()
    for contract in contracts:
        ignored = contract.get("ignore_imports", [])
        assert isinstance(ignored, list)
        if contract["type"] in kinds:
            found.update(ignored)
    return found


def test_at_most_six_imports_point_up(contracts: list[dict[str, object]]) -> None:
    """Those that stay are named in pyproject.toml with their reason: no list of exceptions grows in silence."""
    exceptions = _exceptions(contracts, {"layers", "forbidden"})
    assert len(exceptions) <= 6, sorted(exceptions)


def test_a_circle_is_allowed_for_types_alone(contracts: list[dict[str, object]]) -> None:
    """What is excepted from the rule against circles and points up nowhere is an import `if TYPE_CHECKING`."""
    for exception in _exceptions(contracts, {"acyclic_siblings"}) - _exceptions(contracts, {"layers"}):
        importer, imported = exception.split(" -> ")
        tree = ast.parse((ROOT / importer.replace(".", "/")).with_suffix(".py").read_text())
        at_run_time = {
            node.module
            for statement in tree.body
            if not (isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING")
            for node in ast.walk(statement)
            if isinstance(node, ast.ImportFrom)
        }
        assert imported not in at_run_time, exception
