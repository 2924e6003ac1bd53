"""Worker processes are started without the author's folder, and end in bounded time.

What the two kinds of workers do beyond that is tested in ``tests/services/workers/test_worker_processes.py`` and
``tests/gateway/leg_processes/test_leg_supervisor.py``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piopiy_pipeline.worker_process import end_worker, start_worker

MODULE = "piopiy_pipeline.services.tts.espeak_worker"
LEG_PROGRAMS = ["piopiy_pipeline.gateway.webrtc.peer_program", "piopiy_pipeline.gateway.cloud.room_program"]


def test_a_file_in_the_authors_folder_shadows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "struct.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    process = start_worker(MODULE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end_worker(process, 20.0)
    assert process.returncode == 0


def test_a_process_that_does_not_end_by_itself_is_killed() -> None:
    process = start_worker(MODULE, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    began = time.monotonic()
    with process:
        end_worker(process)
        assert time.monotonic() - began < 5.0
        assert process.returncode == -9
        end_worker(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", [MODULE, *LEG_PROGRAMS])
def test_a_signal_that_reaches_all_processes_is_left_to_the_parent(
    module: str, number: signal.Signals
) -> None:
    """A gateway that drains keeps its callers of browsers, also where systemd tells all its processes to end."""
    ours, theirs = socket.socketpair()
    process = start_worker(module, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
    theirs.close()
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.0)
    ours.close()
    end_worker(process, 20.0)
    assert process.returncode == 0


@pytest.mark.parametrize("program", LEG_PROGRAMS)
def test_a_leg_process_loads_its_legs_and_not_the_gateway(program: str) -> None:
    """Its start took half a second more of a core with all of it, and a gateway starts several."""
    if "cloud" in program:
        pytest.importorskip("livekit.rtc")
    code = f"import sys, {program}; print(*(name for name in sys.modules if 'pipeline.gateway.' in name))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.split(".")[2] for name in ran.stdout.split()}
    assert loaded >= {"leg_processes", program.split(".")[2]}
    assert not loaded & {"api", "config", "core", "server", "sip"}
