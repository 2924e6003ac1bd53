"""Agents that take calls at other gateways over TLS, with certificates of an own CA: real sockets, a real NATS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.session import Call
from tests.cluster.test_nats_cluster import at_home, config, known
from tests.support.agents import logged
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, House, eventually
from tests.support.nats_server import nats_server, needs_nats
from tests.support.switchboard import NotedLeg

pytestmark = [needs_nats, pytest.mark.realtime]


class Authority:
    """A CA whose certificate is in a file, and which signs those of gateways on loopback."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA")])
        builder = self._builder(self._subject, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / f"{name}-ca.pem"
        self.file.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def gateway(self) -> dict[str, Path]:
        """Return the settings of a gateway with a certificate of this CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([address]), critical=False
        )
        paths = self._folder / f"{self._name}.pem", self._folder / f"{self._name}.key"
        pem = serialization.Encoding.PEM
        paths[0].write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(pem))
        plain = serialization.NoEncryption()
        paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        paths[1].chmod(0o600)
        return {"tls_certificate": paths[0], "tls_key": paths[1]}

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A CA that agents and callers of this process trust, as OpenSSL's variable says."""
    ours = Authority(tmp_path, "ours")
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.file))
    return ours


async def bot(call: Call) -> None:
    await (await voice(call, greeting=LONG)).start()


def call_elsewhere(home_settings: Any, other_settings: Any) -> tuple[EndReason | None, float, list[str]]:
    """Call at a gateway whose agent is at home at another one. Returns the end, the seconds heard, and the log."""

    async def scenario() -> tuple[EndReason | None, float, list[str]]:
        async with (
            nats_server() as server,
            Gateway(config(server, **home_settings)) as home,
            Gateway(config(server, **other_settings)) as other,
            at_home(bot, home.url) as agent,
        ):
            await eventually(lambda: known(home) == known(other) == 1, 20)
            with logged() as lines:
                log = await House(other, agent).call(hangup_after_s=2)
            roamed = any(one.roaming for one in other.switchboard.instances.of(AGENT_ID))
            assert roamed == (log.reason is EndReason.CALLER_HANGUP)
            return log.reason, log.heard.size / 16000, [line for _, line in lines]

    return asyncio.run(scenario())


def test_an_agent_roams_and_its_sound_goes_over_tls_with_a_ca_of_ones_own(authority: Authority) -> None:
    settings = authority.gateway()
    reason, heard_s, _ = call_elsewhere(settings, settings)
    assert reason is EndReason.CALLER_HANGUP
    assert heard_s > 1.5


def test_an_agent_with_an_encrypted_home_goes_to_no_gateway_that_is_not(authority: Authority) -> None:
    reason, _, _ = call_elsewhere(authority.gateway(), {})
    assert reason in (EndReason.BUSY, EndReason.NO_AGENT)


def test_a_gateway_with_a_certificate_of_somebody_elses_ca_gets_no_agent(
    authority: Authority, tmp_path: Path
) -> None:
    theirs = Authority(tmp_path, "theirs").gateway()

    async def scenario() -> None:
        async with (
            nats_server() as server,
            Gateway(config(server, **authority.gateway())) as home,
            Gateway(config(server, **theirs)) as other,
            at_home(bot, home.url),
        ):
            await eventually(lambda: known(home) == known(other) == 1, 20)
            leg = NotedLeg()
            info = CallInfo(agent_id=AGENT_ID, call_id="call-1")
            with logged() as lines:
                other._place_leg(info, leg)
                await eventually(lambda: leg.ended, 20)
            assert leg.ended is not None
            assert leg.ended[0] is EndReason.BUSY
            assert any("certificate verify failed" in line for _, line in lines)

    asyncio.run(scenario())
