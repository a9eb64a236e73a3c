"""Every way to reach a cluster, tried on the real API server: what is read, and what is said when it can not be."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage.adapters.kubernetes.kubeconfig import find_access
from pilotage.adapters.kubernetes.listing import LISTS, read_cluster
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.test_cluster import node

Object = dict[str, Any]

READABLE = [path.rpartition("/")[2] for _, path, _ in LISTS]
READER = [{"apiGroups": ["", "apps", "scheduling.k8s.io"], "resources": READABLE, "verbs": ["list"]}]
RBAC = "/apis/rbac.authorization.k8s.io/v1/"


@pytest.fixture(scope="module", autouse=True)
def _filled(plane: ControlPlane) -> None:
    made = node(0)
    made["metadata"]["name"] = "reached"
    plane.client.create_nodes([made])


@pytest.fixture(scope="module")
def pair(plane: ControlPlane) -> tuple[Path, Path]:
    """A client certificate that may do everything, and its key."""
    return plane.issue("ada", "system:masters")


def data(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


class Config:
    """A kubeconfig with one context; tests change what they are about."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        certificate = plane.folder / "certificates" / "apiserver.crt"
        self.cluster: Object = {"server": plane.client.address, "certificate-authority": str(certificate)}
        self.user: Object = {}
        self.path = folder / "kubeconfig"

    def write(self) -> str:
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": self.cluster}],
            "users": [{"name": "u", "user": self.user}],
        }
        self.path.write_text(yaml.safe_dump(document))
        return str(self.path)


@pytest.fixture
def config(plane: ControlPlane, tmp_path: Path) -> Config:
    return Config(plane, tmp_path)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotage", "kubernetes", "--dry-run", "--json", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**clean, **environment}
    )


def reaches(config: Config) -> None:
    answer = run(KUBECONFIG=config.write())
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["nodes"] > 0


def complaint(config: Config) -> str:
    answer = run(KUBECONFIG=config.write())
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: context 'here' of ")
    assert answer.stderr.count("\n") == 1
    return answer.stderr


def test_a_client_certificate_in_files_relative_to_the_kubeconfig(config: Config, pair: tuple[Path, Path]) -> None:
    for name, path in zip(("me.crt", "me.key"), pair, strict=True):
        (config.path.parent / name).write_bytes(path.read_bytes())
    config.user = {"client-certificate": "me.crt", "client-key": "me.key"}
    reaches(config)


def test_a_client_certificate_and_an_authority_as_data(config: Config, pair: tuple[Path, Path]) -> None:
    config.user = {"client-certificate-data": data(pair[0]), "client-key-data": data(pair[1])}
    config.cluster["certificate-authority-data"] = data(Path(config.cluster.pop("certificate-authority")))
    reaches(config)


def test_a_token_in_a_file_without_verification(config: Config, plane: ControlPlane) -> None:
    token = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
    (config.path.parent / "token").write_text(token + "\n")
    config.user = {"tokenFile": "token"}
    config.cluster = {"server": plane.client.address, "insecure-skip-tls-verify": True}
    reaches(config)


def test_the_name_of_the_server_can_be_told(config: Config, pair: tuple[Path, Path]) -> None:
    config.user = {"client-certificate": str(pair[0]), "client-key": str(pair[1])}
    config.cluster["tls-server-name"] = "kubernetes.default"
    reaches(config)
    config.cluster["tls-server-name"] = "elsewhere.example"
    assert "its certificate is not trusted" in complaint(config)


def test_a_program_gives_the_credentials(config: Config, pair: tuple[Path, Path]) -> None:
    program = config.path.parent / "get-token"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "told = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert told['spec']['cluster']['server'].startswith('https://')\n"
        "assert sys.argv[1] == os.environ['SAY'] == 'please'\n"
        f"certificate, key = (open(path).read() for path in {tuple(map(str, pair))!r})\n"
        "status = {'clientCertificateData': certificate, 'clientKeyData': key}\n"
        "print(json.dumps({'apiVersion': told['apiVersion'], 'kind': 'ExecCredential', 'status': status}))\n"
    )
    program.chmod(0o700)
    config.user["exec"] = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./get-token",
        "args": ["please"],
        "env": [{"name": "SAY", "value": "please"}],
        "provideClusterInfo": True,
    }
    reaches(config)
    config.user["exec"]["args"] = ["now"]
    assert "get-token ended with 1: AssertionError" in complaint(config)
    config.user["exec"] |= {"command": "no-such-program", "installHint": "Get it at example.com."}
    assert "user.exec.command: no-such-program is not there. Get it at example.com." in complaint(config)
    config.user["exec"] = {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}
    assert "user.exec.apiVersion: must be one of" in complaint(config)
    config.user["exec"] = {"apiVersion": "client.authentication.k8s.io/v1", "command": "true"}
    assert "true printed no ExecCredential" in complaint(config)


def test_whom_the_server_does_not_know_is_told_so(config: Config, plane: ControlPlane) -> None:
    config.user = {"token": "wrong"}
    assert "401: the server does not know these credentials" in complaint(config)
    certificate, key = plane.issue("eve", "strangers")
    config.user = {"client-certificate": str(certificate), "client-key": str(key)}
    told = complaint(config)
    assert "/api/v1/nodes: 403: these credentials may not list all of" in told
    assert 'User "eve" cannot list resource "nodes"' in told


def test_what_does_not_fit_is_named(config: Config, pair: tuple[Path, Path], plane: ControlPlane) -> None:
    config.user = {"token": "t"}
    authority = config.cluster["certificate-authority"]
    for cluster, told in (
        ({"certificate-authority": str(plane.authority)}, "its certificate is not trusted"),
        ({"certificate-authority": "nowhere.crt"}, "cluster.certificate-authority: "),
        ({"certificate-authority-data": "@"}, "cluster.certificate-authority-data: is not base64"),
        ({"certificate-authority": str(config.path)}, "cluster.certificate-authority: is no certificate in PEM"),
        ({"certificate-authority": authority, "insecure-skip-tls-verify": True}, "contradicts certificate-authority"),
        ({"server": "127.0.0.1"}, "cluster.server: must be an http or https address, got '127.0.0.1'"),
        ({"server": "https://127.0.0.1:1"}, "https://127.0.0.1:1 can not be asked"),
    ):
        config.cluster = {"server": plane.client.address, **cluster}
        assert told in complaint(config)
    config.cluster = {"server": plane.client.address, "certificate-authority": authority}
    for user, told in (
        ({"client-certificate": str(pair[0])}, "user.client-key: is missing"),
        ({"client-certificate": str(pair[0]), "client-key": authority}, "and its key are no pair"),
        ({"tokenFile": "nowhere"}, "tokenFile: "),
        ({"auth-provider": {"name": "gcp"}}, "user.auth-provider: is not supported"),
        ({"username": "a", "password": "b"}, "user.username: is not supported"),
    ):
        config.user = user
        assert told in complaint(config)


def test_files_are_merged_and_a_context_chosen(config: Config, plane: ControlPlane, tmp_path: Path) -> None:
    config.user = {"token": "wrong"}
    config.cluster["server"] = "https://127.0.0.1:1"
    files = os.pathsep.join((config.write(), str(tmp_path / "missing"), str(plane.kubeconfig)))
    assert run("--context", "test", KUBECONFIG=files).returncode == 0
    assert "context 'here'" in run(KUBECONFIG=files).stderr, "the first current context counts"
    told = run("--context", "there", KUBECONFIG=files)
    assert told.stderr == "error: context: no 'there' is in the kubeconfig; contexts: here, test\n"
    assert run("--kubeconfig", plane.kubeconfig, KUBECONFIG=files).returncode == 0
    assert "is not there; name one by --kubeconfig" in run(KUBECONFIG=str(tmp_path / "missing")).stderr
    assert "files are given too" in run("--context", "test", config.path, KUBECONFIG=files).stderr


def test_a_pod_asks_as_its_service_account_which_may_only_list(plane: ControlPlane, tmp_path: Path) -> None:
    client, name = plane.client, "pilotage-dry-run"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
    client.create("/api/v1/namespaces/default/serviceaccounts", account)
    group, meta = "rbac.authorization.k8s.io", {"metadata": {"name": name}}
    client.create(RBAC + "clusterroles", {"apiVersion": f"{group}/v1", "kind": "ClusterRole", **meta, "rules": READER})
    binding = {
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    client.create(
        RBAC + "clusterrolebindings", {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", **meta, **binding}
    )
    wish = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    (tmp_path / "token").write_text(client.call("POST", path, wish)["status"]["token"])
    (tmp_path / "ca.crt").write_bytes((plane.folder / "certificates" / "apiserver.crt").read_bytes())

    port = client.address.rpartition(":")[2]
    environment = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    access = find_access(None, None, environment, tmp_path)
    assert asyncio.run(read_cluster(access)).nodes
    assert "Bearer" not in repr(access)
