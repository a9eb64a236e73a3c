"""Settings of ``pilotage manager``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pilotage.registry.profiles import CURRENT, PROFILES


class ManagerSettings(BaseModel):
    """What ``pilotage manager`` does when no flag says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: Annotated[str, Field(description="sqlite:///FILE or postgresql://USER@HOST/DATABASE")] = (
        "sqlite:///pilotage-manager.sqlite3"
    )
    grpc: Annotated[str, Field(description="HOST:PORT that hosts and schedulers call")] = "127.0.0.1:65003"
    http: Annotated[str, Field(description="HOST:PORT of the API for people, and of /metrics; empty: none")] = (
        "127.0.0.1:8080"
    )
    tokens: Annotated[
        SecretStr, Field(description="tokens that may call (commas between them); empty: nobody is asked for one")
    ] = SecretStr("")
    tls_certificate: Annotated[str, Field(description="PEM file; with it and tls_key both servers speak TLS")] = ""
    tls_key: Annotated[str, Field(description="PEM file of the certificate's key")] = ""
    tls_client_authority: Annotated[
        str, Field(description="PEM file; gRPC callers must show a certificate of this authority (mTLS)")
    ] = ""
    calls_per_s: Annotated[float, Field(ge=0, le=1e7, description="gRPC calls and streams a second; 0: any")] = 4000.0
    calls_burst: Annotated[int, Field(ge=1, le=10**7, description="gRPC calls at once")] = 4000
    streams: Annotated[int, Field(ge=1, le=10**6, description="keep-alive streams open at once")] = 50_000
    message_mib: Annotated[int, Field(ge=1, le=2047, description="longest gRPC message (models travel in one)")] = 64
    profile: Annotated[str, Field(description=f"rules of ranking: {', '.join(PROFILES)}")] = CURRENT.name
    require: Annotated[
        str, Field(description="terms that a cluster must meet to be listed at all (commas between them)")
    ] = ""
    compatibility: Annotated[
        Literal["precise", "dragonfly"], Field(description="gRPC status codes: what happened, or what Dragonfly says")
    ] = "precise"
    keep_alive_interval_s: Annotated[
        float, Field(gt=0, le=600, description="seconds between keep-alive messages; three are waited for")
    ] = 5.0
    refresh_s: Annotated[
        float, Field(ge=0.05, le=60, description="seconds between looks at what other managers wrote")
    ] = 0.5
    forget_inactive_s: Annotated[
        float, Field(ge=0, le=1e9, description="seconds after which inactive members are deleted; 0: never")
    ] = 1800.0
    hosts: Annotated[int, Field(ge=1, le=10**7, description="hosts whose ranking is remembered")] = 200_000
    cache_mib: Annotated[int, Field(ge=1, le=65_536, description="bound of the responses that are kept")] = 64
    redis: Annotated[str, Field(description="redis://HOST:PORT/DB that managers share; empty: none")] = ""
    redis_ttl_s: Annotated[float, Field(ge=1, le=86_400, description="seconds that Redis keeps a ranking")] = 300.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="least level logged")] = "info"

    @field_validator("profile")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(f"must be one of {', '.join(PROFILES)}")
        return value
