"""The units of systemd: that it understands them, and that they run verbs that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.deployment import DEPLOY

SYSTEMD = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", SYSTEMD, ids=lambda path: path.name)
def test_units_are_understood_and_hardened(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not there: apt-get install systemd")
    copy = tmp_path / unit.name.replace("@", "@front_desk")
    copy.write_text(unit.read_text().replace("/opt/piopiy/bin/piopiy", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.parametrize("unit", SYSTEMD, ids=lambda path: path.name)
def test_units_run_verbs_that_there_are(unit: Path) -> None:
    [command] = re.findall(r"^ExecStart=/opt/piopiy/bin/piopiy (\w+)", unit.read_text(), re.MULTILINE)
    assert command in ("gateway", "start")


def test_two_instances_of_an_agent_run_one_bot() -> None:
    unit = next(path for path in SYSTEMD if "@" in path.name).read_text()
    assert "\nExecStart=/opt/piopiy/bin/piopiy start /etc/piopiy/bots/${BOT}.py\n" in unit
    [environment] = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    assert {"BOT=%i", "AGENT_ID=%i"} <= {*environment.split()}, "an EnvironmentFile may say otherwise"
