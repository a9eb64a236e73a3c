"""Who leads, by a Lease of coordination.k8s.io/v1: the object that kubectl shows and that other leaders use as well.

Every write names the resource version that was read, so of two candidates the server refuses one. No clock of another
machine is trusted: a holder is taken for dead when the object did not change for as long as it said, by *our* monotonic
clock. That alone fences nobody: whoever leads must carry an epoch that what it writes to checks.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import msgspec
from msgspec import Struct, field

from pilotage.adapters.kubernetes.asking import Reply, ask
from pilotage.adapters.kubernetes.kubeconfig import Access
from pilotage.model.errors import InvalidInput

_API = "/apis/coordination.k8s.io/v1/namespaces"
_WORDS = {
    401: "the server does not know these credentials",
    403: "these credentials may not do it (get, create, update on leases will do)",
}


class Spec(Struct, rename="camel", omit_defaults=True):
    """What a Lease says. ``lease_duration_seconds``: how long others wait before they take a silent holder for dead."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Metadata(Struct, rename="camel", omit_defaults=True):
    """Which Lease, and which version of it."""

    name: str
    namespace: str
    resource_version: str = ""


class LeaseObject(Struct, rename="camel"):
    """The object as it travels."""

    metadata: Metadata
    spec: Spec = field(default_factory=Spec)
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"


class ClusterLease:
    """One candidate for one Lease. Methods raise `InvalidInput` where the server can not be asked, or refuses."""

    def __init__(
        self,
        access: Access,
        namespace: str,
        name: str,
        *,
        holder: str,
        duration_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._namespace, self._name = namespace, name
        self._path = f"{_API}/{namespace}/leases"
        self._holder = holder
        self._duration_s = math.ceil(duration_s)
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        self._seen: tuple[str, float] | None = None  # resource version, when first seen
        self._mine: LeaseObject | None = None
        self.held_until = 0.0
        """Monotonic time up to which nobody else can have taken over (from the start of the last renewal)."""

    async def take(self) -> bool:
        """Try once to lead. True: we do. Call it again until it is."""
        started = self._monotonic()
        found = await self._read()
        if found is None:
            return await self._write(LeaseObject(Metadata(self._name, self._namespace)), started, transitions=0)
        spec = found.spec
        if spec.holder_identity and spec.holder_identity != self._holder and not self._is_dead(found):
            return False
        return await self._write(found, started, transitions=(spec.lease_transitions or 0) + 1)

    async def renew(self) -> bool:
        """Say that we are alive. False: somebody else leads, or changed the object."""
        if self._mine is None:
            return False
        return await self._write(self._mine, self._monotonic())

    async def release(self) -> None:
        """Give the role up, so that the next candidate need not wait. Does nothing if we do not lead."""
        if self._mine is not None:
            mine, self._mine = self._mine, None
            mine.spec.holder_identity, mine.spec.lease_duration_seconds = "", 1
            mine.spec.renew_time = _now()
            await self._ask("PUT", f"/{self._name}", mine, allowed=(200, 404, 409))

    async def holder(self) -> str:
        """Who leads by the object; empty: nobody."""
        found = await self._read()
        return (found.spec.holder_identity or "") if found is not None else ""

    async def close(self) -> None:
        """Close the connection; the Lease stays as it is."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _is_dead(self, found: LeaseObject) -> bool:
        now, version = self._monotonic(), found.metadata.resource_version
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] > (found.spec.lease_duration_seconds or self._duration_s)

    async def _read(self) -> LeaseObject | None:
        answer = await self._ask("GET", f"/{self._name}", None, allowed=(200, 404))
        return self._decoded(answer) if answer.status == 200 else None

    async def _write(self, found: LeaseObject, started: float, transitions: int | None = None) -> bool:
        """Write ourselves as the holder into the version that was read; a new reign has its number."""
        now, spec = _now(), found.spec
        spec.holder_identity, spec.lease_duration_seconds, spec.renew_time = self._holder, self._duration_s, now
        if transitions is not None:
            spec.lease_transitions, spec.acquire_time = transitions, now
        if found.metadata.resource_version:
            answer = await self._ask("PUT", f"/{self._name}", found, allowed=(200, 404, 409))
        else:
            answer = await self._ask("POST", "", found, allowed=(201, 409))
        self._mine = self._decoded(answer) if answer.status in (200, 201) else None
        if self._mine is None:
            return False
        self.held_until = started + self._duration_s
        return True

    def _decoded(self, answer: Reply) -> LeaseObject:
        try:
            return msgspec.json.decode(answer.body, type=LeaseObject)
        except msgspec.DecodeError as error:
            raise InvalidInput(self._access.where, f"{self._path}: is no Lease: is this an API server?") from error

    async def _ask(self, method: str, path: str, body: LeaseObject | None, *, allowed: tuple[int, ...]) -> Reply:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=max(1.0, self._duration_s / 3))
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        answer = await ask(self._session, self._access, self._path + path, method=method, body=body)
        if answer.status not in allowed:
            words = _WORDS.get(answer.status, answer.reason)
            told = f"{method} {self._access.server}{self._path}{path}: {answer.status}: {words}{answer.words}"
            raise InvalidInput(self._access.where, told)
        return answer


def _now() -> str:
    """A MicroTime, for people who look at the object; nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
