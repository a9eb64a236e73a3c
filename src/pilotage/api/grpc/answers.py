"""ListSchedulers' responses, made of parts that were encoded when they changed.

Each cluster's schedulers are encoded once per change. ``whole`` is all of them in order of id; a response is the
clusters that come first, and then what is left of ``whole``. Responses are kept per ranking (hosts of one site share
it), up to a number of bytes.
"""

from pilotage.api.grpc.encode import Encoder
from pilotage.registry.catalogue import Catalogue
from pilotage.registry.searcher import Order


class Prepared:
    """The response to one ranking, as of one version of the catalogue."""

    __slots__ = ("body", "order", "version")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.version = -1
        self.body: bytes | None = None


class Answers:
    """Responses in one wire form; ``budget_bytes`` bounds those that are kept."""

    def __init__(self, catalogue: Catalogue, encoder: Encoder, budget_bytes: int) -> None:
        self._catalogue = catalogue
        self._encoder = encoder
        self._budget_bytes = budget_bytes
        self._version = -1
        self._chunks: dict[int, tuple[int, bytes]] = {}
        self._offsets: dict[int, tuple[int, int]] = {}
        self._whole = b""
        self._prepared: dict[Order, Prepared] = {}
        self._kept: dict[Prepared, int] = {}
        self.kept_bytes = 0
        self.encoded = 0
        """How often a cluster was encoded."""

    def prepared(self, order: Order) -> Prepared:
        """Return the one place for responses to this ranking."""
        found = self._prepared.get(order)
        if found is None:
            found = self._prepared[order] = Prepared(order)
        return found

    def forget_rankings(self) -> None:
        """Drop all responses: the scopes have changed, and with them the rankings."""
        self._prepared.clear()
        self._kept.clear()
        self.kept_bytes = 0

    def body(self, prepared: Prepared) -> bytes:
        """Return the response to a ranking as the catalogue is now."""
        version = self._catalogue.version
        if prepared.version == version and prepared.body is not None:
            return prepared.body
        if self._version != version:
            self._refresh()
        body = self._join(prepared.order)
        if not body and prepared.order.left_out:
            body = self._whole  # nobody lives where this host may go: better any scheduler than none
        prepared.body, prepared.version = body or None, version  # an empty answer is never kept
        self._keep(prepared, len(body))
        return body

    def _join(self, order: Order) -> bytes:
        chunks = self._chunks
        parts: list[bytes | memoryview] = [chunks[each][1] for each in order.first if each in chunks]
        if order.others_follow:
            whole, position = memoryview(self._whole), 0
            skipped = (self._offsets[each] for each in {*order.first, *order.left_out} if each in chunks)
            for begin, end in sorted(skipped):
                parts.append(whole[position:begin])
                position = end
            parts.append(whole[position:])
        return b"".join(parts)

    def _keep(self, prepared: Prepared, size: int) -> None:
        """Count a kept response, and let the oldest go when there are too many bytes."""
        self.kept_bytes += size - self._kept.pop(prepared, 0)
        self._kept[prepared] = size
        while self.kept_bytes > self._budget_bytes and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self.kept_bytes -= self._kept.pop(oldest)
            oldest.body = None

    def _refresh(self) -> None:
        """Encode the clusters that have changed, and put all of them in a row."""
        touched = self._catalogue.touched
        chunks: dict[int, tuple[int, bytes]] = {}
        position = 0
        for cluster_id in self._catalogue.clusters:
            known = self._chunks.get(cluster_id)
            if known is None or known[0] != touched[cluster_id]:
                known = (touched[cluster_id], self._encoder.chunk(cluster_id))
                self.encoded += 1
            chunks[cluster_id] = known
            self._offsets[cluster_id] = (position, position + len(known[1]))
            position += len(known[1])
        self._chunks = chunks
        self._whole = b"".join(chunk for _, chunk in chunks.values())
        self._version = self._catalogue.version
