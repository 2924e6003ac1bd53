"""A worker answers in order, and its death costs one request."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.services.tts.piper_files import find_piper_voice
from piopiy_pipeline.services.workers import worker_pipe, worker_processes
from piopiy_pipeline.services.workers.worker_pipe import ReplyWait
from piopiy_pipeline.services.workers.worker_processes import Worker, WorkerFailed, WorkerLost, WorkerSlow
from tests.support.calls import eventually

MODULE = "piopiy_pipeline.services.tts.espeak_worker"
PIPER = "piopiy_pipeline.services.tts.piper_worker"
MOONSHINE = "piopiy_pipeline.services.stt.moonshine_worker"
VOICE = find_piper_voice()
ECHO = "tests.support.echo_worker"
HELLO = ("speak", "Hello.", "en-us", 165, 50, 16_000)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(MODULE, name="test")
    yield worker
    worker.close()


def test_starts_its_process_with_the_first_request(worker: Worker) -> None:
    assert worker.pid is None
    asyncio.run(worker.call(*HELLO))
    assert worker.pid is not None
    assert worker.generation == 1


def test_what_the_method_refuses_is_raised_here_and_the_process_lives_on(worker: Worker) -> None:
    with pytest.raises(WorkerFailed, match="has no voice 'no-such-voice'"):
        asyncio.run(worker.call("speak", "Hello.", "no-such-voice", 165, 50, 16_000))
    asyncio.run(worker.call(*HELLO))
    assert worker.generation == 1


def _unread(process: subprocess.Popen[bytes]) -> int:
    """Bytes in the pipe to a process that it has not read."""
    assert process.stdin is not None
    count = fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process, and return when it stands still: until then it may read one more request."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def test_a_killed_process_costs_what_it_was_doing_and_the_next_request_gets_another(worker: Worker) -> None:
    asyncio.run(worker.call(*HELLO))
    process = worker._process
    assert process is not None
    _stop(process)

    async def kill_while_it_works() -> None:
        answer = asyncio.ensure_future(worker.call(*HELLO))
        async with asyncio.timeout(10):
            # The request is in the pipe, the process stopped in front of it. A pipe sets no event.
            while not _unread(process):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="the test worker was lost"):
            await answer
        await worker.call(*HELLO)

    asyncio.run(kill_while_it_works())
    assert worker.generation == 2


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker that has answered, of which it is seen at once that it hangs."""
    worker = Worker(ECHO, name="echo")
    assert worker.request("echo", 1) == 1
    monkeypatch.setattr(worker_pipe, "LOOK_S", 0.05)
    yield worker
    worker.close()


@pytest.mark.parametrize("size", [1, 1_000_000], ids=["small", "more_than_the_pipe_holds"])
def test_a_process_that_is_stopped_is_killed_long_before_its_time_and_the_next_one_answers(
    echo: Worker, size: int
) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.record["message"]), level="WARNING")
    process = echo._process
    assert process is not None
    _stop(process)

    async def story() -> object:
        with pytest.raises(WorkerLost, match="it hangs: no answer, and no use of the processor"):
            await asyncio.wait_for(echo.call("echo", bytes(size)), 10)
        await eventually(lambda: lines, 10)
        return await echo.call("echo", 2)

    try:
        assert asyncio.run(story()) == 2
    finally:
        logger.remove(sink)
        echo.close()
    assert "was killed: it hangs" in lines[0]


def test_a_process_that_waits_for_ever_hangs_and_one_that_computes_does_not(echo: Worker) -> None:
    echo.request("compute", 10 * 0.05)
    with pytest.raises(WorkerLost, match="it hangs"):
        echo.request("wait", 20.0)
    assert echo.generation == 1


def test_a_process_that_computes_for_too_long_is_killed(echo: Worker) -> None:
    process = echo._process
    assert process is not None
    echo.reply_timeout_s = 0.1
    with pytest.raises(WorkerSlow, match="no answer in time"):
        echo.request("compute", 60.0)
    assert process.returncode == -signal.SIGKILL


def test_what_is_known_to_be_short_has_less_time_from_when_the_rest_is_done(
    echo: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A native library that spins keeps all calls of a pool waiting. To load a model takes long, and is honest."""
    monkeypatch.setattr(worker_pipe, "LEAST_S", 0.2)
    echo.request("compute_short", 0.05, 0.4)
    assert echo.generation == 1
    began = time.monotonic()
    with pytest.raises(WorkerSlow, match="no answer in time"):
        echo.request("compute_short", 60.0)
    assert time.monotonic() - began < echo.reply_timeout_s / 2


def test_what_is_known_to_be_short_has_its_whole_time_where_nobody_tells_how_long_it_computes(
    echo: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pipe, "LEAST_S", 0.05)
    monkeypatch.setattr(worker_pipe, "process_state", lambda pid: None)
    echo.request("compute_short", 0.5)
    assert echo.generation == 1


def test_a_share_of_the_longest_has_that_share_of_the_time_and_no_more_than_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pipe, "process_state", lambda pid: ("R", 1.0))
    limits = []
    for share in (0.0, 0.1, 0.5, 2.0):
        wait = ReplyWait(15.0, 1)
        wait.shorten(share * 15.0)
        limits.append(wait.limit_s)
    assert limits == [3.0, 3.0, 7.5, 15.0]


@pytest.mark.parametrize(
    ("module", "load", "request_", "limits_s"),
    [
        (MODULE, ("load",), ("speak", "x" * 1_000, "en-us", 165, 50, 16_000), [7.5]),
        (PIPER, ("load", VOICE), ("begin", VOICE, "Hello there.", 1.0, 16_000), [0.0, 0.65, 0.0]),
        (MOONSHINE, ("load", "en"), ("hear", bytes(2 * 8_000 * 13), 8_000, "en"), [7.5]),
    ],
)
def test_a_voice_and_an_ear_say_how_much_of_the_longest_they_are_asked(
    module: str,
    load: tuple[Any, ...],
    request_: tuple[Any, ...],
    limits_s: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[float] = []
    monkeypatch.setattr(ReplyWait, "shorten", lambda self, limit_s: told.append(limit_s))
    worker = Worker(module, name="offline")
    try:
        worker.request(*load)
        assert not told, "a model takes as long as it takes"
        worker.request(*request_)
    finally:
        worker.close()
    assert told == pytest.approx(limits_s, abs=0.2)


def test_a_process_that_is_kept_from_a_processor_has_more_time(
    echo: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is ready to run, and gets none of a busy machine's time until now."""
    looks = 0

    def starved(pid: int) -> tuple[str, float]:
        nonlocal looks
        looks += 1
        return "R", 1.0

    monkeypatch.setattr(worker_pipe, "process_state", starved)
    echo.reply_timeout_s = 0.05
    echo.request("wait", 0.5)
    assert looks > 5
    monkeypatch.setattr(worker_pipe, "BUSY_S", 0.2)
    with pytest.raises(WorkerSlow, match="no answer in time"):
        echo.request("wait", 20.0)


def test_a_message_of_any_size_arrives_whole(echo: Worker) -> None:
    sent = os.urandom(3_000_000)
    assert echo.request("echo", sent) == sent


def test_a_process_that_ends_by_itself_is_waited_for_and_says_how(echo: Worker) -> None:
    with pytest.raises(WorkerLost, match="it ended with exit code 3"):
        echo.request("leave", 3)


def test_an_answer_that_cannot_be_read_is_the_end_of_its_process_and_the_next_one_answers() -> None:
    worker = Worker("tests.support.unreadable_worker", name="unreadable")
    try:
        assert worker.request("greet") == "hello"
        with pytest.raises(WorkerLost, match=r"cannot be read: AttributeError: .*no_such_method"):
            worker.request("answer")
        assert worker.request("greet") == "hello"
        assert worker.generation == 2
    finally:
        worker.close()


def test_the_first_answer_may_take_longer_because_a_model_is_loaded() -> None:
    worker = Worker(MODULE, name="slow", reply_timeout_s=0.02)  # Python alone takes longer to start
    try:
        worker.request(*HELLO)
    finally:
        worker.close()


def test_ends_when_its_parent_is_gone() -> None:
    worker = Worker(MODULE, name="orphan")
    worker.request(*HELLO)
    process = worker._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # what the parent's death does
    assert process.wait(timeout=10) == 0
    worker.close()


def test_closing_twice_is_as_good_as_once_and_nothing_is_taken_afterwards(worker: Worker) -> None:
    worker.request(*HELLO)
    worker.close()
    worker.close()
    assert worker.pid is None
    with pytest.raises(WorkerLost, match="has been closed"):
        worker.request(*HELLO)


def test_closing_ends_a_request_under_way_and_leaves_the_numbers_of_its_pipes_to_it() -> None:
    worker = Worker(ECHO, name="echo")

    async def story() -> None:
        await worker.call("echo", 0)
        asked = asyncio.ensure_future(worker.call("wait", 20.0))
        process = worker._process
        assert process is not None
        await eventually(lambda: worker._lock.locked() and not _unread(process), 10)
        worker.close()
        ours, theirs = os.pipe()  # would have one of their numbers
        os.write(theirs, b"not an answer")
        with pytest.raises(WorkerLost):
            await asyncio.wait_for(asked, 10)
        assert os.read(ours, 100) == b"not an answer"
        os.close(ours)
        os.close(theirs)
        await eventually(lambda: worker._process is None, 10)
        assert process.stdin is not None
        assert process.stdin.closed

    asyncio.run(story())


def test_workers_load_no_pipecat() -> None:
    code = (
        "import sys; import piopiy_pipeline.services.tts.espeak_worker, piopiy_pipeline.services.stt.moonshine_worker, "
        "piopiy_pipeline.services.playbook.dialogue; "
        "assert not [name for name in sys.modules if name.startswith('pipecat')]"
    )

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        return await asyncio.wait_for(process.wait(), 30)

    assert asyncio.run(run()) == 0


def test_a_death_is_logged_once_and_the_next_process_starts_before_it_is_asked(worker: Worker) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.record["message"]), level="WARNING")
    worker.first = HELLO
    try:
        worker.request(*HELLO)
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 10
        while worker.pid in (None, first) or not worker._has_answered:
            assert time.monotonic() < until, "no other process was started"
            time.sleep(0.01)
        worker.request(*HELLO)
        assert worker.generation == 2
        worker.close()  # an end that is wanted is no death
    finally:
        logger.remove(sink)
    assert lines == [f"the test worker ({MODULE}, process {first}) died: signal 9"]


def test_a_process_that_dies_before_it_has_answered_is_not_started_again_and_again(worker: Worker) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.record["message"]), level="WARNING")
    broken = Worker("no.such.module", name="broken")
    broken.first = HELLO
    try:
        with pytest.raises(WorkerLost):
            broken.request(*HELLO)
        for thread in threading.enumerate():
            if thread.name == "broken-watch":
                thread.join(10)
    finally:
        logger.remove(sink)
        broken.close()
    assert broken.generation == 1
    assert [line.rpartition("died: ")[2] for line in lines] == ["exit code 1"]


def test_processes_that_die_at_each_start_make_a_pause_in_which_requests_fail_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Worker("no.such.module", name="broken")
    try:
        for _ in range(worker_processes.LOST_STARTS):
            with pytest.raises(WorkerLost, match="it ended with exit code 1"):
                broken.request(*HELLO)
        for _ in range(5):
            with pytest.raises(
                WorkerLost, match="is not started again yet: it was lost at its start 3 times"
            ):
                broken.request(*HELLO)
        assert broken.generation == 3
        monkeypatch.setattr(broken, "_starts_at", 0.0)  # what the pause's end does
        broken.module = ECHO
        assert broken.request("echo", 1) == 1
        broken.request("echo", 2)
    finally:
        broken.close()


def test_a_process_that_cannot_be_started_is_lost_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptors(*_: object, **__: object) -> object:
        raise OSError(24, "Too many open files")

    worker = Worker(ECHO, name="echo")
    monkeypatch.setattr(worker_processes, "start_worker", no_descriptors)
    with pytest.raises(WorkerLost, match=r"cannot be started: .*Too many open"):
        worker.request("echo", 1)
    monkeypatch.undo()
    assert worker.request("echo", 1) == 1
    worker.close()
