"""The gRPC server: both wire forms, health and reflection, behind one gate."""

from types import ModuleType
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.encode import V1, V2
from pilotage.api.grpc.gate import Gate
from pilotage.api.grpc.keepalive import KeepAlive
from pilotage.api.grpc.methods import Method, Methods
from pilotage.api.grpc.rules import parse
from pilotage.api.grpc.status import status_of
from pilotage.registry.ports import Registry

SERVICES: dict[str, ModuleType] = {"manager.Manager": V1, "manager.v2.Manager": V2}

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", -1),
    # A host that vanished without a word is noticed by the keep-alive deadline; this also frees its connection.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Server:
    """A server that is not yet bound to an address: `listen`, then `start`, at last `stop`."""

    def __init__(
        self,
        registry: Registry,
        discovery: Discovery,
        keep_alive: KeepAlive,
        gate: Gate,
        *,
        dragonfly: bool = False,
        message_bytes: int = 64 << 20,
    ) -> None:
        self._gate = gate
        self._dragonfly = dragonfly
        self._health = health.aio.HealthServicer()
        self._started = False
        self.server = grpc.aio.server(options=[*_OPTIONS, ("grpc.max_receive_message_length", message_bytes)])
        for service, wire in SERVICES.items():
            methods = Methods(registry, wire, model_bytes=message_bytes)
            handlers = {name: self._unary(name, *each) for name, each in methods.table().items()}
            handlers["ListSchedulers"] = self._list_schedulers(discovery, wire)
            handlers["KeepAlive"] = keep_alive.handler(wire)
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.server)

    def listen(self, address: str, credentials: "grpc.ServerCredentials | None" = None) -> int:
        """Bind to HOST:PORT (port 0: any that is free) and return the port. Raises RuntimeError if it is in use."""
        if credentials is None:
            return int(self.server.add_insecure_port(address))
        return int(self.server.add_secure_port(address, credentials))

    async def start(self) -> None:
        """Serve."""
        self._started = True
        await self.server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Say that we are going, let calls finish for ``grace_s``, and end."""
        await self._health.enter_graceful_shutdown()
        if not self._started:
            await self.server.start()  # one that never ran can not be stopped, and complains as the process ends
        await self.server.stop(grace_s)

    def _list_schedulers(self, discovery: Discovery, wire: ModuleType) -> Any:
        look_up, gate = discovery.known(wire), self._gate

        async def list_schedulers(raw: bytes, context: "grpc.aio.ServicerContext") -> bytes:
            refusal = gate.refuse(context)
            if refusal is not None:
                await context.abort(*refusal)
            body = look_up(raw)
            if body is not None:
                return body
            try:
                return await discovery.search(wire, raw)
            except Exception as error:
                await context.abort(*status_of(error, "ListSchedulers", dragonfly=self._dragonfly))
                raise

        return grpc.unary_unary_rpc_method_handler(list_schedulers)

    def _unary(self, name: str, kind: type[Message], method: Method) -> Any:
        gate = self._gate

        async def call(raw: bytes, context: "grpc.aio.ServicerContext") -> bytes:
            refusal = gate.refuse(context)
            if refusal is not None:
                await context.abort(*refusal)
            try:
                answer = await method(parse(kind, raw))
            except Exception as error:
                code, text = status_of(error, name, dragonfly=self._dragonfly)
                if code is grpc.StatusCode.OK:
                    return b""
                await context.abort(code, text)
                raise
            return answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(call)


def credentials(certificate: bytes, key: bytes, client_authority: bytes | None) -> "grpc.ServerCredentials":
    """Return TLS credentials; with ``client_authority`` callers must show a certificate of it (mTLS)."""
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=client_authority, require_client_auth=client_authority is not None
    )
