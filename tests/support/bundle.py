"""Programs of the npm registry for a page of a test, fetched by npm and made into one file by esbuild.

`package.json` names exact versions. What was fetched and made is kept, under a lock, for the next run.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

__all__ = ["bundle", "served"]

FETCH_S = 120.0
_NPM = (
    "npm",
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--loglevel=error",
)
_ESBUILD = ("node_modules/.bin/esbuild", "client.js", "--bundle", "--format=iife", "--log-level=warning")


def bundle(source: Path, cache: Path) -> Path:
    """Return the folder of a page made from `source` (package.json, client.js, index.html), under `cache`.

    Skips the test where there is no npm, or where it cannot fetch.
    """
    if shutil.which("npm") is None:
        pytest.skip("no npm is installed (Debian: apt-get install npm)")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = (source / "package.json").read_bytes()
        work = cache / hashlib.sha256(packages).hexdigest()[:12]
        if not (work / "fetched").exists():
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            (work / "package.json").write_bytes(packages)
            _fetch(work)
            (work / "fetched").touch()
        page = work / "page"
        page.mkdir(exist_ok=True)
        shutil.copy(source / "client.js", work)
        shutil.copy(source / "index.html", page)
        subprocess.run([*_ESBUILD, "--outfile=page/client.js"], cwd=work, check=True, timeout=300)
    return page


def _fetch(folder: Path) -> None:
    try:
        done = subprocess.run(_NPM, cwd=folder, capture_output=True, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not answer within {FETCH_S:g} s")
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("npm error code")]
        pytest.skip(f"npm could not fetch the packages: {' '.join(reasons) or done.stderr[-300:]}")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run somebody else's web server on loopback. Yields the origin of its pages, without a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
