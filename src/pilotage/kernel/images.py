"""Which container images lie on which rows, and how large they are."""

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Image(Struct):
    """``size``: bytes, as the first node that has it told; ``rows``: where it lies."""

    size: int
    rows: dict[int, None]


class Images:
    """All images by name. An image that lies nowhere any more is forgotten, its size too."""

    def __init__(self) -> None:
        self._of: dict[str, Image] = {}
        self._on: dict[int, Mapping[str, int]] = {}

    def get(self, name: str) -> Image | None:
        """Return the image called ``name``, or None if it lies on no node."""
        return self._of.get(name)

    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Return every image with its size, by name."""
        return tuple(sorted((name, image.size) for name, image in self._of.items()))

    def set_sizes(self, sizes: Iterable[tuple[str, int]]) -> None:
        """Let images that lie somewhere have these sizes, whoever told first."""
        for name, size in sizes:
            self._of[name].size = size

    def write(self, row: int, images: Mapping[str, int]) -> None:
        """Replace what lies on ``row``."""
        before = self._on.pop(row, {})
        if images:
            self._on[row] = images
        if before == images:
            return
        for name in before:
            image = self._of[name]
            del image.rows[row]
            if not image.rows:
                del self._of[name]
        for name, size in images.items():
            self._of.setdefault(name, Image(size, {})).rows[row] = None
