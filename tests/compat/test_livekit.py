"""A process with LiveKit's native library ends when that has failed inside, and not by a SIGTERM of somebody else's."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("livekit.rtc", reason="pip install 'piopiy-pipeline[cloud]'")

PANIC = """
    import ctypes
    from livekit.rtc import _ffi_client
    from livekit.rtc._proto import ffi_pb2
    from piopiy_pipeline.compat import livekit as compat
    from piopiy_pipeline.worker_process import leave_signals_to_parent

    leave_signals_to_parent()
    compat.check()
    compat.end_at_panic()
    compat.load()
    event = ffi_pb2.FfiEvent(panic=ffi_pb2.Panic(message="a test's")).SerializeToString()
    data = ctypes.cast(ctypes.c_char_p(event), ctypes.POINTER(ctypes.c_uint8))
    _ffi_client.ffi_event_callback(data, len(event))
    print("still here")
"""


def test_a_panic_of_the_native_code_ends_the_process_that_leaves_signals_to_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PANIC)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "FFI Panic:  a test's" in done.stderr
    assert done.stdout == ""
