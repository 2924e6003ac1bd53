"""`piopiy start` and `piopiy gateway`: what is missing is said, and what is there is run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from tests.support.commands import run_command

CLI = [sys.executable, "-m", "piopiy_pipeline.cli"]


def inherited() -> dict[str, str]:
    own = ("PIOPIY_", "AGENT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``piopiy arguments`` as a process that was forked, to which nothing is left to import."""
    return run_command(*arguments, environment={**inherited(), **environment})


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``piopiy start arguments`` as its users do, with a process that starts from nothing."""
    return subprocess.run(
        [*CLI, "start", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**inherited(), **environment},
    )


def test_a_bot_runs_as_the_program_with_its_folder_and_its_environment(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WORD = 'helped'\n")
    bot = tmp_path / "bot.py"
    bot.write_text(
        "import os, sys\nfrom helper import WORD\n"
        "print(__name__, WORD, sys.argv, os.environ['AGENT_ID'], os.environ['PIOPIY_URL'])\n"
    )
    done = start(str(bot), "--url", "https://host:1", "--agent-id", "desk", AGENT_TOKEN="t")
    assert done.stdout.strip() == f"__main__ helped {[str(bot)]} desk wss://host:1"
    [line] = done.stderr.splitlines()
    assert "bot.py has ended and had connected no agent" in line


@pytest.mark.parametrize(("connects", "status"), [(False, 1), (True, 0)])
def test_a_bot_that_ends_must_have_connected_an_agent(tmp_path: Path, connects: bool, status: int) -> None:
    """One that has only the function is enough for `piopiy chat`; here it would be nothing, without a word."""
    bot = tmp_path / "bot.py"
    bot.write_text(
        "import asyncio\nfrom piopiy.agent import Agent\n\nasync def on_new_session(call): ...\n\n"
        "async def main():\n"
        "    agent = Agent('desk', 'desk-token-desk-token', on_new_session)\n"
        "    await agent.shutdown()\n    await agent.connect()\n\n"
        + ("asyncio.run(main())\n" if connects else "")
    )
    done = run("start", str(bot), AGENT_ID="a", AGENT_TOKEN="t")
    assert done.returncode == status, done.stderr
    assert ("had connected no agent" in done.stderr) is not connects


def test_a_module_of_piopiys_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("\nfrom piopiy.services.opensource.chatterbox.tts import ChatterboxTTSService\n")
    done = run("start", str(bot), AGENT_ID="a", AGENT_TOKEN="t")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "line 2: piopiy.services.opensource.chatterbox is not here" in line


def test_a_wrong_setting_of_the_cloud_has_the_exit_status_of_wrong_input(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "from piopiy.agent import Agent\nasync def on_new_session(call): ...\n"
        "Agent('desk', 'desk-token-desk-token', on_new_session)\n"
    )
    done = run("start", str(bot), "--cloud", AGENT_ID="a", AGENT_TOKEN="t", PIOPIY_TLS="maybe")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "PIOPIY_TLS must be true or false, not 'maybe'" in done.stderr


def test_a_bots_own_exception_keeps_its_traceback(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("def broken():\n    raise RuntimeError('my own mistake')\nbroken()\n")
    done = run("start", str(bot), AGENT_ID="a", AGENT_TOKEN="t")
    assert done.returncode == 1
    assert "in broken" in done.stderr
    assert "RuntimeError: my own mistake" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["start", "none.py"], {}, "none.py: there is no such bot"),
        (["start", __file__], {}, "--agent-id or AGENT_ID"),
        (["start", __file__], {"AGENT_ID": "a"}, "set AGENT_TOKEN"),
        (["start", __file__, "--url", "x"], {"AGENT_ID": "a", "AGENT_TOKEN": "t"}, "not a gateway's address"),
        (
            ["start", __file__, "--url", "ws://host", "--cloud"],
            {"AGENT_ID": "a", "AGENT_TOKEN": "t"},
            "--cloud starts a gateway of its own: leave --url out",
        ),
        (
            ["start", __file__],
            {"AGENT_ID": "a", "AGENT_TOKEN": "t", "PIOPIY_CLOUD": "maybe"},
            "PIOPIY_CLOUD must be 1 or 0, not 'maybe'",
        ),
        (
            ["start", __file__, "--url", "ws://127.0.0.1:7860,ws://bad host"],
            {"AGENT_ID": "a", "AGENT_TOKEN": "t"},
            "'ws://bad host' is no address: there is a space in it",
        ),
        (
            ["gateway"],
            {"PIOPIY_GATEWAY_AGENTS": '{"a": "t"}', "PIOPIY_GATEWAY_CLUSTER": '{"servers": ["nats://a:1"]}'},
            "[cluster] needs token_secret",
        ),
        (
            ["gateway"],
            {
                "PIOPIY_GATEWAY_AGENTS": '{"a": "t"}',
                "PIOPIY_GATEWAY_CLUSTER": '{"servers": ["nats://a:1"]}',
                "PIOPIY_GATEWAY_TOKEN_SECRET": "s",
            },
            "[cluster] needs api_keys",
        ),
        (["gateway"], {}, "the gateway has no agents"),
        (["gateway", "--log-format", "xml"], {}, "--log-format: 'xml' is neither text nor json"),
        (["gateway"], {"PIOPIY_LOG_FORMAT": "xml"}, "PIOPIY_LOG_FORMAT: 'xml' is neither text nor json"),
        *(
            (
                [*command, *more],
                {"PIOPIY_LOG_FORMAT": "xml"},
                "PIOPIY_LOG_FORMAT: 'xml' is neither text nor json",
            )
            for command, more in (
                (["call"], ["--say", "Hello."]),
                (["check"], []),
                (["simulate"], [__file__]),
            )
        ),
        (
            ["start", __file__, "--metrics-port", "x"],
            {"AGENT_ID": "a", "AGENT_TOKEN": "t"},
            "--metrics-port: 'x' is no port for metrics",
        ),
        (
            ["start", __file__, "--url", ""],
            {"AGENT_ID": "a", "AGENT_TOKEN": "t"},
            "--url is empty: give the gateway's address, or leave it out",
        ),
        (
            ["start", __file__],
            {"AGENT_ID": "a", "AGENT_TOKEN": "secret\n"},
            "agent_token has a blank, a line break or another sign that no token has: copy it again",
        ),
        (["gateway", "--config", "none.toml"], {}, "none.toml"),
        (["gateway", "--port", "-1"], {}, "--port -1"),
        (["gateway"], {"PIOPIY_GATEWAY_AGENTS": "[]"}, "PIOPIY_GATEWAY_AGENTS"),
    ],
)
def test_what_is_missing_is_one_line_and_status_2(
    arguments: list[str], environment: dict[str, str], message: str
) -> None:
    done = run(*arguments, **environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gateway_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('records = false\nwebrtc_workers = 0\ncaller_keys = ["k"]\n[agents]\ndesk = "t"\n')
    command = [*CLI, "gateway", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            checked = run("check", "--url", url, "--agent", "desk", "--key", "k", AGENT_TOKEN="t")
            refused = run("check", "--url", url, "--agent", "desk", "--key", "wrong", AGENT_TOKEN="bad")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "accepted for agent desk" in checked.stdout
    assert refused.returncode == 1
    assert "caller's key, agent's token" in refused.stderr
    assert "wrong" not in refused.stdout + refused.stderr


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb in ("dev", "call", "start", "gateway", "check"):
        assert f"\n  {verb} " in out
    assert main(["xyzzy"]) == 2
    assert capsys.readouterr().err == "piopiy: No such command 'xyzzy'.\n"


def test_a_mistake_that_words_explain_is_told_without_a_traceback(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    (tmp_path / "broken.yaml").write_text("nothing: here\n")
    bot.write_text(
        "from piopiy_pipeline.services.playbook.loading import load_playbook\nload_playbook('broken.yaml')\n"
    )
    run = [sys.executable, "-m", "piopiy_pipeline.cli.run_bot", str(bot)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bot.py: broken.yaml:1")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", [("--drain-s", "x"), ("--drain-s", "-1"), ("--port", "x")])
def test_an_option_with_a_wrong_value_is_told_in_words(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateway", *option]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"piopiy: Invalid value for '{option[0]}': "
    )  # what follows is typer's or pydantic's
    assert "Input should" not in error
    assert "unable to parse" not in error


def test_a_metrics_port_that_is_in_use_is_told_without_a_traceback(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "import asyncio\n"
        "from piopiy_pipeline.agent import Agent\n"
        "async def create_session(**call): ...\n"
        "asyncio.run(Agent(agent_id='a', agent_token='t', create_session=create_session).connect())\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("start", str(bot), "--metrics-port", str(port), AGENT_ID="a", AGENT_TOKEN="t")
    assert done.returncode == 1
    assert (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another with" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "(Connection refused): name it with --gateway"),
        (b"HTTP/1.0 200 OK\r\n\r\nHello", "is no gateway: name it with --gateway"),
        (b"SSH-2.0-x\r\n", "name it with --gateway"),
        (b'HTTP/1.0 401 No\r\n\r\n{"error": "no API key"}', "refuses it: no API key (--api-key)"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", "refuses it: HTTP 502 Bad Gateway (--api-key)"),
    ],
)
def test_a_drain_at_nothing_is_told_in_words(
    answer: bytes | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{there.getsockname()[1]}"

        def serve() -> None:
            connection, _ = there.accept()
            with connection:
                request = b""
                while not request.endswith(b'{"on": true}'):
                    request += connection.recv(4096)
                connection.sendall(answer or b"")

        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            there.listen()
            thread.start()
        assert main(["drain", "--gateway", url]) == 1
        if answer is not None:
            thread.join(10)
    error = capsys.readouterr().err
    assert says in error
    assert url in error
    assert "urlopen" not in error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"async def bot(call):\n    x = (\n", "line 2: '(' was never closed"),
        (b"x = 1\ny = '\xfc'\n", "not in UTF-8: save it in that encoding"),
    ],
)
def test_a_file_that_is_not_python_is_one_sentence_with_its_line(
    content: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / "helper.py").write_bytes(content)
    bot = tmp_path / "bot.py"
    for name, text in (("helper.py", b"import helper\n"), ("bot.py", content)):
        bot.write_bytes(text)
        run = [sys.executable, "-m", "piopiy_pipeline.cli.run_bot", str(bot)]
        done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 1
        assert f"{tmp_path / name}, line" in done.stderr
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_bots_own_error_keeps_its_traceback(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("raise RuntimeError('mine')\n")
    run = [sys.executable, "-m", "piopiy_pipeline.cli.run_bot", str(bot)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RuntimeError: mine" in done.stderr
