"""Reads the pages of the documentation: their code blocks, links, headings and commands."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    [*ROOT.glob("*.md"), ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda page: page.as_posix(),
)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced block: its page, the line it begins at, its language, its text without the indentation."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def code_blocks(page: Path) -> list[CodeBlock]:
    """The fenced blocks of a page, in order."""
    blocks: list[CodeBlock] = []
    begun: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.lstrip().startswith("```"):
            lines.append(line)
        elif begun is None:
            begun, lines = (number, line.strip().removeprefix("```")), []
        else:
            blocks.append(CodeBlock(page, *begun, textwrap.dedent("\n".join(lines) + "\n")))
            begun = None
    assert begun is None, f"{page}: a code block is not closed"
    return blocks


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures, without code in backticks."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[str]:
    """Command lines on a page: lines of `sh` blocks, continued lines joined, and code in backticks."""
    text = "\n".join(block.text for block in code_blocks(page) if block.language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()] + re.findall(r"`([^`\n]+)`", prose(page))
