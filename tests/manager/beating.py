"""A scheduler's process as the manager sees it: registers, opens a stream, speaks, reconnects."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from tests.manager.clients import Client, Refused
from tests.manager.process import INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Sequence


class Beating:
    """One scheduler on a process of its own, driven by a thread; it takes the first manager that answers."""

    def __init__(self, hostname: str, addresses: Sequence[str], cluster: int = 1) -> None:
        self.hostname = hostname
        self.cluster = cluster
        self._addresses = addresses
        self._ended = threading.Event()
        self._client = self._connected()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Fall silent with the connection open, as a hung process does."""
        self._ended.set()
        self._thread.join(30)

    def kill(self) -> None:
        """kill -9."""
        self.pause()
        self._client.kill()

    def _loop(self) -> None:
        while not self._ended.wait(INTERVAL_S / 4):  # more often than it must: the machine may be busy
            try:
                self._speak()
            except (Refused, OSError, ValueError):  # the stream, or the client's process, is gone
                with contextlib.suppress(Refused, OSError, ValueError):
                    self._client.kill()
                    self._client = self._connected()

    def _speak(self) -> None:
        self._client.send("s", hostname=self.hostname, ip="10.0.0.9", cluster_id=self.cluster)

    def _connected(self) -> Client:
        """A client with an open stream at the first manager that takes the registration."""
        place = {"hostname": self.hostname, "ip": "10.0.0.9", "port": 8002, "scheduler_cluster_id": self.cluster}
        while not self._ended.is_set():
            for address in self._addresses:
                client = Client(address)
                try:
                    client.call("v2", "UpdateScheduler", **place)
                    client.open("s")
                    client.send("s", hostname=self.hostname, ip="10.0.0.9", cluster_id=self.cluster)
                except Refused:
                    client.kill()
                else:
                    return client
            self._ended.wait(0.1)
        raise OSError("ended")
