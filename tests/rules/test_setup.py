"""The set-up installs what the extra `offline` is made of, whether or not moonshine-voice has a wheel here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_setup_knows_the_parts_of_the_extra_offline() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (parts,) = re.findall(r"piopiy-pipeline\[(.+)\]", extras["offline"][0])
    script = (ROOT / "scripts" / "setup.sh").read_text()
    (ears,) = re.findall(r"^ears=(\w+)$", script, re.MULTILINE)
    (run,) = re.findall(r"^run\) extras=(\S+) ", script, re.MULTILINE)
    (everything,) = re.findall(r'^""\) extras=(\S+) ', script, re.MULTILINE)
    assert {ears, *run.split(",")} == set(parts.split(","))
    assert {*run.split(","), "test"} == set(everything.split(","))


def test_the_setup_asks_for_the_release_that_has_a_model() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = project["optional-dependencies"]["moonshine"]
    script = (ROOT / "scripts" / "setup.sh").read_text()
    download = (ROOT / "piopiy_pipeline" / "services" / "stt" / "moonshine_download.py").read_text()
    release = wanted.partition(" ")[0]
    assert f'moonshine="{release}"' in script
    assert f'REQUIREMENT = "{release}"' in download
