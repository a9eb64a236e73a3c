"""What is a host name, and what an IP address: the same rule for every face."""

import re

from pilotage.model.errors import InvalidInput
from pilotage.registry.affinity import parse_ip

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


def check_hostname(field: str, value: str) -> None:
    """Refuse what is no host name of RFC 1034: labels of letters, digits and inner hyphens, 253 characters."""
    name = value.removesuffix(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise InvalidInput(field, f"is no host name: {value[:60]!r}")


def check_ip(field: str, value: str) -> None:
    """Refuse what is no IPv4 or IPv6 address."""
    if parse_ip(value) is None:
        raise InvalidInput(field, f"is no IP address: {value[:60]!r}")
