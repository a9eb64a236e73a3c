"""A real control plane on free loopback ports: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

Nodes are plain objects: no kubelet runs. Everything is in one temporary folder and ends with the fixture.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.programs import located

Object = dict[str, Any]

START_S = 90
CONTROLLERS = "persistentvolume-binder-controller,disruption-controller"
UNWANTED = "ServiceAccount,TaintNodesByCondition"
"""Admission that waits for controllers which do not run here."""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Client:
    """Speaks to an API server, JSON only."""

    def __init__(self, address: str, token: str, ca: Path | None) -> None:
        self.address = address
        self._token = token
        self._tls = ssl.create_default_context(cafile=ca) if ca else None

    def call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        """Return the answer; an error status is an `HTTPError` with the server's words."""
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return json.loads(answer.read() or b"{}")  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            error.msg = f"{error.msg}: {error.read().decode(errors='replace')[:500]}"
            raise

    def ready(self) -> bool:
        """Whether the server says it is."""
        try:
            request = urllib.request.Request(
                f"{self.address}/readyz", headers={"Authorization": f"Bearer {self._token}"}
            )
            with urllib.request.urlopen(request, timeout=5, context=self._tls) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def create_nodes(self, nodes: Iterable[Object]) -> None:
        """Create nodes one after the other, and say that they are ready."""
        for node in nodes:
            self.call("POST", "/api/v1/nodes", {k: v for k, v in node.items() if k != "status"})
            ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}
            status = {"status": {**node["status"], **ready}}
            path = f"/api/v1/nodes/{node['metadata']['name']}/status"
            self.call("PATCH", path, status, "application/merge-patch+json")

    def create(self, path: str, *objects: Object) -> None:
        """Create objects one after the other."""
        for each in objects:
            self.call("POST", path, each)

    def create_pods(self, pods: Sequence[Object]) -> None:
        """Create pods, several at once."""
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(lambda p: self.call("POST", f"/api/v1/namespaces/{p['metadata']['namespace']}/pods", p), pods)
            )

    def items(self, path: str) -> list[Object]:
        """Return the items of a list, each with its kind."""
        answer = self.call("GET", path)
        kind = answer["kind"].removesuffix("List")
        return [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer["items"]]


class ControlPlane:
    """The servers, in the order of their start; ``close`` ends them in reverse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._token = secrets.token_hex(16)
        self._etcd = f"http://127.0.0.1:{free_port()}"
        self._port = free_port()
        self.kubeconfig = folder / "kubeconfig"
        self.authority = folder / "ca.crt"
        try:
            self._start_etcd()
            self.client = self._start_apiserver()
            self._write_kubeconfig()
            self._start_controllers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything that was started here, and wait for it."""
        for process in reversed(list(self._running)):
            self.stop(process)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one of the processes."""
        self._running.remove(process)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def issue(self, name: str, group: str) -> tuple[Path, Path]:
        """Return the files of a client certificate for a user of a group, and of its key."""
        certificate, key, wish = (self.folder / f"{name}.{ending}" for ending in ("crt", "key", "csr"))
        openssl("req", *NEW_KEY, "-keyout", key, "-out", wish, "-subj", f"/O={group}/CN={name}")
        signer = ("-CA", self.authority, "-CAkey", self.folder / "ca.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", wish, *signer, "-out", certificate)
        return certificate, key

    def start_scheduler(self, config: Object) -> subprocess.Popen[bytes]:
        """Start kube-scheduler; ``config`` is a KubeSchedulerConfiguration without a connection.

        Batching places pods by old scores; a streamed first list comes out of a map, in random order. Both are off.
        """
        path = self.folder / "scheduler.yaml"
        connection = {"kubeconfig": str(self.kubeconfig), "qps": 5000, "burst": 5000}
        path.write_text(
            yaml.safe_dump({**config, "clientConnection": connection, "leaderElection": {"leaderElect": False}})
        )
        return self._start(
            "kube-scheduler",
            f"--config={path}",
            "--feature-gates=OpportunisticBatching=false,WatchListClient=false",
            *self._serving(),
        )

    def until(self, what: str, holds: Any, patience_s: float = START_S) -> None:
        """Wait until ``holds()``; a server that ends meanwhile fails at once, with the end of its log."""
        deadline = time.monotonic() + patience_s
        while not holds():
            for process in self._running:
                if process.poll() is not None:
                    raise RuntimeError(f"{what}: {process.args[0]} ended: {self._logs()}")  # type: ignore[index]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {patience_s} s: {self._logs()}")
            time.sleep(0.05)

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen([located(name), *arguments], stdout=log, stderr=log, cwd=self.folder)
        self._running.append(process)
        return process

    def _logs(self) -> str:
        return "\n".join(f"{p.name}: {p.read_text(errors='replace')[-1500:]}" for p in self.folder.glob("*.log"))

    def _start_etcd(self) -> None:
        peer = f"http://127.0.0.1:{free_port()}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        )

    def _start_apiserver(self) -> Client:
        key = self.folder / "service-accounts.key"
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        openssl(
            "req", "-x509", *NEW_KEY, "-keyout", self.folder / "ca.key", "-out", self.authority, "-subj", "/CN=users"
        )
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self._token},admin,admin,"system:masters"\n')
        certificates = self.folder / "certificates"
        self._start(
            "kube-apiserver",
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={certificates}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--token-auth-file={tokens}",
            f"--client-ca-file={self.authority}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
            f"--disable-admission-plugins={UNWANTED}",
            "--enable-priority-and-fairness=false",
        )
        certificate = certificates / "apiserver.crt"
        self.until("the certificate of the API server", certificate.exists)
        client = Client(f"https://127.0.0.1:{self._port}", self._token, certificate)
        self.until("the API server", client.ready)
        self.until("the default namespace", lambda: any_named(client, "/api/v1/namespaces", "default"))
        return client

    def _write_kubeconfig(self) -> None:
        cluster = {
            "server": self.client.address,
            "certificate-authority": str(self.folder / "certificates" / "apiserver.crt"),
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "admin", "user": {"token": self._token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                    "current-context": "test",
                }
            )
        )

    def _start_controllers(self) -> None:
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={CONTROLLERS}",
            "--leader-elect=false",
            *self._serving(),
        )

    def _serving(self) -> list[str]:
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
        ]


def any_named(client: Client, path: str, name: str) -> bool:
    return any(item["metadata"]["name"] == name for item in client.items(path))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
