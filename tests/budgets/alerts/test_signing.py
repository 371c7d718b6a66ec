"""The headers of Standard Webhooks: genuine, the same id for every attempt, and secrets that stay secret."""

from __future__ import annotations

import base64
import hashlib

import pytest

from genops_otel_posthog.budgets.alerts.signing import keys_from, webhook_headers
from genops_otel_posthog.errors import GenOpsConfigurationError

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def hmac_sha256_by_its_definition(key: bytes, message: bytes) -> bytes:
    """RFC 2104, written out: H(K xor opad, H(K xor ipad, text))."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def test_the_published_example_has_its_published_signature():
    # libraries/python/tests/test_webhooks.py in https://github.com/standard-webhooks/standard-webhooks
    headers = webhook_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        keys_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        1614265330,
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_id_time_and_body_are_signed():
    headers = webhook_headers("a/b", b"{}", keys_from(SECRET), 17)
    expected = hmac_sha256_by_its_definition(bytes(range(32)), b"a%2Fb.17.{}")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_two_secrets_sign_while_one_replaces_the_other():
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    both = webhook_headers("a", b"{}", keys_from(f"{SECRET} {other}"), 17)["webhook-signature"].split(" ")
    assert both == [webhook_headers("a", b"{}", keys_from(one), 17)["webhook-signature"] for one in (SECRET, other)]


def test_without_a_secret_nothing_is_signed():
    assert webhook_headers("a", b"{}", keys_from(None), 17) == {"webhook-id": "a", "webhook-timestamp": "17"}


def test_an_id_never_holds_a_full_stop_nor_what_a_header_cannot_hold():
    headers = webhook_headers("bücher.daily\r\nx: ~1", b"", (), 17)
    assert headers["webhook-id"] == "b%C3%BCcher%2Edaily%0D%0Ax:%20%7E1"


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("hunter2-hunter2", "does not begin with whsec_"),
        ("whsec_c2hvcnQ=", "holds 5 bytes, not 24 to 64"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "holds 65 bytes"),
        ("whsec_hunter2-%%%", "base64|data|padding"),
    ],
)
def test_a_secret_that_the_standard_does_not_allow_is_refused_and_not_repeated(secret: str, problem: str):
    with pytest.raises(GenOpsConfigurationError, match=problem) as refused:
        keys_from(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)
    assert refused.value.__cause__ is None
