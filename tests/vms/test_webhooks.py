"""Webhooks: signed, told once per receiver, tried again, and sent to nowhere that they may not go."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pilotage.adapters.sql.vms.outbox import deliveries_of, list_webhooks, redeliver
from pilotage.adapters.webhook.sender import Allowed, Sender, checked_url
from pilotage.adapters.webhook.signature import HEADER, is_signed, sign
from pilotage.app.vms.relay import Backoff, Receiver, Relay
from pilotage.model.errors import InvalidInput
from tests.vms.cloud import Cloud, decided, host, request

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL = Allowed((), ["127.0.0.0/8"])


class Ear:
    """A receiver on loopback that answers what it is told to."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[dict[str, str], bytes]] = []

    async def __aenter__(self) -> Ear:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:-1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.heard.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        if status:
            more = "location: http://127.0.0.1:1/elsewhere\r\n" if status == 302 else ""
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{more}connection: close\r\n\r\n".encode())
        writer.close()


async def relayed(cloud: Cloud, receivers: dict[str, Receiver], until: Callable[[], bool], **options: Any) -> None:
    sender = Sender(LOCAL, timeout_s=2)
    relay = Relay(
        cloud.writer,
        publisher=None,
        sender=sender,
        receivers=receivers,
        callback_secret="callback",
        backoff=Backoff(0.01, 0.05),
        poll_s=0.02,
        **options,
    )
    running = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(20):
            while not until():
                assert not running.done(), running.result()
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sender.close()


def states(cloud: Cloud) -> list[str]:
    return [each["state"] for each in cloud.read(list_webhooks)]


@pytest.mark.asyncio
async def test_a_result_is_told_signed_until_it_is_heard(cloud: Cloud) -> None:
    cloud.bring_in(host())
    async with Ear(500, 0, 302) as ear, Ear() as back:
        wanted = request("t1", callback_url=back.url)
        cloud.commit(decided(wanted, "bm1", callback_url=back.url), receivers=("hook",))
        hook = {"hook": Receiver("hook", ear.url, "s3cret")}
        await relayed(cloud, hook, lambda: states(cloud) == ["delivered", "delivered"])

    assert len(ear.heard) == 4, "an error, a broken answer and a redirect are tried again; then it is heard"
    told = {headers["x-pilotage-event"] for headers, _ in ear.heard + back.heard}
    assert told == {cloud.status("t1")["event_id"]}
    headers, body = ear.heard[-1]
    assert is_signed("s3cret", body, headers[HEADER.lower()], time.time())
    assert is_signed("callback", back.heard[0][1], back.heard[0][0][HEADER.lower()], time.time())
    assert json.loads(body) | {"at": 0} == {
        "event_id": headers["idempotency-key"],
        "task_id": "t1",
        "status": "success",
        "selected_node": "bm1",
        "claim_id": "t1.1",
        "error": None,
        "error_class": None,
        "at": 0,
    }
    number = next(each["id"] for each in cloud.read(list_webhooks) if each["receiver"] == "hook")
    assert [each["status"] for each in cloud.read(deliveries_of, number)] == [500, None, 302, 200]


@pytest.mark.asyncio
async def test_what_nobody_hears_is_dead_until_it_is_redelivered(cloud: Cloud) -> None:
    cloud.bring_in(host())
    async with Ear(500, 500, 410) as ear:
        hook = {"hook": Receiver("hook", ear.url, "s3cret")}
        cloud.commit(decided(request("t1"), "bm1"), receivers=("hook",))
        await relayed(cloud, hook, lambda: states(cloud) == ["dead"], attempts=2)
        (message,) = cloud.read(list_webhooks, state="dead")
        assert (message["attempts"], message["error"]) == (2, "answered 500")
        cloud.run(lambda c: redeliver(c, message["id"], time.time()))
        await relayed(cloud, hook, lambda: states(cloud) == ["dead"])
        assert len(ear.heard) == 3, "410 says that it never will be heard"
        cloud.run(lambda c: redeliver(c, message["id"], time.time()))
        await relayed(cloud, hook, lambda: states(cloud) == ["delivered"])
    assert len({headers["x-pilotage-event"] for headers, _ in ear.heard}) == 1


def test_a_signature_is_over_time_and_body() -> None:
    header = sign("secret", b"body", 1000)
    assert is_signed("secret", b"body", header, 1100)
    assert not is_signed("secret", b"other", header, 1100)
    assert not is_signed("other", b"body", header, 1100)
    assert not is_signed("secret", b"body", header, 1400), "an old message can be a replayed one"
    assert not is_signed("secret", b"body", header.replace("t=1000", "t=1100"), 1100)
    for nonsense in ("", "t=,v1=", "t=²,v1=x", "v1=abc"):
        assert not is_signed("secret", b"body", nonsense, 1000)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_private_addresses_are_not_reached(address: str) -> None:
    assert not Allowed().reaches(address)
    assert Allowed().reaches("93.184.216.34")
    assert Allowed((), ["10.0.0.0/8"]).reaches("10.1.2.3")


@pytest.mark.asyncio
@pytest.mark.parametrize("host_name", ["127.0.0.1", "localhost"])
async def test_nothing_is_sent_to_a_private_address(host_name: str) -> None:
    async with Ear() as ear:
        sender = Sender(Allowed())
        answer = await sender.send(ear.url.replace("127.0.0.1", host_name), b"{}", "evt", "")
        await sender.close()
    assert answer.status is None
    assert answer.error
    assert ear.heard == []


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.com/x", True),
        ("https://a.b.example.org/x", True),
        ("http://internal:9000/x", True),
        ("http://internal:9001/x", False),
        ("https://hooks.example.com.evil.net/x", False),
        ("https://hooks.example.com@evil.net/x", False),
        ("ftp://hooks.example.com/x", False),
        ("nonsense", False),
    ],
)
def test_callbacks_go_to_allowed_hosts_only(url: str, allowed: bool) -> None:
    gate = Allowed(["hooks.example.com", "*.example.org", "internal:9000"])
    if allowed:
        gate.check_callback(url)
    else:
        with pytest.raises(InvalidInput, match="callback_url"):
            gate.check_callback(url)


def test_a_url_may_hold_no_password() -> None:
    with pytest.raises(InvalidInput, match="must not hold a user or password"):
        checked_url("url", "https://user:secret@hooks.example.com/")
