"""The set-up installs what the extra `offline` is made of, whether or not moonshine-voice has a wheel here, and its own
lines are not buried by those of pip.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip")
    echo "WARNING: Location 'file:///an/index' is ignored" >&2
    case "$*" in *--dry-run*) ;; *) exit "$PIP_STATUS" ;; esac ;;
*) case "$2" in *musl*) exit 1 ;; esac ;;
esac
"""
"""Python, as far as the set-up asks it: its pip warns, and ends with PIP_STATUS."""


@pytest.mark.skipif(sys.platform == "win32", reason="it is a script of sh")
@pytest.mark.parametrize("pip_status", [0, 1])
def test_pip_is_heard_only_when_it_fails(tmp_path: Path, pip_status: int) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, program in {"python3.11": PYTHON, "uv": "#!/bin/sh\nexit 1\n"}.items():
        (tmp_path / "bin" / name).write_text(program)
        (tmp_path / "bin" / name).chmod(0o755)
    own = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PIP_STATUS": str(pip_status)}
    done = subprocess.run(
        ["sh", "scripts/setup.sh", "run"],
        cwd=tmp_path,
        env={**os.environ, **own, "PIOPIY_PYTHON": "python3.11"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    assert all(line.startswith("setup: ") for line in done.stdout.splitlines()), said
    assert (done.returncode != 0) == bool(pip_status), said
    assert said.count("WARNING") == pip_status, said
    assert ("setup: done" in said) is not bool(pip_status), said
