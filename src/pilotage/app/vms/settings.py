"""Settings of the face ``vms``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pilotage.model.errors import InvalidInput


class ReceiverSettings(BaseModel):
    """A webhook that hears of every result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]
    url: Annotated[str, Field(max_length=2048)]
    secret: SecretStr = SecretStr("")


class VmsSettings(BaseModel):
    """What ``pilotage worker`` and its sister commands do when no flag says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: Annotated[str, Field(description="sqlite:///FILE or postgresql://USER@HOST/DATABASE (POSTGRES_CONN)")] = (
        "sqlite:///pilotage-vms.sqlite3"
    )
    rabbitmq: Annotated[
        str, Field(description="amqp://USER:PASSWORD@HOST:5672/ (RABBITMQ_URL); empty: a queue in the database")
    ] = ""
    queue: Annotated[str, Field(min_length=1, max_length=200, description="name of the queue")] = "task.schedule"
    delivery_limit: Annotated[
        int, Field(ge=1, le=100_000, description="redeliveries after which a message is set aside")
    ] = 20
    prefetch: Annotated[int, Field(ge=1, le=2000, description="deliveries open at once per worker")] = 2000
    batch: Annotated[int, Field(ge=1, le=2000, description="most requests in one transaction")] = 1000
    linger_ms: Annotated[float, Field(ge=0, le=1000, description="how long the first request waits for more")] = 2.0
    strategy: Annotated[
        str,
        Field(
            description="cpu, memory, hybrid, binpack, spread, best-fit or a file; per pool after commas: "
            "hybrid,gpu=spread (SCHEDULING_STRATEGY)"
        ),
    ] = "hybrid"
    strategy_file: Annotated[
        str, Field(description="file (a mounted ConfigMap) whose text is the strategy; watched, goes before it")
    ] = ""
    dedicated: Annotated[
        Literal["strict", "loose"],
        Field(description="strict: dedicated hosts only for VMs that ask; loose: others may land there too"),
    ] = "strict"
    reservation_s: Annotated[
        float, Field(ge=0, le=31_536_000, description="seconds a claim waits to be confirmed; 0: for ever")
    ] = 3600.0
    single_active: Annotated[bool, Field(description="one worker leads and consumes, the others stand by")] = False
    lease_file: Annotated[
        str, Field(description="single_active: a file on this machine decides who leads, not a row of the database")
    ] = ""
    lease_kubernetes: Annotated[
        str,
        Field(
            pattern=r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
            description="single_active: NAMESPACE/NAME of a Lease that decides who leads; reached as kubectl would, "
            "or by the service account of the pod",
        ),
    ] = ""
    lease_s: Annotated[float, Field(ge=0.5, le=3600, description="how long a silent leader is believed")] = 10.0
    listen: Annotated[str, Field(description="HOST:PORT of the HTTP API, health and metrics; empty: none")] = (
        "127.0.0.1:8080"
    )
    tokens: Annotated[
        SecretStr, Field(description="tokens that may use the API (commas between them); empty: everybody may")
    ] = SecretStr("")
    inventory: Annotated[
        str, Field(description="where hosts come from: file, http(s) URL or database URL; empty: imported by hand")
    ] = ""
    inventory_s: Annotated[float, Field(ge=1, le=86_400, description="seconds between looks at the inventory")] = 30.0
    receivers: Annotated[tuple[ReceiverSettings, ...], Field(description="webhooks that hear of every result")] = ()
    callback_hosts: Annotated[
        str, Field(description="hosts that a request's callback_url may name, as *.example.com,hooks:8443")
    ] = ""
    callback_secret: Annotated[SecretStr, Field(description="signs messages to callback_url")] = SecretStr("")
    webhook_networks: Annotated[
        str, Field(description="networks that are not public and may be reached, as 10.0.0.0/8")
    ] = ""
    webhook_attempts: Annotated[int, Field(ge=1, le=100, description="attempts before a message is dead")] = 12
    webhook_pause_s: Annotated[float, Field(ge=0.01, le=3600, description="first pause; it doubles")] = 1.0
    webhook_timeout_s: Annotated[float, Field(ge=0.1, le=120, description="seconds a receiver may take")] = 10.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="least level logged")] = "info"

    @field_validator("receivers")
    @classmethod
    def _once(cls, value: tuple[ReceiverSettings, ...]) -> tuple[ReceiverSettings, ...]:
        names = [each.name for each in value]
        if len(set(names)) != len(names):
            raise ValueError("two receivers have one name")
        return value


def database_url(text: str) -> str:
    """A database's URL as SQLAlchemy reads it, from the forms that Go programs take as well."""
    if text.startswith("postgres://"):
        return "postgresql://" + text.removeprefix("postgres://")
    if "://" in text or "=" not in text:
        return text
    from sqlalchemy import URL

    try:
        parts = dict(word.split("=", 1) for word in text.split())
    except ValueError:
        raise InvalidInput("database", "is neither a URL nor words like host=... user=... dbname=...") from None
    url = URL.create(
        "postgresql",
        parts.get("user"),
        parts.get("password"),
        parts.get("host"),
        int(parts["port"]) if parts.get("port", "").isdigit() else None,
        parts.get("dbname"),
    )
    return url.render_as_string(hide_password=False)
