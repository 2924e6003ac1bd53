"""The credentials of `piopiy dev`: found by its callers, and by nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from piopiy_pipeline.cli.credentials import (
    CredentialsError,
    DevCredentials,
    credentials_folder,
    find_credentials,
    remove_credentials,
    save_credentials,
)
from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.target import DEFAULT_URL, Target, find_target, gateway_url


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("PIOPIY_URL", "PIOPIY_CALLER_KEY", "AGENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIOPIY_CREDENTIALS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_what_was_saved_is_found_by_port_until_it_is_removed(folder: Path) -> None:
    mine, other = DevCredentials.random("desk"), DevCredentials.random("bar")
    save_credentials(mine, 7860)
    save_credentials(other, 7861)
    assert find_credentials(7860) == mine
    assert find_credentials(7861) == other
    remove_credentials(mine, 7860)
    remove_credentials(mine, 7860)
    assert find_credentials(7860) is None
    assert [path.name for path in folder.iterdir()] == ["dev-7861.json"]


def test_nobody_else_can_read_them(folder: Path) -> None:
    path = save_credentials(DevCredentials.random("desk"), 7860)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_of_them_are_never_the_same_and_none_shows_its_secrets() -> None:
    one, two = DevCredentials.random("desk"), DevCredentials.random("desk")
    assert len({one.agent_token, one.caller_key, two.agent_token, two.caller_key}) == 4
    assert one.agent_token not in repr(one)
    assert one.caller_key not in repr(one)


def test_a_file_that_others_can_read_is_refused() -> None:
    path = save_credentials(DevCredentials.random("desk"), 7860)
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match="not yours alone"):
        find_credentials(7860)


def test_a_folder_that_others_can_write_to_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CredentialsError, match="others can write"):
        save_credentials(DevCredentials.random("desk"), 7860)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"agent_id": "a"}', '{"agent_id": 1}'])
def test_a_file_that_is_none_is_named(folder: Path, content: str) -> None:
    path = save_credentials(DevCredentials.random("desk"), 7860)
    path.write_text(content)
    with pytest.raises(CredentialsError, match=r"dev-7860\.json"):
        find_credentials(7860)


def test_the_credentials_of_the_one_that_came_after_stay() -> None:
    first, second = DevCredentials.random("desk"), DevCredentials.random("desk")
    save_credentials(first, 7860)
    save_credentials(second, 7860)
    remove_credentials(first, 7860)
    assert find_credentials(7860) == second


def test_without_the_variable_they_are_among_the_users_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIOPIY_CREDENTIALS")
    assert credentials_folder().parts[-2:] == ("piopiy", "credentials")


def test_a_caller_on_loopback_finds_the_agent_and_the_key_of_piopiy_dev(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = DevCredentials.random("desk")
    save_credentials(mine, 7860)
    monkeypatch.setenv("AGENT_ID", "a bot somewhere else")
    assert find_target(None, None, None) == Target(DEFAULT_URL, "desk", mine.caller_key)
    assert find_target("http://localhost:7860/", None, None).url == "ws://localhost:7860"
    with pytest.raises(BadInput, match="give the caller's key"):
        find_target("ws://far.example:7860", None, None)


def test_a_key_that_is_given_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    save_credentials(DevCredentials.random("desk"), 7860)
    monkeypatch.setenv("AGENT_ID", "bot")
    monkeypatch.setenv("PIOPIY_CALLER_KEY", "from-environment")
    assert find_target(None, None, None) == Target(DEFAULT_URL, "bot", "from-environment")
    assert find_target(None, "other", "k") == Target(DEFAULT_URL, "other", "k")
    monkeypatch.delenv("AGENT_ID")
    assert find_target(None, None, "k") == Target(DEFAULT_URL, "desk", "k"), "the agent of `piopiy dev`"
    with pytest.raises(BadInput, match="--agent"):
        find_target("ws://far.example:7860", None, "k")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ws://host:1", "ws://host:1"),
        ("https://host/", "wss://host"),
        ("ws://[::1]:7860", "ws://[::1]:7860"),
        (None, DEFAULT_URL),
    ],
)
def test_a_gateways_address_is_a_host_and_a_port(given: str | None, url: str) -> None:
    assert gateway_url(given) == url


def test_the_address_comes_from_the_environment_and_an_agents_name_may_be_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIOPIY_URL", "ws://host:1")
    assert gateway_url(None) == "ws://host:1"
    assert Target("ws://host", "front desk/1", "k").call_url == "ws://host/call/front%20desk%2F1"
