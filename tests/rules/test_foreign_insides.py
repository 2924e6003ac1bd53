"""What is private to another package is used in `compat/` only, and each use is checked at import by its name."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import piopiy_pipeline
from piopiy_pipeline import compat
from tests.support.aws_sdk import provide_aws_sdk

ROOT = Path(piopiy_pipeline.__file__).parent
DOCUMENTED = {
    # marked with an underscore only so that they do not collide with the names of fields or columns
    *("_replace", "_asdict", "_fields", "_mapping", "_make"),
    # documented functions of Python
    *("_exit", "_current_frames", "_getframe", "_Pointer", "_fields_"),
    # pipecat's hooks for subclasses: compat.pipecat.SUBCLASS_HOOKS
    *("_register_event_handler", "_call_event_handler", "_update_settings", "_create_audio_task"),
}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _trees(folder: Path = ROOT) -> dict[Path, ast.Module]:
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))}


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _own_names(trees: Iterable[ast.Module]) -> set[str]:
    """Names with an underscore that this package itself gives to something."""
    own: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own |= {node.attr} if _name_of(node.value) in ("self", "cls") else set()
    return own


def _uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("piopiy"):
            for name in (*(node.module or "").split("."), *(alias.name for alias in node.names)):
                if _is_private(name):
                    yield node.lineno, name
        elif isinstance(node, ast.Call) and _name_of(node.func) in ("getattr", "setattr", "hasattr"):
            named = node.args[1]
            if isinstance(named, ast.Constant) and isinstance(named.value, str) and _is_private(named.value):
                yield node.lineno, named.value


@pytest.mark.main_job
def test_nothing_but_compat_uses_what_others_keep_private() -> None:
    trees = {path: tree for path, tree in _trees().items() if path.parts[0] != "compat"}
    known = _own_names(trees.values()) | DOCUMENTED
    found = [
        f"{path}:{line} {name}"
        for path, tree in trees.items()
        for line, name in _uses(tree)
        if name not in known
    ]
    assert found == []


def test_each_private_name_that_compat_uses_is_checked_at_import() -> None:
    compats = _trees(ROOT / "compat")
    own = _own_names(compats.values())
    checked = {
        node.value
        for tree in compats.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    known = own | checked | DOCUMENTED
    found = [
        f"{path}:{line} {name}"
        for path, tree in compats.items()
        for line, name in _uses(tree)
        if name not in known
    ]
    assert found == []


# ---------------------------------------------------------------------- each check names what is gone


def _checked_modules() -> list[str]:
    names = [found.name for found in pkgutil.iter_modules(compat.__path__)]
    return [name for name in names if "\ncheck()\n" in (ROOT / "compat" / f"{name}.py").read_text()]


@pytest.mark.parametrize("name", _checked_modules())
def test_after_an_upgrade_the_check_says_what_is_gone_and_which_file_used_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_aws_sdk()
    module = import_module(f"piopiy_pipeline.compat.{name}")
    asked: list[str] = []

    def note(owner: object, attribute: str) -> bool:
        asked.append(attribute)
        return True

    monkeypatch.setattr(compat, "_has", note)
    module.check()
    assert asked
    for gone in set(asked):
        monkeypatch.setattr(compat, "_has", lambda _, attribute, gone=gone: attribute != gone)
        with pytest.raises(compat.CompatError) as raised:
            module.check()
        assert f" has no {gone}" in str(raised.value)
        assert f"piopiy_pipeline/compat/{name}.py" in str(raised.value)
