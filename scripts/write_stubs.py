"""Writes ``piopiy/**/*.pyi``: what type checkers need to know where the modules of Piopiy's SDK lead to.

They know no import finders, so each module that is found at run time (`piopiy._modules`) gets a stub that imports
from where it leads to. ``tests/piopiy/test_stubs.py`` fails when one is not as this would write it.

Usage: ``python scripts/write_stubs.py``
"""

from __future__ import annotations

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

PIPECAT = "1.14.0"
"""The version whose modules they are."""
ROOT = Path(__file__).parents[1]
NAMES = ROOT / "tests" / "piopiy" / "data" / "modules_0_6_1.txt"
HEAD = "# Written by scripts/write_stubs.py.\n# mypy: ignore-errors\n"
PACKAGE_TAIL = "\nfrom typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n"


def stubs() -> dict[Path, str]:
    """Return the stubs by their path below the checkout."""
    from piopiy import _modules, _moved

    written: dict[Path, str] = {}
    for name in NAMES.read_text().split():
        place = Path(*name.split("."))
        if name == "piopiy" or (ROOT / place).with_suffix(".py").is_file():
            continue
        if any(above in _moved.GONE for above in _modules._self_and_above(name)):
            continue
        is_package = _modules.is_view(name) and (name not in _moved.VIEWS or _has_modules(name))
        path = place / "__init__.pyi" if is_package else place.with_suffix(".pyi")
        renamed = _moved.RENAMED.get(name, {})
        lines = [
            f"from {target} import *" for target in reversed(_modules.targets_of(name)) if target != name
        ]
        lines += [
            line for line in _imported(_modules.targets_of(name)) if line.rpartition(" ")[2] not in renamed
        ]
        for old, now in sorted(renamed.items()):
            module, _, attribute = now.rpartition(".")
            lines += [f"from {module} import {attribute} as _{old}", f"{old} = _{old}"]
        tail = PACKAGE_TAIL if path.name == "__init__.pyi" else ""
        written[path] = HEAD + "\n" + "\n".join(dict.fromkeys(lines)) + "\n" + tail
    return written


def _has_modules(name: str) -> bool:
    return any(other.startswith(f"{name}.") for other in NAMES.read_text().split())


def _imported(targets: tuple[str, ...]) -> list[str]:
    """Return imports of what the modules have from others of pipecat: a checker takes that for their own business."""
    lines = []
    for target in targets:
        found = find_spec(target)
        if found is None or found.origin is None or not target.startswith("pipecat."):
            continue
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
        defines = any(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in tree.body)
        for node in tree.body:
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").startswith("pipecat.")
                and not defines
            ):
                for alias in node.names:
                    if not alias.name.startswith("_") and alias.name != "*":
                        lines.append(
                            f"from {node.module} import {alias.name} as {alias.asname or alias.name}"
                        )
                    elif alias.name == "*":
                        lines.append(f"from {node.module} import *")
    return lines


def main() -> int:
    """Write what is new or another, and remove what is written no more."""
    sys.path.insert(0, str(ROOT))
    wanted = stubs()
    for path in sorted((ROOT / "piopiy").rglob("*.pyi")):
        relative = path.relative_to(ROOT)
        if relative not in wanted and path.read_text().startswith(HEAD):
            path.unlink()
    for relative, text in wanted.items():
        (ROOT / relative).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / relative).write_text(text)
    print(f"{len(wanted)} stubs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
