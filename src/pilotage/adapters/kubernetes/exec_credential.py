"""Credentials that a program gives (`aws eks get-token`, `gke-gcloud-auth-plugin`...): client.authentication.k8s.io."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pilotage.model.errors import InvalidInput

PATIENCE_S = 60.0
"""A program that takes longer has hung."""

APIS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class Variable(Struct):
    """A variable of the program's environment."""

    name: str
    value: str = ""


class ExecPlugin(Struct, rename="camel"):
    """A program that prints a credential."""

    command: str = ""
    api_version: str = ""
    args: list[str] | None = None
    env: list[Variable] | None = None
    install_hint: str | None = ""
    provide_cluster_info: bool = False


class Credential(Struct, rename="camel"):
    """What the program printed: a token, a client certificate with its key, or all of it."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""


class _Printed(Struct):
    status: Credential | None = None


def credential_of(where: str, plugin: ExecPlugin, base: Path, cluster: dict[str, Any]) -> Credential:
    """Run the program and return what it gives; raises `InvalidInput` naming ``where``.

    A relative path is meant from ``base``; ``cluster`` is told to programs that ask for it. What the program prints is
    a secret and never repeated; of its complaints the last line is.
    """
    if plugin.api_version not in APIS:
        raise InvalidInput(f"{where}.apiVersion", f"must be one of {', '.join(APIS)}, got {plugin.api_version!r:.80}")
    if not plugin.command:
        raise InvalidInput(f"{where}.command", "is missing")
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {name: value for name, value in cluster.items() if value}
    told = json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})
    environment = {**os.environ, **{each.name: each.value for each in plugin.env or ()}, "KUBERNETES_EXEC_INFO": told}
    command = str(base / plugin.command) if os.sep in plugin.command else plugin.command
    try:
        done = subprocess.run(
            [command, *(plugin.args or ())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except FileNotFoundError as error:
        hint = " ".join((plugin.install_hint or "").split())
        raise InvalidInput(f"{where}.command", f"{command} is not there. {hint}".strip()) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput(f"{where}.command", f"{command} can not be run: {error}") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
        raise InvalidInput(f"{where}.command", f"{command} ended with {done.returncode}: {last[0]:.200}")
    try:
        given = msgspec.json.decode(done.stdout, type=_Printed).status
    except msgspec.DecodeError:
        given = None
    if given is None or not (given.token or given.client_certificate_data):
        raise InvalidInput(f"{where}.command", f"{command} printed no ExecCredential with a token or a certificate")
    return given
