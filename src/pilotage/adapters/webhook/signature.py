"""The signature of a message: whoever holds the secret can tell that it is ours, whole and recent."""

import hmac
from hashlib import sha256

HEADER = "X-Pilotage-Signature"
EVENT_HEADER = "X-Pilotage-Event"


def sign(secret: str, body: bytes, at: int) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 over ``SECONDS.BODY``. The time is signed, so an old message can not be new."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return f"t={at},v1={mac}"


def is_signed(secret: str, body: bytes, header: str, now: float, *, within_s: float = 300) -> bool:
    """Whether a received message bears our signature and is not older than ``within_s``: for receivers to use."""
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    at = parts.get("t", "")
    if not at.isascii() or not at.isdigit() or abs(now - int(at)) > within_s:
        return False
    return hmac.compare_digest(sign(secret, body, int(at)), f"t={at},v1={parts.get('v1', '')}")
