"""How a gateway logs in at NATS servers: encrypted or not at all, with credentials, and again after a refusal.

The servers are real ones. What takes a server's place to hear the password is a plain socket.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.errors import GatewayError
from tests.cluster.test_nats_cluster import config
from tests.cluster.test_roaming_over_tls import Authority
from tests.support.agents import logged
from tests.support.calls import eventually
from tests.support.gateway_process import free_port
from tests.support.nats_server import nats_server, needs_nats

nkeys = pytest.importorskip("nkeys")
pytestmark = [needs_nats, pytest.mark.realtime]
LOGIN = {"user": "piopiy", "password": "a-secret-word"}


class Eavesdropper:
    """Says that it is a NATS server, and notes what it hears.

    Args:
        info: What it says of itself.
    """

    def __init__(self, **info: Any) -> None:
        self.info = {"server_id": "X", "version": "2.9.10", "max_payload": 1 << 20, **info}
        self.heard = b""
        self.guests = 0

    @asynccontextmanager
    async def at(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests += 1
        writer.write(b"INFO " + json.dumps(self.info).encode() + b"\r\n")
        try:
            self.heard += await reader.read(1 << 16)
        except OSError:
            pass
        finally:
            writer.close()


def over_tls(port: int) -> dict[str, Any]:
    return {"servers": [f"tls://127.0.0.1:{port}"], **LOGIN}


def problem(gateway: Gateway) -> str:
    assert gateway.cluster is not None
    return gateway.cluster.problem


def is_refused(gateway: Gateway, refused: bool) -> bool:
    return ("refuses" in problem(gateway)) == refused


def directory(gateway: Gateway) -> NatsDirectory:
    assert gateway.cluster is not None
    assert isinstance(gateway.cluster._directory, NatsDirectory)
    return gateway.cluster._directory


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    authority = Authority(tmp_path, "nats")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    made = authority.gateway()
    return {"--tlscert": str(made["tls_certificate"]), "--tlskey": str(made["tls_key"])}


def flags(certificates: dict[str, str]) -> list[str]:
    return [
        "--tls",
        *(part for pair in certificates.items() for part in pair),
        "--user",
        "piopiy",
        "--pass",
        "a-secret-word",
    ]


def test_where_tls_is_asked_for_a_server_without_it_is_refused_and_hears_nothing() -> None:
    async def scenario() -> None:
        for info in ({}, {"auth_required": True}, {"tls_required": False, "auth_required": True}):
            port, ear = free_port(), Eavesdropper(**info)
            async with ear.at(port), nats_server() as server:
                with pytest.raises(GatewayError, match=r"it has no TLS, so nothing was sent to it"):
                    await Gateway(config(server, cluster=over_tls(port))).start()
            assert ear.guests
            assert ear.heard == b""

    asyncio.run(scenario())


def test_who_takes_the_place_of_an_encrypted_server_is_told_nothing(certificates: dict[str, str]) -> None:
    async def scenario() -> None:
        async with (
            nats_server(*flags(certificates)) as server,
            Gateway(config(server, cluster=over_tls(server.port))) as gateway,
        ):
            await eventually(lambda: not problem(gateway), 10)
            await server.kill()
            ear = Eavesdropper(auth_required=True)
            async with ear.at(server.port):
                await eventually(lambda: "no TLS" in problem(gateway), 20)
                await eventually(lambda: ear.guests >= 2, 20)
            assert ear.heard == b""
            await server.start()
            await eventually(lambda: not problem(gateway), 20)

    asyncio.run(scenario())


def test_a_server_that_takes_both_is_spoken_to_encrypted(
    certificates: dict[str, str], tmp_path: Path
) -> None:
    settings = tmp_path / "nats.conf"
    settings.write_text(
        f"allow_non_tls: true\ntls {{ cert_file: {certificates['--tlscert']!r},"
        f" key_file: {certificates['--tlskey']!r} }}\n"
        "authorization { user: piopiy, password: a-secret-word }\n"
    )

    async def scenario() -> None:
        async with (
            nats_server("-c", str(settings)) as server,
            Gateway(config(server, cluster=over_tls(server.port))) as gateway,
        ):
            await eventually(lambda: not problem(gateway), 10)
            assert directory(gateway)._client.is_encrypted

    asyncio.run(scenario())


def test_encrypted_servers_and_others_in_one_list_are_refused() -> None:
    with pytest.raises(ValidationError, match="all servers as tls:// or all as nats://"):
        ClusterConfig(servers=["tls://10.0.0.2:4222", "nats://10.0.0.3:4222"])


def test_a_password_that_is_changed_while_a_gateway_runs_is_named_and_forgiven() -> None:
    async def scenario() -> None:
        async with nats_server("--user", "piopiy", "--pass", "a-secret-word") as server:
            with logged() as lines:
                async with Gateway(config(server, cluster=LOGIN)) as gateway:
                    await server.kill()
                    server.more = ("--user", "piopiy", "--pass", "another")
                    await server.start()
                    await eventually(lambda: "refuses what logs in" in problem(gateway), 20)
                    async with httpx.AsyncClient(trust_env=False) as client:
                        health = (await client.get(f"http://127.0.0.1:{gateway.port}/healthz")).text
                    assert "it refuses what logs in: look at user and password" in health
                    assert f":{server.port}" not in health, "whoever asks need not know where the servers are"
                    await server.kill()
                    server.more = ("--user", "piopiy", "--pass", "a-secret-word")
                    await server.start()
                    await eventually(lambda: not problem(gateway), 20)
            errors = [line for _, line in lines if line.startswith("ERROR")]
            assert sum("refuses what logs in" in line for line in errors) == 1
            assert 1 <= len(errors) <= 4
            assert not [line for line in errors if "a-secret-word" in line]

    asyncio.run(scenario())


def test_a_server_that_takes_new_settings_and_throws_the_gateway_out_has_it_back(tmp_path: Path) -> None:
    settings = tmp_path / "nats.conf"

    def write(password: str) -> None:
        settings.write_text(f"authorization {{ user: piopiy, password: {password} }}")

    async def scenario() -> None:
        write("a-secret-word")
        async with (
            nats_server("-c", str(settings)) as server,
            Gateway(config(server, cluster=LOGIN)) as gateway,
        ):
            for password, refused in (("another", True), ("a-secret-word", False)):
                write(password)
                server.reload()
                await eventually(partial(is_refused, gateway, refused), 20)

    asyncio.run(scenario())


# ------------------------------------------------------------------ files of credentials


class Issuer:
    """An operator, an account and a user of NATS, with the tokens and the file that `nsc` would write."""

    def __init__(self) -> None:
        self.operator, self.account, self.user = (
            self._keys(kind) for kind in ("OPERATOR", "ACCOUNT", "USER")
        )
        self.operator_token = self._token(self.operator, self.operator, {"type": "operator"})
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        account = {"type": "account", "limits": {**limits, "wildcards": True}}
        self.account_token = self._token(self.account, self.operator, account)
        user = {"type": "user", **dict.fromkeys(("subs", "data", "payload"), -1), "pub": {}, "sub": {}}
        self.user_token = self._token(self.user, self.account, user)

    @staticmethod
    def _keys(kind: str) -> Any:
        return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), getattr(nkeys, f"PREFIX_BYTE_{kind}")))

    @staticmethod
    def _token(subject: Any, issuer: Any, about: dict[str, Any]) -> str:
        def packed(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        claims: dict[str, Any] = {
            "iat": round(time.time()),
            "iss": issuer.public_key.decode(),
            "name": about["type"],
            "sub": subject.public_key.decode(),
            "nats": {**about, "version": 2},
        }
        claims["jti"] = (
            base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
        )
        head = packed(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        text = f"{head}.{packed(json.dumps(claims).encode())}"
        return f"{text}.{packed(issuer.sign(text.encode()))}"

    def settings(self) -> str:
        account = self.account.public_key.decode()
        return (
            f"operator: {self.operator_token}\nresolver: MEMORY\n"
            f"resolver_preload: {{ {account}: {self.account_token} }}\n"
        )

    def credentials(self) -> str:
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.user_token}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.user.seed.decode()}\n------END USER NKEY SEED------\n"
        )


def test_a_gateway_joins_with_a_file_of_credentials_and_a_stranger_does_not(tmp_path: Path) -> None:
    issuer, stranger = Issuer(), Issuer()
    (tmp_path / "nats.conf").write_text(issuer.settings())
    own, other = tmp_path / "own.creds", tmp_path / "other.creds"
    own.write_text(issuer.credentials())
    other.write_text(stranger.credentials())

    async def scenario() -> None:
        async with nats_server("-c", str(tmp_path / "nats.conf")) as server:
            async with Gateway(config(server, cluster={"credentials": own})) as gateway:
                await eventually(lambda: not problem(gateway), 10)
            with pytest.raises(GatewayError, match=r"it refuses what logs in: .* credentials in"):
                await Gateway(config(server, cluster={"credentials": other})).start()

    asyncio.run(scenario())


def test_a_file_that_is_none_of_credentials_is_one_sentence(tmp_path: Path) -> None:
    whole = Issuer().credentials()
    file = tmp_path / "gateway.creds"
    for text, said in (
        ("my-machine\n", "is no .creds file: it has no NATS USER JWT"),
        ("", "is no .creds file: it has no NATS USER JWT"),
        (whole.partition("****")[0], "is no .creds file: it has no USER NKEY SEED"),
        (whole.replace("\nSU", "\nSUAAAA", 1), "is no .creds file: it has no USER NKEY SEED"),
        (_with_a_wrong_letter(whole), "was not copied whole"),
    ):
        file.write_text(text)
        with pytest.raises(ValidationError) as raised:
            ClusterConfig(servers=["nats://127.0.0.1:4222"], credentials=file)
        [problem] = raised.value.errors()
        assert said in problem["msg"]
        assert "\n" not in problem["msg"]
        assert whole.rpartition("SEED-----\n")[2][:58] not in problem["msg"]
    file.write_text(whole)
    ClusterConfig(servers=["nats://127.0.0.1:4222"], credentials=file)


def _with_a_wrong_letter(text: str) -> str:
    at = text.index("\nSU") + 30
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
