"""Bodies into structs, errors into answers: one place that knows what each kind of failure looks like on HTTP."""

import re
from typing import Any, TypeVar

import msgspec

from pilotage.model.errors import CommitUnknown, InvalidInput, LeaseLost, StorageDown, StorageFull
from pilotage.service.ports import NoInstance, NotFound, NotLeading, QueueFull, WrongState

T = TypeVar("T")

STATUS_OF: dict[type[Exception], int] = {
    NotFound: 404,
    WrongState: 409,
    QueueFull: 429,
    StorageFull: 429,
    NoInstance: 503,
    NotLeading: 503,
    StorageDown: 503,
    LeaseLost: 503,
    CommitUnknown: 503,
}

_AT = re.compile(r"^(.*?)(?: - at `(key in )?\$(.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(.*?)`")


def decode(body: bytes, form: type[T]) -> T:
    """Read a JSON body; raises `InvalidInput` naming the field by its path (``tasks.0.model_name``)."""
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        told, _, path = _AT.match(str(error)).groups()  # type: ignore[union-attr]
        place = re.sub(r"\[(\d+)\]", r".\1", path or "").replace("[...]", "").strip(".")
        missing = _MISSING.search(told)
        if missing:
            place, told = f"{place}.{missing[1]}".strip("."), "is required"
        raise InvalidInput(place or "body", told) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("body", f"is not JSON: {error}") from None


def check_object(field: str, raw: msgspec.Raw) -> bytes:
    """The bytes of a JSON object, checked to the last character. Raises `InvalidInput`."""
    content = bytes(raw)
    if content == b"{}":
        return content
    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(field, f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(field, f"Expected `object`, got `{_kind(found)}`")
    return content


def problem(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a failure. An error that is not expected is not for here."""
    if isinstance(error, InvalidInput):
        place = error.field.split(".")
        location = place if place == ["body"] or place[0] == "query" else ["body", *place]
        return 422, {"detail": [{"loc": location, "msg": error.reason, "type": "value_error"}]}
    for kind, status in STATUS_OF.items():
        if isinstance(error, kind):
            return status, {"detail": str(error)}
    raise error


EXPECTED: tuple[type[Exception], ...] = (InvalidInput, *STATUS_OF)
"""Failures that have an answer of their own."""


def _kind(value: object) -> str:
    return {list: "array", str: "str", type(None): "null", bool: "bool"}.get(type(value), "number")
