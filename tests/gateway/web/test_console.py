"""The console's files: what the page may not do, that its parts fit together, and its own tests.

That it works in a browser is tested with one, in ``tests/browser``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

import piopiy_pipeline.gateway
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import TransferResult

WEB = Path(piopiy_pipeline.gateway.__file__).parent / "web"
SCRIPTS = sorted((WEB / "js").glob("*.js"))
STYLES = sorted((WEB / "css").glob("*.css"))


class Page(HTMLParser):
    """The page's elements, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed((WEB / "index.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


def test_nothing_is_asked_of_another_host() -> None:
    for path in (WEB / "index.html", WEB / "icon.svg", *SCRIPTS, *STYLES):
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?|wss?)://[\w.$%-]+", text)) - {
            "http://www.w3.org",
            "http://localhost$",
        }
        assert not addresses, f"{path.name} names {addresses}"
        assert "@import" not in text, path.name


def test_no_script_or_style_stands_in_the_page_so_that_its_policy_can_forbid_them() -> None:
    for tag, attributes in Page().elements:
        assert tag != "style"
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag != "script" or attributes.get("src")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_others_said_is_never_read_as_html(script: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.findall(forbidden, script.read_text(encoding="utf-8"))


def test_every_file_that_is_named_is_there() -> None:
    page = Page()
    named = [*page.values("src"), *(a["href"] for t, a in page.elements if t == "link" and a.get("href"))]
    for name in named:
        assert name
        assert (WEB / name).is_file(), name
    for script in SCRIPTS:
        for name in re.findall(r'from "(\./[^"]+)"', script.read_text(encoding="utf-8")):
            assert (script.parent / name).is_file(), f"{script.name} imports {name}"


def test_every_element_that_a_script_asks_for_is_in_the_page_once() -> None:
    ids = Page().values("id")
    assert len(ids) == len(set(ids))
    for script in SCRIPTS:
        for name in re.findall(r'byId\("([^"]+)"\)', script.read_text(encoding="utf-8")):
            assert name in ids, f"{script.name} asks for #{name}"


def test_every_control_has_a_name() -> None:
    text = (WEB / "index.html").read_text(encoding="utf-8")
    labels = [attributes.get("for") for tag, attributes in Page().elements if tag == "label"]
    for tag, attributes in Page().elements:
        if tag in ("select", "input"):
            inside = re.search(rf'<label[^>]*>(?:(?!</label>).)*id="{attributes["id"]}"', text, re.DOTALL)
            assert inside or attributes["id"] in labels, f"#{attributes['id']} has no label"


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_reason_of_an_end_has_its_words(reason: EndReason) -> None:
    assert f"{reason.value}:" in (WEB / "js" / "format.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("outcome", get_args(TransferResult.model_fields["outcome"].annotation))
def test_every_outcome_of_a_transfer_has_its_words(outcome: str) -> None:
    assert f"{outcome}:" in (WEB / "js" / "format.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_of_a_call_has_its_words_and_can_be_looked_for(phase: Phase) -> None:
    assert f"{phase.value}:" in (WEB / "js" / "format.js").read_text(encoding="utf-8")
    assert phase.value in Page().values("value")


def test_the_parts_without_a_page_pass_their_own_tests() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    run = subprocess.run(
        [node, "--no-warnings", "--test", str(Path(__file__).parent / "console.test.mjs")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
