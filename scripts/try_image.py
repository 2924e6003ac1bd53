"""Carries out deploy/Dockerfile in empty folders, without Docker, and tries what came of it.

    debootstrap --variant=minbase --include=python3.11,python3.11-venv,ca-certificates bookworm /tmp/base
    python scripts/try_image.py --base /tmp/base --into /tmp/image

Each stage begins as a copy of ``--base``, a root file system that stands for the image's own base. RUN is carried out
with ``chroot`` as the stage's user; ENV, ARG, WORKDIR, COPY and USER do as in Docker, as far as this Dockerfile uses
them: what it does not know is an error. At the end the entry point, the health check, a gateway and an agent are tried
as the image's user.
``--share`` puts files of this machine into the stages that build (such as the configuration of pip and uv, and
certificates), and ``--pass`` variables. It needs root, and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
KNOWN = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR"),
}
BOT = """
import asyncio, os
from piopiy.agent import Agent

async def on_new_session(call_id: str) -> None:
    print(call_id)

agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], on_new_session)
asyncio.run(agent.connect())
"""
"""An agent that registers, which needs no provider."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class ImageError(Exception):
    """The Dockerfile says something that is not known here, or a step failed."""


@dataclass
class Stage:
    """One stage: its root file system, and what its steps have set."""

    name: str
    root: Path
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"}
    )
    args: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command in this stage."""
        return ["chroot", f"--userspec={self.user}", str(self.root), "/bin/sh", "-c",
                f"cd {shlex.quote(self.workdir)} && exec {shlex.join(command)}"]  # fmt: skip


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments, without comments and with joined lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
    ]


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Replace variables as Docker does."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], ""), text)


def pairs(text: str) -> dict[str, str]:
    """Read ``A=b C="d e"``."""
    return dict(part.partition("=")[::2] for part in shlex.split(text))


class Image:
    """Builds, stage by stage."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._stages: list[Stage] = []
        self._ignored = _Ignored(DOCKERFILE.with_name("Dockerfile.dockerignore").read_text())

    def build(self) -> Stage:
        """Carry out all instructions. Returns the last stage."""
        for word, rest in instructions(DOCKERFILE.read_text()):
            began = time.monotonic()
            self._step(word, rest)
            print(f"{time.monotonic() - began:6.1f} s  {word} {rest[:100]}", flush=True)
        return self._stages[-1]

    def _step(self, word: str, rest: str) -> None:
        if word == "ARG" and not self._stages:
            return  # of the base, which --base stands for
        if word == "FROM":
            self._begin(rest.partition(" AS ")[2])
            return
        stage = self._stages[-1]
        values = {**stage.args, **stage.env}
        match word:
            case "ARG":
                name, _, value = rest.partition("=")
                stage.args[name] = self._options.build_arg.get(name, shlex.split(value)[0] if value else "")
            case "ENV":
                stage.env |= {name: substituted(value, values) for name, value in pairs(rest).items()}
            case "WORKDIR":
                stage.workdir = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = rest
            case "COPY":
                self._copy(stage, rest)
            case "RUN":
                self._run(stage, rest)
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.healthcheck = json.loads(rest.partition(" CMD ")[2])
            case "EXPOSE":
                pass
            case _:
                raise ImageError(f"{word} is not known here")

    def _begin(self, name: str) -> None:
        root = self._options.into / (name or "image")
        if root.exists():
            raise ImageError(f"{root} is there already: give an empty folder")
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", "--reflink=auto", str(self._options.base), str(root)], check=True)
        python = root / "usr/local/bin/python3"
        if not (root / "usr/bin/python3").exists() and not python.exists():
            python.symlink_to("/usr/bin/python3.11")
        self._stages.append(Stage(name, root))
        for each in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{each}", str(root / each)], check=True)

    def _copy(self, stage: Stage, rest: str) -> None:
        *sources, target = rest.split()
        root = ROOT
        if sources[0].startswith("--from="):
            name = sources.pop(0).partition("=")[2]
            root = next(one.root for one in self._stages if one.name == name)
        where = stage.root / str(Path(stage.workdir) / target).lstrip("/")
        for source in sources:
            path = root / source.lstrip("/")
            if root is ROOT and self._ignored.ignores(source):
                raise ImageError(f"COPY {source}: Dockerfile.dockerignore leaves it out")
            to = where / path.name if target.endswith("/") else where
            if path.is_dir():
                skipped = shutil.ignore_patterns("__pycache__", "*.pyc") if root is ROOT else None
                shutil.copytree(path, to, symlinks=True, ignore=skipped, dirs_exist_ok=True)
            else:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)

    def _run(self, stage: Stage, command: str) -> None:
        shared = [Path(each) for each in self._options.share] if stage.name else []
        for path in shared:
            inside = stage.root / str(path).lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, inside, dirs_exist_ok=True)
            else:
                shutil.copy2(path, inside)
        passed = (
            {name: os.environ[name] for name in self._options.passed if name in os.environ}
            if stage.name
            else {}
        )
        done = subprocess.run(
            stage.argv(["/bin/sh", "-c", command]), env={**stage.args, **stage.env, **passed}, check=False
        )
        if done.returncode:
            raise ImageError(f"RUN {command}: exit status {done.returncode}")


class _Ignored:
    """A .dockerignore of the form: everything but some paths."""

    def __init__(self, text: str) -> None:
        lines = text.split()
        if lines[0] != "*":
            raise ImageError("Dockerfile.dockerignore has to begin with *")
        self._kept = {line[1:] for line in lines if line.startswith("!")}

    def ignores(self, source: str) -> bool:
        return source.removeprefix("./") not in self._kept


def try_image(stage: Stage, port: int) -> None:
    """Run what the image runs, as its user: the help, a gateway and an agent with their health check, SIGTERM.

    Raises:
        ImageError: Something is not as it should be.
    """
    run = {"env": stage.env, "capture_output": True, "text": True, "timeout": 120, "check": False}
    said = subprocess.run(stage.argv([*stage.entrypoint, "--help"]), **run)  # type: ignore[call-overload]
    if said.returncode or "gateway" not in said.stdout:
        raise ImageError(f"--help: {said.stdout}{said.stderr}")
    writable = subprocess.run(
        stage.argv(["find", "/opt", "/usr", "/etc", "-writable", "-not", "-type", "l"]),
        **run,  # type: ignore[call-overload]
    ).stdout
    if writable:
        raise ImageError(f"its user can write {writable.split()[0]}")
    gateway = {
        **stage.env,
        "PIOPIY_GATEWAY_AGENTS": '{"front_desk": "agent-token"}',
        "PIOPIY_GATEWAY_PORT": str(port),
        "PIOPIY_GATEWAY_HOST": "127.0.0.1",
    }
    agent = {
        **stage.env,
        "AGENT_ID": "front_desk",
        "AGENT_TOKEN": "agent-token",
        "PIOPIY_URL": f"ws://127.0.0.1:{port}",
        "PIOPIY_METRICS_PORT": str(port + 1),
    }
    (stage.root / "tmp/bot.py").write_text(BOT)
    with running(stage, ["gateway"], gateway), running(stage, ["start", "/tmp/bot.py"], agent):
        print("a gateway and an agent are well", flush=True)
    for environ in (gateway, agent):
        if healthy(stage, environ):
            raise ImageError("the health check finds nothing wrong where nothing runs")


def healthy(stage: Stage, environ: Mapping[str, str]) -> bool:
    """Return what the image's health check says, which it does in two ways at most."""
    status = subprocess.run(
        stage.argv(stage.healthcheck), env=environ, stdout=subprocess.DEVNULL, check=False
    ).returncode
    if status not in (0, 1):
        raise ImageError(f"the health check ended with {status}")
    return status == 0


@contextmanager
def running(stage: Stage, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[None]:
    """Run a command of the image until it is well, and end it with SIGTERM. Raises `ImageError` if either fails."""
    process = subprocess.Popen(stage.argv([*stage.entrypoint, *command]), env=environ)
    try:
        deadline = time.monotonic() + 60
        while not healthy(stage, environ):
            if time.monotonic() > deadline or process.poll() is not None:
                raise ImageError(f"{command[0]} does not get well")
            time.sleep(0.2)
        yield
        process.send_signal(signal.SIGTERM)
        if status := process.wait(30):
            raise ImageError(f"{command[0]} ended with {status} after SIGTERM")
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Build, try, and print the size of what was installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="a root file system with Python 3.11")
    parser.add_argument("--into", type=Path, required=True, help="an empty folder for the stages")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--share", action="append", default=[], metavar="PATH")
    parser.add_argument("--pass", dest="passed", action="append", default=[], metavar="VARIABLE")
    parser.add_argument("--port", type=int, default=17860)
    options = parser.parse_args()
    if os.environ.get("TRY_IMAGE_ALONE") != "1":  # mounts of its own, which end with it
        os.environ["TRY_IMAGE_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    options.build_arg = dict(one.partition("=")[::2] for one in options.build_arg)
    try:
        stage = Image(options).build()
        try_image(stage, options.port)
    except ImageError as error:
        print(f"try_image: {error}", file=sys.stderr)
        return 1
    sizes = subprocess.run(
        ["du", "-sm", str(stage.root / "opt/piopiy")], capture_output=True, text=True, check=True
    )
    print(f"the image is well; /opt/piopiy has {sizes.stdout.split()[0]} MB beside the base")
    return 0


if __name__ == "__main__":
    sys.exit(main())
