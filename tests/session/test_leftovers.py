"""What an author's callback leaves behind: processes are ended, the rest is named with its place."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.offload import Lane
from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(handler)


def in_a_call(
    work: Callable[[], Coroutine[Any, Any, None]],
    loop: str = "asyncio",
    after: Callable[[], Coroutine[Any, Any, Any]] | None = None,
) -> None:
    """Do this in the context of a call, which is over then, and something afterwards."""

    async def story() -> None:
        track_tasks(asyncio.get_running_loop())
        tasks = CallTasks("call")
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)
        await asyncio.get_running_loop().create_task(work(), context=context)
        await tasks.cancel_all(timeout_s=1)
        await tasks.leftovers.clear()
        if after is not None:
            await after()

    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        uvloop.run(story())
    else:
        asyncio.run(story())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["exec", "shell"])
def test_a_process_that_the_loop_started_is_ended_and_named(said: list[str], loop: str, how: str) -> None:
    processes: list[asyncio.subprocess.Process] = []

    async def author() -> None:
        if how == "exec":
            process = await asyncio.create_subprocess_exec(*SLEEPER)
        else:
            process = await asyncio.create_subprocess_shell("exec sleep 60")
        processes.append(process)

    async def reap() -> int:
        return await processes[0].wait()

    in_a_call(author, loop, reap)
    assert processes[0].returncode == -15
    [line] = said
    assert "1 child process(es) running" in line
    assert "test_leftovers.py" in line
    assert "in test_a_process_that_the_loop_started_is_ended_and_named.<locals>.author" in line


def test_a_process_that_does_not_listen_is_killed(said: list[str]) -> None:
    kept: list[subprocess.Popen[bytes]] = []

    async def author() -> None:
        process = subprocess.Popen(STUBBORN, stdout=subprocess.PIPE)  # noqa: ASYNC220  as authors do
        assert process.stdout is not None
        process.stdout.readline()
        kept.append(process)

    in_a_call(author)
    assert kept[0].wait(10) == -9
    assert len(said) == 1
    assert kept[0].stdout is not None
    kept[0].stdout.close()


def test_processes_that_have_ended_and_those_of_nobody_are_left_alone(said: list[str]) -> None:
    async def author() -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)  # noqa: ASYNC221  as authors do
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await process.wait()

    outside = subprocess.Popen(SLEEPER)
    try:
        in_a_call(author)
        assert outside.poll() is None
        assert said == []
    finally:
        outside.kill()
        outside.wait()


def test_a_thread_a_socket_and_a_file_are_named_with_their_places(said: list[str]) -> None:
    release = threading.Event()
    kept: list[Any] = []

    async def author() -> None:
        thread = threading.Thread(target=release.wait, name="forgotten")
        thread.start()
        descriptor, path = tempfile.mkstemp()
        os.close(descriptor)
        kept.extend([thread, socket.socket(), path])

    in_a_call(author)
    release.set()
    thread, one, path = kept
    thread.join()
    one.close()
    Path(path).unlink()
    assert len(said) == 3
    assert "1 running thread(s) behind: forgotten, started at " in said[0]
    assert "1 open socket(s)" in said[1]
    assert path in said[2]
    assert all("test_leftovers.py:" in line for line in said)


def test_what_is_put_away_and_what_pools_keep_is_not_named(said: list[str]) -> None:
    pool = ThreadPoolExecutor(1)

    async def author() -> None:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        with socket.socket(), tempfile.TemporaryDirectory(), tempfile.NamedTemporaryFile():
            pass
        await asyncio.get_running_loop().run_in_executor(pool, int)
        await asyncio.to_thread(int)

    in_a_call(author)
    pool.shutdown()
    assert said == []


def test_what_this_package_starts_for_all_calls_is_not_the_calls(said: list[str]) -> None:
    lane = Lane("for all calls")

    async def author() -> None:
        await lane.run(int)

    in_a_call(author)
    lane.close()
    assert said == []


def test_more_than_can_be_told_is_counted_and_bounded(said: list[str]) -> None:
    folders: list[str] = []

    async def author() -> None:
        folders.extend(tempfile.mkdtemp() for _ in range(150))

    in_a_call(author)
    for folder in folders:
        Path(folder).rmdir()
    [line] = said
    assert "100 temporary file(s)" in line
    assert "and 97 more, made at tests/session/test_leftovers.py:" in line


def test_what_was_made_at_one_place_is_told_once(said: list[str]) -> None:
    kept: list[Any] = []
    release = threading.Event()

    async def author() -> None:
        kept.extend(socket.socket() for _ in range(50))
        for n in range(5):
            kept.append(threading.Thread(target=release.wait, name=f"forgotten-{n}"))
            kept[-1].start()

    in_a_call(author)
    release.set()
    for each in kept:
        each.join() if isinstance(each, threading.Thread) else each.close()
    [threads, sockets] = said
    assert ": forgotten-0, forgotten-1, forgotten-2 and 2 more, started at tests/session/" in threads
    assert threads.count("started at") == 1
    assert sockets.startswith("the call has left 50 open socket(s)")
    assert sockets.rstrip().endswith(", 50 times")
    assert sockets.count("made at") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are looked for in /proc")
@pytest.mark.parametrize("ends_itself", [False, True])
def test_a_process_whose_popen_is_kept_leaves_no_zombie(said: list[str], ends_itself: bool) -> None:
    kept: list[subprocess.Popen[bytes]] = []

    async def author() -> None:
        command = (sys.executable, "-c", "") if ends_itself else SLEEPER
        kept.append(subprocess.Popen(command))  # noqa: ASYNC220  as authors do
        if ends_itself:
            os.waitid(os.P_PID, kept[0].pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222

    in_a_call(author)
    assert not Path(f"/proc/{kept[0].pid}").exists()
    assert kept[0].returncode == (0 if ends_itself else -15)
    assert len(said) == (0 if ends_itself else 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which files are open")
def test_files_that_are_left_open_are_named_by_their_places(said: list[str], tmp_path: Path) -> None:
    kept: list[Any] = []
    path = tmp_path / "notes.txt"
    path.write_text("x")

    async def opens() -> None:
        with path.open() as closed:
            closed.read()
        kept.extend(open("/dev/null") for _ in range(2000))  # noqa: ASYNC230, SIM115, PTH123  as careless authors do
        kept.append(path.open())

    in_a_call(opens)
    for file in kept:
        file.close()
    [line] = said
    assert line.startswith(
        f"the call has left 2 open file(s) behind: {path}, opened at tests/session/test_leftovers.py:"
    )
    assert " or tests/session/test_leftovers.py:" in line, "either line may have left it open"
    assert "; /dev/null, opened at tests/session/test_leftovers.py:" in line
    assert ", 2000 times" in line


def test_an_event_at_the_end_of_the_interpreter_finds_no_fault() -> None:
    """The hook stays, and what is in the names of its module is None then."""
    program = (
        "import sys\n"
        "from piopiy_pipeline.session import leftovers\n"
        "leftovers.listen(lambda: None)\n"
        "leftovers.__dict__.update(dict.fromkeys(vars(leftovers)))\n"
        "sys.audit('cpython._PySys_ClearAuditHooks')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
