"""The rules of nearness: how well one value of a host meets one value of a cluster's scope, from 0 to 1."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SEPARATOR = "|"
LOCATION_ELEMENTS = 5
_MAPPED_BITS = 96


def fold(text: str) -> str:
    """Return ``text`` for comparing without case: simple Unicode folding, which never changes the length.

    `str.casefold` makes "ss" of "ß"; the peers this answers to do not.
    """
    if text.isascii():
        return text.lower()
    return "".join(_fold_one(letter) for letter in text)


def _fold_one(letter: str) -> str:
    for folded in (letter.casefold(), letter.lower()):
        if len(folded) == 1:
            return folded
    return letter


def idc_affinity(idc: str, scope: str) -> float:
    """Return 1 if ``idc``, taken whole, is ``scope`` or one of its elements ("a|b|c"); else 0."""
    if not idc or not scope:
        return 0.0
    return float(idc == scope or idc in scope.split(SEPARATOR))


def location_affinity(location: str, scope: str) -> float:
    """Return the share of five leading path elements ("country|province|...") that agree; 1 for equal paths."""
    if not location or not scope:
        return 0.0
    if location == scope:
        return 1.0
    agreed = 0
    for mine, theirs in zip(location.split(SEPARATOR), scope.split(SEPARATOR), strict=False):
        if mine != theirs or agreed == LOCATION_ELEMENTS:
            break
        agreed += 1
    return agreed / LOCATION_ELEMENTS


def parse_ip(text: str) -> Address | None:
    """Return the address, an IPv4-mapped one as IPv4; None if ``text`` is no address (zones are refused)."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_cidr(text: str) -> Network | None:
    """Return the network of "address/bits", host bits ignored; None if ``text`` is no such thing."""
    _, slash, bits = text.partition("/")
    if not slash or not (bits.isascii() and bits.isdigit()) or "%" in text:
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network
