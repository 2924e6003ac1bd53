"""The gateway's settings: where they come from, and how a mistake in them is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(GatewayError) as raised:
        GatewayConfig.load(path, environ or {})
    return str(raised.value)


def test_the_defaults_listen_on_loopback_and_let_nobody_in() -> None:
    config = GatewayConfig.load(None, {})
    assert (config.host, config.port) == ("127.0.0.1", 7860)
    assert config.agents == {}
    assert config.caller_keys == []


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    path = written(tmp_path, 'port = 9000\ncaller_keys = ["k"]\n[agents]\nfront-desk = "secret"\n')
    config = GatewayConfig.load(path, {})
    assert config.port == 9000
    assert config.agents == {"front-desk": "secret"}
    assert config.caller_keys == ["k"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "port = 9000\noffer_ms = 600\n")
    environ = {"PIOPIY_GATEWAY_PORT": "9001", "PIOPIY_GATEWAY_AGENTS": '{"a": "t"}', "HOME": "/"}
    config = GatewayConfig.load(path, environ)
    assert (config.port, config.offer_ms, config.agents) == (9001, 600, {"a": "t"})


def test_a_wrong_value_is_told_with_the_file_and_the_key(tmp_path: Path) -> None:
    path = written(tmp_path, "setup_s = -1\n")
    assert complaint(path) == f"{path}: setup_s: expected greater than 0"


def test_an_unknown_key_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "prot = 9000\n")
    message = complaint(path)
    assert message.startswith(f"{path}: prot: no such setting")
    assert "port" in message


def test_a_file_of_another_encoding_is_told_so_and_the_mark_of_utf_8_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes("# Grüße\nport = 9000\n".encode("latin-1"))
    assert complaint(path) == f"{path}: not a file in UTF-8 (byte 5 is none): save it in that encoding"
    path.write_bytes("port = 9000\n".encode("utf-8-sig"))
    assert GatewayConfig.load(path, {}).port == 9000


def test_an_empty_variable_is_refused_whatever_it_sets() -> None:
    for name in ("PIOPIY_GATEWAY_DATA_FOLDER", "PIOPIY_GATEWAY_PORT", "PIOPIY_GATEWAY_HOST"):
        with pytest.raises(GatewayError, match=f"^{name}: is empty: give a value, or do not set it$"):
            GatewayConfig.load(None, {name: " "})


def test_no_expression_is_told_of_what_has_a_form(tmp_path: Path) -> None:
    said = [
        complaint(written(tmp_path, text))
        for text in (
            '[agents]\ndesk = "ein Tökén"\n',
            'agents = {"a\\nb" = "t"}\n',
            'allowed_origins = ["shop.example"]\n',
            '[[ice_servers]]\nurls = ["stun.example"]\n',
            '[sip]\nusers = {"an na" = "secret"}\n',
            '[cluster]\nservers = ["nats://x"]\nsubject = "a b"\n',
        )
    ]
    assert not any(sign in text for text in said for sign in "^$[]"), said
    assert "as https://shop.example" in said[2]


def test_a_wrong_or_unknown_variable_is_told_by_its_name() -> None:
    assert complaint(None, {"PIOPIY_GATEWAY_PORT": "99999"}).startswith("PIOPIY_GATEWAY_PORT: port: ")
    assert "PIOPIY_GATEWAY_PROT" in complaint(None, {"PIOPIY_GATEWAY_PROT": "1"})
    assert "not valid JSON" in complaint(None, {"PIOPIY_GATEWAY_AGENTS": "{a: b}"})


def test_a_file_that_is_not_there_or_no_toml_is_told_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert str(missing) in complaint(missing)
    broken = written(tmp_path, "port = \n")
    assert complaint(broken).startswith(f"{broken}: not valid TOML")


def test_secrets_are_in_no_message_and_no_representation(tmp_path: Path) -> None:
    path = written(tmp_path, '[agents]\na = "very secret"\n')
    assert "very secret" not in complaint(path), "a token must not have spaces"
    config = GatewayConfig(agents={"a": "very-secret"}, caller_keys=["hush-hush"])
    assert "secret" not in repr(config)
    assert "hush" not in repr(config)
    with pytest.raises(ValidationError) as raised:
        GatewayConfig(agents={"a": "very secret"})
    assert "very secret" not in str(raised.value)


@pytest.mark.parametrize(
    "origin", ["*", "shop.example", "https://shop.example/cart", "https://*.shop.example"]
)
def test_an_origin_that_no_browser_would_send_is_no_setting(origin: str, tmp_path: Path) -> None:
    path = written(tmp_path, f'allowed_origins = ["{origin}"]\n')
    assert complaint(path).startswith(f"{path}: allowed_origins.0: ")


def test_origins_are_compared_as_browsers_write_them() -> None:
    origins = ["https://Shop.example/", "capacitor://localhost"]
    assert GatewayConfig(allowed_origins=origins).allowed_origins == [
        "https://shop.example/",
        "capacitor://localhost",
    ]


def test_days_are_not_counted_without_records(tmp_path: Path) -> None:
    assert "keep_days" in complaint(written(tmp_path, "records = false\nkeep_days = 7\n"))


def test_telephones_have_a_table_of_their_own(tmp_path: Path) -> None:
    assert GatewayConfig.load(None, {}).sip is None
    path = written(
        tmp_path,
        "[agents]\ndesk = 'd'\nsales = 's'\n[sip]\nport = 5070\ndefault_agent = 'desk'\n[sip.users]\nalice = 'secret'\n"
        "[[sip.routes]]\nto = '+1555*'\nagent = 'sales'\n",
    )
    sip = GatewayConfig.load(path, {}).sip
    assert sip is not None
    assert (sip.port, sip.users) == (5070, {"alice": "secret"})
    assert (sip.agent_for("+15550100"), sip.agent_for("100")) == ("sales", "desk")
    assert "secret" not in repr(sip)


@pytest.mark.parametrize(
    ("table", "place"),
    [
        (
            "[sip]\nroutes = [{to = '1*', agent = 'desk'}, {to = '+49*', agent = 'nobody'}]",
            "sip.routes.1 (to '+49*')",
        ),
        ("[sip]\ndefault_agent = 'nobody'", "sip.default_agent"),
        (
            "[carriers]\npublic_url = 'https://voice.example'\n[carriers.twilio]\nauth_token = 't'\nagent = 'nobody'",
            "carriers.twilio.agent",
        ),
    ],
)
def test_calls_are_led_to_agents_that_are_there(tmp_path: Path, table: str, place: str) -> None:
    path = written(tmp_path, f"[agents]\ndesk = 'token'\n{table}\n")
    assert f"{place}: agent 'nobody' is none of agents" in complaint(path)


def test_a_mistake_in_the_table_of_telephones_is_told_with_its_own_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "[sip]\nprot = 5060\n")
    told = complaint(path)
    assert told.startswith(f"{path}: sip.prot: no such setting. There are host, port, transports")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_address_to_listen_at_is_none_by_which_agents_find_the_gateway(tmp_path: Path, host: str) -> None:
    path = written(tmp_path, f"[cluster]\nservers = ['nats://nats']\nurl = 'ws://{host}:7860'\n")
    told = complaint(path)
    assert told.startswith(f"{path}: cluster.url: ")
    assert "do not find host" in told


def test_a_mistake_in_the_table_of_a_cluster_is_told_with_its_own_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "[cluster]\nservers = ['nats://nats']\npage = []\n")
    told = complaint(path)
    assert told.startswith(f"{path}: cluster.page: no such setting. There are servers, url, name, pages")


def test_clean_sound_is_one_word_for_all_legs_or_a_table_by_kind(tmp_path: Path) -> None:
    config = GatewayConfig.load(written(tmp_path, 'clean_sound = "echo"\n'), {})
    assert set(config.cleaned_kinds().values()) == {"echo"}
    config = GatewayConfig.load(written(tmp_path, 'clean_sound = { phone = "both" }\n'), {})
    assert config.cleaned_kinds() == {"phone": "both"}
    config = GatewayConfig.load(None, {"PIOPIY_GATEWAY_CLEAN_SOUND": '{"browser": "noise"}'})
    assert config.cleaned_kinds() == {"browser": "noise"}


def test_clean_sound_without_its_package_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.config.is_installed", lambda: False)
    message = complaint(written(tmp_path, 'clean_sound = "both"\n'))
    assert message.endswith(
        "clean_sound: pywebrtc-audio is not installed: pip install 'piopiy-pipeline[clean]'"
    )
    assert GatewayConfig.load(written(tmp_path, 'clean_sound = "off"\n'), {}).clean_sound == "off"
