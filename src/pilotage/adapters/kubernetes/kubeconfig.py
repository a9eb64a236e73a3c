"""Where a cluster is and who asks: kubeconfig files as kubectl reads them, or the service account of the pod we run in.

::

    KUBECONFIG, ~/.kube/config ──▶ merged files ──context──▶ cluster, user ──┐
    /var/run/secrets/kubernetes.io/serviceaccount ───────────────────────────┴─▶ Access (address, TLS, token)
"""

import os
import ssl
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from pilotage.adapters.kubernetes.exec_credential import ExecPlugin, credential_of
from pilotage.model.errors import InvalidInput

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the certificate authority."""


@dataclass(frozen=True)
class Access:
    """The address of an API server, how to trust it, and as whom to ask. ``where`` says which entry this is.

    A token in a file is read at each use: it is replaced while we run.
    """

    server: str
    where: str
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None
    proxy: str | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks; raises `InvalidInput` if a token can not be read."""
        token = self.token if self.token_file is None else _read_text(f"{self.where}: tokenFile", self.token_file)
        return {"Authorization": f"Bearer {token.strip()}"} if token else {}


class Kebab(Struct, rename="kebab"):
    """A part of a kubeconfig, its fields named as there; unknown ones are passed over."""


class Cluster(Kebab):
    """A cluster."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class User(Kebab):
    """Credentials."""

    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: ExecPlugin | None = None
    username: str = ""
    password: str = ""
    auth_provider: dict[str, Any] | None = None


class Context(Kebab):
    """Which cluster, as which user."""

    cluster: str = ""
    user: str = ""


class Entry(Struct):
    """One named part of a file, and the file."""

    name: str
    value: dict[str, Any]
    path: Path

    def read(self, kind: str, shape: type[Any]) -> Any:
        """Return the part; raises `InvalidInput` naming file, entry and field."""
        try:
            return msgspec.convert(self.value, shape)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{self.path}: {kind} {self.name!r}", str(error)) from error


def find_access(
    kubeconfig: str | None, context: str | None, environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT
) -> Access:
    """Return the access that kubectl would use.

    That is by the file that is named, else those of KUBECONFIG, else ~/.kube/config, else the account of our pod.
    Raises `InvalidInput` that names file and field where one can not be used.
    """
    if kubeconfig is not None:
        paths, needed = [Path(kubeconfig)], True
    elif told := environment.get("KUBECONFIG"):
        paths, needed = [Path(part) for part in told.split(os.pathsep) if part], False
    else:
        paths, needed = [Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config"], False
        if not paths[0].exists() and environment.get("KUBERNETES_SERVICE_HOST"):
            return in_cluster(environment, account)
    there = [path for path in paths if needed or path.exists()]
    if not there:
        names = ", ".join(map(str, paths))
        raise InvalidInput("kubeconfig", f"{names} is not there; name one by --kubeconfig or KUBECONFIG")
    return of_context(there, context)


def in_cluster(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access:
    """Return the access of the service account of the pod that we run in."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    where, authority = f"service account in {account}", _read_text("service account", account / "ca.crt")
    tls = _trusting(where, authority, verify=True)
    host = f"[{host}]" if ":" in host else host
    return Access(f"https://{host}:{port}", where, tls, token_file=account / "token")


def of_context(paths: Iterable[Path], wanted: str | None) -> Access:
    """Return the access of a context (None: the current one); of two entries with one name the first counts."""
    current, entries = _merged(paths)
    name = wanted or current
    if not name:
        raise InvalidInput("current-context", f"is not set; name one by --context: {_names(entries['contexts'])}")
    context: Context = _entry(entries, "contexts", name).read("context", Context)
    cluster_entry = _entry(entries, "clusters", context.cluster)
    cluster: Cluster = cluster_entry.read("cluster", Cluster)
    where = f"context {name!r} of {cluster_entry.path}"
    server = cluster.server.rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise InvalidInput(f"{where}: cluster.server", f"must be an http or https address, got {cluster.server!r:.80}")
    user, user_path = User(), cluster_entry.path
    if context.user:
        user_entry = _entry(entries, "users", context.user)
        user, user_path = user_entry.read("user", User), user_entry.path
    authority = _authority(where, cluster, cluster_entry.path.parent)
    tls = _tls(where, cluster, authority) if server.startswith("https://") else None
    told = {
        "server": cluster.server,
        "certificate-authority-data": b64encode(authority.encode()).decode(),
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "tls-server-name": cluster.tls_server_name,
        "proxy-url": cluster.proxy_url,
    }
    token = _authenticate(where, user, user_path.parent, tls, told)
    return Access(
        server,
        where,
        tls,
        cluster.tls_server_name or None,
        cluster.proxy_url or None,
        token,
        user_path.parent / user.token_file if user.token_file else None,
    )


def _authenticate(where: str, user: User, base: Path, tls: ssl.SSLContext | None, told: dict[str, Any]) -> str:
    """Load a client certificate, if there is one, and return the token, if there is one.

    ``told``: of the cluster, to a program that gives credentials.
    """
    for name, value, instead in (
        ("auth-provider", user.auth_provider, "kubectl gave it up in 1.26; use exec, a token or a client certificate"),
        ("username", user.username, "passwords were given up in 1.19; use a token or a client certificate"),
    ):
        if value:
            raise InvalidInput(f"{where}: user.{name}", f"is not supported: {instead}")
    certificate = _pem(where, "user.client-certificate", user.client_certificate_data, user.client_certificate, base)
    key = _pem(where, "user.client-key", user.client_key_data, user.client_key, base)
    token = user.token
    if user.exec is not None and not token and not user.token_file and not certificate:
        given = credential_of(f"{where}: user.exec", user.exec, base, told)
        token, certificate, key = given.token, given.client_certificate_data, given.client_key_data
    if bool(certificate) != bool(key):
        missing = "user.client-key" if certificate else "user.client-certificate"
        raise InvalidInput(f"{where}: {missing}", "is missing: a certificate needs its key")
    if certificate and tls is not None:
        _load_pair(where, tls, certificate, key)
    return token


def _load_pair(where: str, tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """Hand a certificate and its key to ``tls``, which takes files only."""
    with TemporaryDirectory(prefix="pilotage-") as folder:  # only its owner may look into it
        paths = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        for path, text in zip(paths, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_text(text)
        try:
            tls.load_cert_chain(*paths, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInput(
                f"{where}: user.client-certificate", f"and its key are no pair in PEM: {error}"
            ) from error


def _authority(where: str, cluster: Cluster, base: Path) -> str:
    data, file = cluster.certificate_authority_data, cluster.certificate_authority
    return _pem(where, "cluster.certificate-authority", data, file, base)


def _tls(where: str, cluster: Cluster, authority: str) -> ssl.SSLContext:
    if cluster.insecure_skip_tls_verify and authority:
        raise InvalidInput(
            f"{where}: cluster.insecure-skip-tls-verify", "contradicts certificate-authority: leave one of them out"
        )
    return _trusting(where, authority, verify=not cluster.insecure_skip_tls_verify)


def _trusting(where: str, authority: str, *, verify: bool) -> ssl.SSLContext:
    try:
        tls = ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"{where}: cluster.certificate-authority", f"is no certificate in PEM: {error}") from error
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _pem(where: str, name: str, data: str, file: str, base: Path) -> str:
    """Return a PEM text that stands in the kubeconfig or in a file that it names; what stands there goes first."""
    if not data:
        return _read_text(f"{where}: {name}", base / file) if file else ""
    try:
        return b64decode(data, validate=True).decode()
    except (NoBase64, ValueError) as error:
        raise InvalidInput(f"{where}: {name}-data", "is not base64 of a text") from error


def _merged(paths: Iterable[Path]) -> tuple[str, dict[str, dict[str, Entry]]]:
    current = ""
    entries: dict[str, dict[str, Entry]] = {"contexts": {}, "clusters": {}, "users": {}}
    for path in paths:
        try:
            document = yaml.safe_load(_read_text("kubeconfig", path)) or {}
        except yaml.YAMLError as error:
            raise InvalidInput(str(path), f"is no YAML: {' '.join(str(error).split()):.200}") from error
        if not isinstance(document, dict):
            raise InvalidInput(str(path), "is no kubeconfig")
        current = current or str(document.get("current-context") or "")
        for kind, found in entries.items():
            parts = document.get(kind) or []
            for i, each in enumerate(parts if isinstance(parts, list) else ()):
                value = each.get(kind.removesuffix("s")) if isinstance(each, dict) else None
                if not isinstance(each, dict) or not isinstance(each.get("name"), str) or not isinstance(value, dict):
                    raise InvalidInput(f"{path}: {kind}[{i}]", f"needs a name and a {kind.removesuffix('s')}")
                found.setdefault(each["name"], Entry(each["name"], value, path))
    return current, entries


def _entry(entries: dict[str, dict[str, Entry]], kind: str, name: str) -> Entry:
    found = entries[kind].get(name)
    if found is None:
        raise InvalidInput(kind.removesuffix("s"), f"no {name!r} is in the kubeconfig; {kind}: {_names(entries[kind])}")
    return found


def _names(entries: dict[str, Entry]) -> str:
    return ", ".join(sorted(entries)) or "none"


def _read_text(what: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise InvalidInput(what, f"{path} can not be read: {reason}") from error
