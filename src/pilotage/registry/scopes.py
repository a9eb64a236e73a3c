"""A cluster's scopes: which hosts it is meant for, decoded from JSON once.

Keys: ``idc`` ("a|b|c", a set), ``location`` ("country|province|...", a path), ``cidrs`` and ``hostnames`` (lists;
the latter are RE2 expressions found anywhere in the name), and for the profile of v2.0.8 ``net_topology`` (a path)
and ``security_domains`` (a list).
"""

import msgspec
import re2
from msgspec import Struct

from pilotage.model.errors import InvalidInput
from pilotage.registry.affinity import parse_cidr

EXPRESSION_BYTES = 1024
ENTRIES = 10_000


class Scopes(Struct, frozen=True, forbid_unknown_fields=False):
    """What a cluster says about its hosts; an empty value says nothing."""

    idc: str = ""
    location: str = ""
    cidrs: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    net_topology: str = ""
    security_domains: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Scopes | None)


def decode_scopes(text: str) -> Scopes:
    """Return the scopes in ``text``. Raises `InvalidInput` naming the key; NULL-like texts say nothing."""
    if not text.strip():
        return Scopes()
    try:
        return _decoder.decode(text) or Scopes()
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidInput(f"scopes{path.removesuffix('`')}", reason) from None


def scopes_or_none(text: str) -> Scopes:
    """Return the scopes in ``text``; what can not be decoded says nothing, so its cluster scores 0."""
    try:
        return decode_scopes(text)
    except InvalidInput:
        return Scopes()


def check_scopes(text: str) -> None:
    """Raise `InvalidInput` naming key and index for whatever would never match or can not be decoded.

    The searcher itself skips such entries; this is for whoever types them.
    """
    scopes = decode_scopes(text)
    for key, entries in (("cidrs", scopes.cidrs), ("hostnames", scopes.hostnames)):
        if len(entries) > ENTRIES:
            raise InvalidInput(f"scopes.{key}", f"has {len(entries):,} entries; at most {ENTRIES:,} are allowed")
    for index, cidr in enumerate(scopes.cidrs):
        if parse_cidr(cidr) is None:
            raise InvalidInput(f"scopes.cidrs[{index}]", f"is no network like 10.0.0.0/8: {cidr[:60]!r}")
    for index, expression in enumerate(scopes.hostnames):
        fault = expression_fault(expression)
        if fault:
            raise InvalidInput(f"scopes.hostnames[{index}]", fault)


def expression_fault(expression: str) -> str | None:
    """Return why ``expression`` can not be used to match hostnames, None if it can."""
    if len(expression.encode("utf-8", "surrogatepass")) > EXPRESSION_BYTES:
        return f"is longer than {EXPRESSION_BYTES:,} bytes"
    try:
        re2.compile(expression, options())
    except (re2.error, UnicodeError) as error:
        detail = error.args[0] if error.args else error
        detail = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        return f"is no RE2 expression: {expression[:60]!r} ({detail})"
    return None


def options() -> "re2.Options":
    """Return how expressions are read: a bad one is reported by us, not printed by the library."""
    options = re2.Options()
    options.log_errors = False
    return options
