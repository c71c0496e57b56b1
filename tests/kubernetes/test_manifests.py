"""The manifests against the schemas of Kubernetes, and what they promise; no cluster is asked."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
VALIDATE = ROOT / ".venv-kubernetes" / "bin" / "kubernetes-validate"
FILES = sorted(path for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml")
PORTS = {"trainer": 50051, "inference": 50052, "risk": 50053}
# The oldest and the newest minor version that are checked; gRPC probes are stable since 1.27.
VERSIONS = ("1.29", "1.33")


def resources() -> list[dict[str, Any]]:
    return [item for path in FILES for item in yaml.safe_load_all(path.read_text())]


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in resources() if item["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_manifest_is_what_the_schema_of_kubernetes_allows(path: Path, version: str) -> None:
    command = [str(VALIDATE), "--strict", "--kubernetes-version", version, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_refuses_an_unknown_key(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = (MANIFESTS / "risk.yaml").read_text()
    broken.write_text(text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    command = [str(VALIDATE), "--strict", "--kubernetes-version", VERSIONS[0], str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_kustomization_names_every_file() -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in FILES]


@pytest.mark.parametrize("service", PORTS)
def test_deployment_has_probes_no_rights_and_the_ports_of_its_service(service: str) -> None:
    pod = named("Deployment")[service]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["readinessProbe"]["grpc"]["port"] == PORTS[service]
    assert {"startupProbe", "livenessProbe"} <= set(container)
    assert pod["terminationGracePeriodSeconds"] > 10.2  # drain_s and grace_s by default
    offered = {port["name"]: port["containerPort"] for port in container["ports"]}
    wanted = {
        port["targetPort"]: port["port"] for port in named("Service")[service]["spec"]["ports"]
    }
    assert offered == wanted
    settings = yaml.safe_load((ROOT / "config" / "compose" / f"{service}.yaml").read_text())
    assert settings["server"]["listen"].endswith(f":{offered['grpc']}")
    assert settings["server"]["metrics_listen"].endswith(f":{offered['metrics']}")


def test_inference_reads_the_bundles_and_scales_behind_a_budget() -> None:
    pod = named("Deployment")["inference"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["bundles"]["readOnly"]
    settings = yaml.safe_load((ROOT / "config" / "compose" / "inference.yaml").read_text())
    assert settings["routing_state"].startswith(mounts["routing"]["mountPath"])
    claim = named("PersistentVolumeClaim")["routing"]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]  # a rollback holds in every pod
    scaler = named("HorizontalPodAutoscaler")["inference"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "inference"
    assert scaler["minReplicas"] > named("PodDisruptionBudget")["inference"]["spec"]["minAvailable"]
    assert named("Service")["inference"]["spec"]["clusterIP"] == "None"


def test_trainer_signs_and_inference_trusts_its_key_alone() -> None:
    pods = {service: named("Deployment")[service]["spec"]["template"]["spec"] for service in PORTS}
    mounts = {
        service: {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
        for service, pod in pods.items()
    }
    config = ROOT / "config" / "compose"
    trainer = yaml.safe_load((config / "trainer.yaml").read_text())
    inference = yaml.safe_load((config / "inference.yaml").read_text())
    signing, trusted = mounts["trainer"]["signing"], mounts["inference"]["trusted"]
    assert trainer["signing_key"].startswith(f"{signing['mountPath']}/")
    assert all(key.startswith(f"{trusted['mountPath']}/") for key in inference["trusted_keys"])
    assert signing["readOnly"]
    assert trusted["readOnly"]
    secrets = {
        service: [each["secret"] for each in pod["volumes"] if "secret" in each]
        for service, pod in pods.items()
    }
    assert secrets == {
        "trainer": [{"secretName": "signing-key", "defaultMode": 0o400}],
        "inference": [],
        "risk": [],
    }


def test_state_has_one_writer_at_a_time() -> None:
    for service in ("trainer", "risk"):
        spec = named("Deployment")[service]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_pods_that_the_network_policy_selects() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS)], capture_output=True, text=True, check=True
    )
    items = list(yaml.safe_load_all(built.stdout))
    (policy,) = [item for item in items if item["kind"] == "NetworkPolicy"]
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    for item in items:
        if item["kind"] == "Deployment":
            assert wanted <= item["spec"]["template"]["metadata"]["labels"].items()
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == "tradewind"
