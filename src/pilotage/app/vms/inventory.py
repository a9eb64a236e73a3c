"""Reads hosts from where an operator keeps them: a file, an HTTP API, a database."""

import asyncio
import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from sqlalchemy import text

from pilotage.adapters.sql.engine import is_sqlite, open_engine, reading
from pilotage.app.vms.settings import database_url
from pilotage.model.errors import InvalidInput
from pilotage.model.host import Host

ANSWER_BYTES = 256 << 20
TIMEOUT_S = 30.0
_LISTS = ("hosts", "nodes", "baremetals", "items")


async def read_inventory(source: str) -> list[Host]:
    """Hosts from ``source``: a file (.json, .jsonl, .csv, .yaml), an http(s) URL, or a database's URL.

    A database is asked ``SELECT * FROM hosts``, or what stands behind ``#`` in the URL; columns are named as fields.
    Raises `InvalidInput` naming the host and field that can not be used.
    """
    if source.startswith(("http://", "https://")):
        return parse_hosts(await _fetch(source), "json", source)
    if "://" in source or source.startswith("host="):
        return await asyncio.to_thread(_query, source)
    path = Path(source)
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise InvalidInput("inventory", f"{source} can not be read: {error.strerror or error}") from None
    return parse_hosts(data, path.suffix.removeprefix(".").lower() or "json", source)


def parse_hosts(data: bytes, form: str, source: str) -> list[Host]:
    """Hosts from text: a list, an object with a list, an object per line, or CSV with a heading."""
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("inventory", f"{source} is not UTF-8 text") from None
    if form == "csv":
        return _hosts(_csv_rows(content, source), source, strict=False)
    if form in ("jsonl", "ndjson"):
        lines = [line for line in content.splitlines() if line.strip()]
        return _hosts([_json(line, f"{source}:{i}") for i, line in enumerate(lines, 1)], source)
    if form in ("yaml", "yml"):
        import yaml

        try:
            return _hosts(_listed(yaml.safe_load(content), source), source)
        except yaml.YAMLError as error:
            raise InvalidInput("inventory", f"{source} is not YAML: {' '.join(str(error).split())}") from None
    return _hosts(_listed(_json(content, source), source), source)


def _json(content: str, where: str) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidInput("inventory", f"{where} is not JSON: {error}") from None


def _listed(content: Any, source: str) -> list[Any]:
    if isinstance(content, dict):
        content = next((content[name] for name in _LISTS if name in content), content)
    if not isinstance(content, list):
        raise InvalidInput("inventory", f"{source} must hold a list of hosts")
    return content


def _csv_rows(content: str, source: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(csv.DictReader(io.StringIO(content, newline="")), 2):
        if None in row:
            raise InvalidInput("inventory", f"{source}:{number} has more cells than the heading")
        filled: dict[str, Any] = {name.strip(): value.strip() for name, value in row.items() if (value or "").strip()}
        for name in ("traits", "vms"):
            if name in filled:
                filled[name] = [each for each in filled[name].replace(";", " ").split() if each]
        rows.append(filled)
    return rows


def _hosts(rows: Iterable[Any], source: str, *, strict: bool = True) -> list[Host]:
    hosts = []
    for number, row in enumerate(rows, 1):
        name = row.get("name", f"number {number}") if isinstance(row, dict) else f"number {number}"
        try:
            hosts.append(msgspec.convert(row, Host, strict=strict))
        except msgspec.ValidationError as error:
            told = error.__cause__ if isinstance(error.__cause__, InvalidInput) else error
            raise InvalidInput("inventory", f"{source}: host {name}: {told}") from None
    return hosts


async def _fetch(url: str) -> bytes:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise InvalidInput("inventory", f"{url} answered {response.status}")
            data = b""
            async for part in response.content.iter_chunked(1 << 20):
                data += part
                if len(data) > ANSWER_BYTES:
                    raise InvalidInput("inventory", f"{url} answered more than {ANSWER_BYTES >> 20} MiB")
            return data
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise InvalidInput("inventory", f"{url} can not be read: {str(error) or type(error).__name__}") from None


def _query(source: str) -> list[Host]:
    url, _, query = source.partition("#")
    database = open_engine(database_url(url), pool_size=1)
    try:
        with reading(database) as connection:
            connection.execute(text("PRAGMA query_only = ON" if is_sqlite(connection) else "SET TRANSACTION READ ONLY"))
            rows = [dict(row._mapping) for row in connection.execute(text(query or "SELECT * FROM hosts"))]
    except Exception as error:
        told = " ".join(str(getattr(error, "orig", error)).split())
        raise InvalidInput("inventory", f"the database can not be asked: {told}") from None
    finally:
        database.dispose()
    for row in rows:
        for name, value in list(row.items()):
            if value is None:
                del row[name]
            elif name in ("traits", "vms") and isinstance(value, str):
                row[name] = value.replace(";", " ").replace(",", " ").split()
    return _hosts(rows, url, strict=False)
