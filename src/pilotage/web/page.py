"""The files of the page, by the path they are served at."""

from pathlib import Path

FILES = {
    "/": ("tasks.html", "text/html; charset=utf-8"),
    "/page/tasks.js": ("tasks.js", "text/javascript; charset=utf-8"),
    "/page/tasks.css": ("tasks.css", "text/css; charset=utf-8"),
    "/favicon.ico": ("mark.svg", "image/svg+xml"),
}


def files() -> dict[str, tuple[str, bytes]]:
    """Media type and content of each file."""
    folder = Path(__file__).parent
    return {path: (kind, (folder / name).read_bytes()) for path, (name, kind) in FILES.items()}
