"""Bodies of the manager's HTTP API: what people may say, checked field by field."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from pilotage.api.names import check_hostname, check_ip
from pilotage.model.errors import InvalidInput
from pilotage.registry.scopes import check_scopes, expression_fault

JSON_BYTES = 1 << 20

Name = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=1024)]
Port = Annotated[int, Field(ge=1024, lt=65535)]
Id = Annotated[int, Field(ge=1, lt=2**63)]


def _hostname(value: Any) -> Any:
    if isinstance(value, str):
        _reworded(check_hostname, value)
    return value


def _ip(value: Any) -> Any:
    if isinstance(value, str):
        _reworded(check_ip, value)
    return value


def _reworded(check: Any, value: str) -> None:
    """Tell a fault as pydantic wants it; it names the field itself."""
    try:
        check("", value)
    except InvalidInput as fault:
        raise ValueError(fault.reason) from None


Hostname = Annotated[str, BeforeValidator(_hostname)]
Ip = Annotated[str, BeforeValidator(_ip)]


class Body(BaseModel):
    """A body without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid")

    def values(self) -> dict[str, Any]:
        """Return what was said, as the registry keeps it: nested values as JSON."""
        told = self.model_dump(exclude_unset=True, mode="json")
        return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in told.items()}


class Json(BaseModel):
    """A JSON object with some known keys; others are kept as they are."""

    model_config = ConfigDict(extra="allow")


class ClusterConfig(Json):
    """What schedulers of a cluster are told."""

    candidate_parent_limit: Annotated[int, Field(ge=1, le=20)] | None = None
    filter_parent_limit: Annotated[int, Field(ge=10, le=1000)] | None = None
    job_rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class ClientConfig(Json):
    """What hosts of a cluster are told."""

    load_limit: Annotated[int, Field(ge=1, le=2000)] | None = None


class SeedPeerConfig(Json):
    """What seed peers of a cluster are told."""

    load_limit: Annotated[int, Field(ge=1, le=50_000)] | None = None


class ClusterChange(Body):
    """A scheduler cluster as far as it changes."""

    name: Name = ""
    bio: Text = ""
    config: ClusterConfig = ClusterConfig()
    client_config: ClientConfig = ClientConfig()
    seed_client_config: Json = Json()
    scopes: dict[str, Any] = Field(default_factory=dict)
    is_default: bool = False

    @field_validator("scopes")
    @classmethod
    def _usable(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(value)
            if len(text) > JSON_BYTES:
                raise ValueError(f"has {len(text):,} characters; at most {JSON_BYTES:,} are allowed")
            check_scopes(text)
        except InvalidInput as fault:
            key = fault.field.removeprefix("scopes").removeprefix(".")
            raise ValueError(f"{key}: {fault.reason}" if key else fault.reason) from None
        return value


class ClusterBody(ClusterChange):
    """A new scheduler cluster."""

    name: Name


class SeedPeerClusterChange(Body):
    """A seed peer cluster as far as it changes."""

    name: Name = ""
    bio: Text = ""
    config: SeedPeerConfig = SeedPeerConfig()
    scheduler_cluster_ids: Annotated[list[Id], Field(max_length=10_000)] = Field(default_factory=list)


class SeedPeerClusterBody(SeedPeerClusterChange):
    """A new seed peer cluster."""

    name: Name


class SchedulerChange(Body):
    """A scheduler as far as people change it; whether it lives, it says itself."""

    port: Port = 8002
    idc: Text = ""
    location: Text = ""
    features: Annotated[list[Literal["schedule", "preheat"]], Field(max_length=2)] = Field(default_factory=list)


class SchedulerBody(SchedulerChange):
    """A new scheduler."""

    hostname: Hostname
    ip: Ip
    cluster_id: Id
    features: Annotated[list[Literal["schedule", "preheat"]], Field(max_length=2)] = ["schedule", "preheat"]

    def values(self) -> dict[str, Any]:
        """Return what was said, with both features unless others were named."""
        return {"features": self.features, "port": self.port, **super().values()}


class SeedPeerChange(Body):
    """A seed peer as far as people change it."""

    port: Port = 65_000
    download_port: Port = 65_002
    idc: Text = ""
    location: Text = ""


class SeedPeerBody(SeedPeerChange):
    """A new seed peer."""

    hostname: Hostname
    ip: Ip
    cluster_id: Id

    def values(self) -> dict[str, Any]:
        """Return what was said, with the usual ports."""
        return {"port": self.port, "download_port": self.download_port, **super().values()}


class UrlPriority(Body):
    """How urgent downloads of matching URLs are."""

    regex: Text
    value: Annotated[int, Field(ge=0, le=20)]

    @field_validator("regex")
    @classmethod
    def _expression(cls, value: str) -> str:
        fault = expression_fault(value)
        if fault:
            raise ValueError(fault)
        return value


class Priority(Body):
    """How urgent an application's downloads are: 0 is neutral, 1 forbids them, more is more."""

    value: Annotated[int, Field(ge=0, le=20)]
    urls: Annotated[list[UrlPriority], Field(max_length=1000)] = Field(default_factory=list)


class ApplicationChange(Body):
    """An application as far as it changes."""

    name: Name = ""
    url: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")] = ""
    bio: Text = ""
    priority: Priority | None = None


class ApplicationBody(ApplicationChange):
    """A new application."""

    name: Name
    url: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")]


class ModelChange(Body):
    """A model as far as it changes: made active, it puts the active one of its kind aside."""

    bio: Text = ""
    state: Literal["active", "inactive"] = "inactive"
