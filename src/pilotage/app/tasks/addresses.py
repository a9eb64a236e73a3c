"""Where instances may be: the scheduler will call them, so a registration must not aim it at just anything."""

import ipaddress
import socket
from collections.abc import Sequence

from pilotage.model.errors import InvalidInput

PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
"""This machine and private networks. Link-local addresses (a cloud's metadata service) are not among them."""


class Addresses:
    """Networks in which an instance may be registered."""

    def __init__(self, networks: Sequence[str] = PRIVATE) -> None:
        try:
            self._networks = [ipaddress.ip_network(each) for each in networks]
        except ValueError as error:
            raise InvalidInput("instance_networks", str(error)) from None

    def check(self, host: str, port: int) -> None:
        """Raise `InvalidInput` naming ``host`` unless all its addresses are inside. A name is looked up."""
        try:
            found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError, ValueError):
            raise InvalidInput("host", f"{host!r:.100} is no address and no known name") from None
        for text in found:
            address = ipaddress.ip_address(str(text).partition("%")[0])
            if not any(address in network for network in self._networks):
                raise InvalidInput("host", f"{address} is in none of the networks where instances may be")
