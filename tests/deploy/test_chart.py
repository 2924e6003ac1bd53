"""The chart: its objects are as Kubernetes describes them, and the gateway takes the settings that it makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from piopiy_pipeline.gateway import GatewayConfig
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from tests.support.deployment import CHART

KUBERNETES = "1.34"
OTHERS_KINDS = {"ScaledObject", "PodMonitor"}
"""Of KEDA and of the Prometheus operator: Kubernetes' own schemas do not know them."""


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


@pytest.mark.parametrize(
    ("gateway", "port"),
    [
        ({}, 5060),
        ({"sipPort": 5070}, 5070),
        ({"config": {"sip": {"port": 5080}}}, 5080),
        ({"sipPort": 5070, "config": {"sip": {"port": 5080}}}, 5080),
    ],
)
def test_telephones_find_the_gateway_at_the_port_that_the_chart_opens(
    gateway: dict[str, Any], port: int, tmp_path: Path
) -> None:
    things = rendered({"gateway": gateway})
    file = tmp_path / "gateway.toml"
    file.write_text(of_kind(things, "Secret")["stringData"]["gateway.toml"])
    config = GatewayConfig.load(file, {})
    assert config.sip is not None
    assert config.sip.port == port
    [container] = of_kind(things, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert {one["hostPort"] for one in container["ports"] if one["name"].startswith("sip")} == {port}
    assert f"UDP and TCP {port}" in what_helm_says({"gateway": gateway})


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


def test_a_release_is_scaled_by_its_own_calls() -> None:
    def query(name: str) -> tuple[str, str]:
        things = rendered({"agent": {"autoscaling": {"kind": "keda"}}}, name=name)
        [trigger] = of_kind(things, "ScaledObject")["spec"]["triggers"]
        [pods] = re.findall(r'pod=~"([^"]+)"', trigger["metadata"]["query"])
        return pods, of_kind(things, "Deployment")["metadata"]["name"] + "-5d9c7b8f6d-x2x7q"

    (pods, pod), (others_pods, others_pod) = query("calls"), query("more-calls")
    assert re.fullmatch(pods, pod)
    assert re.fullmatch(others_pods, others_pod)
    assert not re.fullmatch(pods, others_pod)
    assert not re.fullmatch(others_pods, pod)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gateway": {"replicas": 2}}, "gateway.replicas: 2 gateways that do not know each other"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"gateway": {"cluster": {"pages": ["calls-a.example"]}}}, "pages"),
        ({"agent": {"drain": "never"}}, "drain"),
        ({"gateway": {"config": {"port": 9000}}}, "gateway.config.port: set gateway.port"),
        ({"gateway": {"config": {"drain_s": 60}}}, "gateway.config.drain_s: set gateway.drainSeconds"),
        ({"gateway": {"config": {"host": "10.0.0.5"}}}, "gateway.config.host: gateways listen at all"),
        (
            {"gateway": {"config": {"tls_certificate": "/data/chain.pem"}}},
            "gateway.config.tls_certificate: .*Ingress",
        ),
        (
            {"gateway": {"config": {"cluster": {"name": "a"}}, "cluster": {"enabled": True}}},
            "gateway.config.cluster: set gateway.cluster",
        ),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(helm().errors.HelmError, match=says):
        rendered(values)
