"""Checks what a linter does not know: names, and the size of files. Run by `make lint`.

It fails, with file and line, when below ``piopiy_pipeline/``

- two classes have the same name, private ones too;
- two modules have the same file name, except those that are listed below with their reason;
- a retired word of ``docs/glossary.md`` comes back;
- a file is longer than 450 lines;
- a file other than the owner's reads a private attribute of a call (``call._x``).

Usage: ``python scripts/check_names.py [ROOT]``
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

MAX_LINES = 450

SHARED_FILE_NAMES = {"__init__.py", "__main__.py", "config.py", "errors.py", "models.py"}
"""What many packages have, and what is always read with its package's name."""

NAMED_BY_VERB = ("cli", "gateway/api")
"""Folders whose files are named after a verb of the command line, or a resource of the API."""

ALLOWED_FILE_NAMES = {
    "call.py",  # values of a call that every floor shares; in session/, the handle that authors hold
    "call_control.py",  # the gateway's end, and the agent's
    "latency.py",  # the marks of an answer; in testing/report/, their figures
    "providers.py",  # real ones by name; in testing/scripted/, scripted ones
    "sender.py",  # of webhooks; of RTP
    "session.py",  # of a call on the agent; of RTP (RFC 3550)
}
"""Names that two packages have, each the field's own word in both: read with the package's name."""

Problem = tuple[Path, int, str]


@dataclass(frozen=True, slots=True)
class RetiredWord:
    """One row of the glossary's table of retired words."""

    words: tuple[str, ...]  # ("last", "words")
    scope: str  # "exact", "classes", "names" or "text"
    today: str
    allowed: tuple[str, ...] = field(default=())  # names and files that may keep it

    def is_in(self, kind: str, name: str) -> bool:
        """Return whether a name is, or contains, the word."""
        if self.scope == "classes" and kind != "class":
            return False
        words = split_words(name)
        return words == self.words if self.scope in ("exact", "classes") else _has(self.words, words)

    def allows(self, name: str, path: Path) -> bool:
        """Return whether this name, or this file, may keep the word."""
        return name in self.allowed or any(path.as_posix().endswith(f"/{file}") for file in self.allowed)


@cache
def split_words(name: str) -> tuple[str, ...]:
    """Split a name in CamelCase or snake_case into its words, in lower case."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


def read_glossary(text: str) -> list[RetiredWord]:
    """Read the table below the heading "Retired words".

    Args:
        text: The glossary.

    Raises:
        ValueError: The table is missing, or a row has another form than the four columns.
    """
    _, found, section = text.partition("## Retired words")
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    if not found or not rows:
        raise ValueError('docs/glossary.md has no table below "## Retired words"')
    retired = []
    for row in rows:
        columns = [column.strip() for column in row.strip("|").split("|")]
        if len(columns) != 4 or columns[1] not in ("exact", "classes", "names", "text"):
            raise ValueError(f"docs/glossary.md: not a row of the retired words: {row}")
        allowed = tuple(re.findall(r"`([^`]+)`", columns[3]))
        retired += [
            RetiredWord(split_words(word), columns[1], columns[2], allowed)
            for word in re.findall(r"`([^`]+)`", columns[0])
        ]
    return retired


def definitions(nodes: list[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """Yield every name that a module defines: its kind (class, function, parameter, ...), the name, the line."""
    for node in nodes:
        match node:
            case ast.ClassDef():
                yield "class", node.name, node.lineno
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield "function", node.name, node.lineno
            case ast.arg():
                yield "parameter", node.arg, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield "attribute", node.attr, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield "variable", node.id, node.lineno


def _has(words: tuple[str, ...], name: tuple[str, ...]) -> bool:
    return any(name[i : i + len(words)] == words for i in range(len(name) - len(words) + 1))


def retired_words(
    path: Path,
    text: str,
    names: list[tuple[str, str, int]],
    retired: list[RetiredWord],
    known: dict[tuple[str, str], list[RetiredWord]],
) -> Iterator[Problem]:
    """Yield where a retired word is in a file: in its name, its definitions and, for some words, its text.

    `known` keeps which words are in a name: most names stand in many places.
    """
    for kind, name, line in [("file", path.stem, 1), *names]:
        if (found := known.get((kind, name))) is None:
            found = known[kind, name] = [word for word in retired if word.is_in(kind, name)]
        for word in found:
            if not word.allows(name, path):
                yield path, line, f"{kind} {name!r}: the word is now {word.today}"
    lower = text.lower()  # to find the comments and strings of a file takes long: few have such a word at all
    in_text = [word for word in retired if word.scope == "text" and all(part in lower for part in word.words)]
    for number, line_text in prose(text) if in_text else ():
        words = split_words(line_text)
        for word in in_text:
            if _has(word.words, words):
                yield (
                    path,
                    number,
                    f"{' '.join(word.words)!r} in a comment or text: the word is now {word.today}",
                )


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments and string literals of a source, line by line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def private_reads(path: Path, nodes: list[ast.AST]) -> Iterator[Problem]:
    """Yield where a file reads ``call._x`` or ``self.call._x``."""
    for node in nodes:
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        owner = node.value
        name = (
            owner.id
            if isinstance(owner, ast.Name)
            else owner.attr
            if isinstance(owner, ast.Attribute)
            else ""
        )
        if name.lstrip("_") == "call":
            yield (
                path,
                node.lineno,
                f"call.{node.attr}: another class's private; give the call a plain name for it",
            )


def doubled_classes(classes: dict[str, list[tuple[Path, int]]]) -> Iterator[Problem]:
    for name, places in classes.items():
        for path, line in places[1:]:
            yield path, line, f"class {name!r} exists already, in {places[0][0].name}"


def doubled_files(files: list[Path], package: Path) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for path in files:
        folder = path.parent.relative_to(package).as_posix()
        if (
            path.name in SHARED_FILE_NAMES | ALLOWED_FILE_NAMES
            or folder in NAMED_BY_VERB
            or "versions" in path.parts
        ):
            continue
        if path.name in seen:
            yield (
                path,
                1,
                f"{seen[path.name].relative_to(package.parent)} has the same file name: tell them apart",
            )
        seen.setdefault(path.name, path)


def check(root: Path) -> list[Problem]:
    """Return all problems of the tree below `root`, sorted by file and line."""
    package = root / "piopiy_pipeline"
    retired = read_glossary((root / "docs" / "glossary.md").read_text(encoding="utf-8"))
    known: dict[tuple[str, str], list[RetiredWord]] = {}
    files = sorted(package.rglob("*.py"))
    problems = list(doubled_files(files, package))
    classes: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path in files:
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        names = list(definitions(nodes))
        for kind, name, line in names:
            if kind == "class":
                classes[name].append((path, line))
        problems += retired_words(path, text, names, retired, known)
        problems += private_reads(path, nodes)
        if (lines := text.count("\n")) > MAX_LINES:
            problems.append(
                (path, MAX_LINES, f"{lines} lines: above {MAX_LINES}, give a concept its own file")
            )
    problems += doubled_classes(classes)
    return sorted(problems)


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    problems = check(root)
    for path, line, problem in problems:
        print(f"{path.relative_to(root)}:{line}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
