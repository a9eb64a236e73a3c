"""A request for a VM, as it travels: the wire form, its bounds, and what the kernel is asked to place."""

import re
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from immutabledict import immutabledict
from msgspec import Meta, Struct

from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression, Operator
from pilotage.model.group import Group
from pilotage.model.task import Task, TaskSpec, Term

LARGEST_BODY_BYTES = 65_536
"""A request is a few hundred bytes; what is longer is no request."""

TRAIT = "trait/"
"""Prefix of the label that says that a host has a trait."""

Name = Annotated[str, Meta(min_length=1, max_length=253)]
Trait = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
TaskId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]


class SchedulingRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A VM to be placed. Memory in MiB, storage in GiB; ``requested_*`` and ``dedicated`` are VirtFlow's names.

    ``reservation_s``: how long the claim is reserved before it must be confirmed (0: for ever). ``callback_url`` gets
    the result once; ``owner`` and ``priority`` (higher goes first) are the requester's.
    """

    requested_cpu: Annotated[int, Meta(ge=1, le=65_536)]
    requested_memory: Annotated[int, Meta(ge=1, le=2**30)]
    requested_pool: Name
    dedicated: bool = False
    task_id: TaskId | Literal[""] = ""
    requested_storage: Annotated[int, Meta(ge=0, le=2**30)] = 0
    requested_gpu: Annotated[int, Meta(ge=0, le=1024)] = 0
    traits_required: Annotated[tuple[Trait, ...], Meta(max_length=32)] = ()
    traits_forbidden: Annotated[tuple[Trait, ...], Meta(max_length=32)] = ()
    group: Group | None = None
    callback_url: Annotated[str, Meta(max_length=2048)] = ""
    owner: Annotated[str, Meta(max_length=253)] = ""
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    reservation_s: Annotated[int, Meta(ge=0, le=31_536_000)] | None = None

    def __post_init__(self) -> None:
        if self.traits_forbidden and (both := set(self.traits_required) & set(self.traits_forbidden)):
            raise InvalidInput("traits_forbidden", f"names {min(both)!r}, which is required too")
        if self.group is not None and self.group.scope not in ("host", "rack", "zone"):
            raise InvalidInput("group.scope", f"must be host, rack or zone, got {self.group.scope!r}")

    @property
    def digest(self) -> str:
        """Stands for everything but the id: a second request with the same id must be the same request."""
        return digest_of(encode_request(self), self.task_id)

    @property
    def spec(self) -> TaskSpec:
        """What the kernel places: CPU in milli, memory in bytes, storage in GiB, ``gpus`` whole ones."""
        demand = {"cpu": self.requested_cpu * 1000, "memory": self.requested_memory * 2**20}
        if self.requested_storage:
            demand["storage"] = self.requested_storage
        if self.requested_gpu:
            demand["gpus"] = self.requested_gpu
        traits = [Expression(TRAIT + each, Operator.EXISTS) for each in sorted(self.traits_required)]
        traits += [Expression(TRAIT + each, Operator.DOES_NOT_EXIST) for each in sorted(self.traits_forbidden)]
        return TaskSpec(
            demand=immutabledict(demand),
            node_selector={"pool": self.requested_pool, "dedicated": "true" if self.dedicated else "false"},
            node_affinity=(Term(tuple(traits)),) if traits else None,
            group=self.group,
        )

    def task(self, spec: TaskSpec) -> Task:
        """The task of this request; equal requests may share ``spec``."""
        return Task(id=self.task_id, spec=spec, priority=self.priority)


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(SchedulingRequest)
_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def encode_request(request: SchedulingRequest) -> bytes:
    """The wire form: JSON without what is left at its default."""
    return _encoder.encode(request)


def digest_of(encoded: bytes, task_id: str) -> str:
    """The digest of a request in its wire form. An id needs no escape, and no quote stands bare within a string."""
    return sha256(encoded.replace(b',"task_id":"%s"' % task_id.encode(), b"", 1)).hexdigest()[:32]


def parse_request(body: bytes, message_id: str = "") -> SchedulingRequest:
    """Read a request; ``message_id`` is its id if the body names none. Raises `InvalidInput`: field and reason."""
    if len(body) > LARGEST_BODY_BYTES:
        raise InvalidInput("body", f"has {len(body):,} bytes; {LARGEST_BODY_BYTES:,} are allowed")
    try:
        request = _decoder.decode(body)
    except InvalidInput:
        raise
    except msgspec.ValidationError as error:
        raise _as_invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("body", f"is not JSON: {error}") from None
    if not request.task_id:
        if not message_id:
            raise InvalidInput("task_id", "is missing: give it in the body, or as the message's id")
        if not _TASK_ID.fullmatch(message_id):
            raise InvalidInput("message_id", f"can not be a task id: {message_id!r:.80}")
        request = msgspec.structs.replace(request, task_id=message_id)
    return request


class _WithId(Struct):
    task_id: str = ""


def id_in(body: bytes) -> str:
    """The task id that a body names, whatever else is wrong with it; empty: none that could be one."""
    try:
        task_id = msgspec.json.decode(body[:LARGEST_BODY_BYTES], type=_WithId).task_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return task_id if _TASK_ID.fullmatch(task_id) else ""


def _as_invalid(error: msgspec.ValidationError) -> InvalidInput:
    """msgspec's message as field and reason; errors of our own checks come through as they are."""
    if isinstance(error.__cause__, InvalidInput):
        return error.__cause__
    told = str(error)
    at = _PATH.search(told)
    reason = told[: at.start()] if at else told
    named = re.search(r"(?:required field|unknown field) `([^`]*)`", reason)
    path = ".".join(part for part in (at.group(1) if at else "", named.group(1) if named else "") if part)
    if named:
        reason = "is missing" if "required" in reason else "is no field of a request"
    else:
        reason = reason.replace("Expected `", "must be `", 1)
    return InvalidInput(path or "body", reason)
