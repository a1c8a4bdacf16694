from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

from orca.common.redact import SECRET_LENGTH_MIN, Redactor, is_secret_name, redact


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("grpc://user:hush@core:1/x", "grpc://***@core:1/x"),
        ("postgres://hush@host/db", "postgres://***@host/db"),
        ("https://example.test/a@b", "https://example.test/a@b"),
        ("Authorization: Bearer hush.hush-hush", "Authorization: Bearer ***"),
        ("authorization: basic aHVzaDpodXNo==", "authorization: basic ***"),
        ("token bearer of good news", "token bearer of good news"),
        ("password=hush, user=me", "password=***, user=me"),
        ("PASSWORD = 'hush hush' ok", "PASSWORD = *** ok"),
        ('{"api_key": "hush", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("{'db_password': 'hush'}", "{'db_password': ***}"),
        ("?access-key=hush&x=1", "?access-key=***&x=1"),
        ("ORCA_TOKEN=hush", "ORCA_TOKEN=***"),
        ("secret:hush;", "secret:***;"),
        ("a token was refreshed", "a token was refreshed"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_known_by_their_surroundings(text: str, masked: str) -> None:
    assert redact(text) == masked
    assert redact(masked) == masked, "masking twice changes nothing"


def test_given_secrets_are_masked_wherever_they_stand() -> None:
    mask = Redactor(["hush", "hush-more", "a.c*", "x"])
    assert mask("say hush-more or hush, a.c* but abc x") == "say *** or ***, *** but abc x"
    assert SECRET_LENGTH_MIN == 4


@pytest.mark.parametrize(
    "name", ["token", "ORCA_TOKEN", "apiKey", "api-key", "client_secret", "Authorization"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name("port")


def test_time_is_linear_in_the_text() -> None:
    def seconds(text: str) -> float:
        start = time.process_time()
        redact(text)
        return time.process_time() - start

    for piece in ("password", "://a", "token=", "bearer ", "://", "a:b@", "secret '"):
        # A quadratic pattern would need minutes for a megabyte of the worst text.
        assert seconds(piece * (1_000_000 // len(piece))) < 20


@pytest.mark.parametrize(
    "secret",
    ["it's hush", 'say "hush"', "both'\"hush", "back\\'hush", "two\nhush", "\u00fchush", "a b&c/d?hush"],
)
def test_given_secrets_are_masked_in_every_usual_spelling(secret: str) -> None:
    mask = Redactor([secret])
    for text in (
        secret,
        repr(secret),
        repr(["'", secret]),
        repr(secret + "'"),
        repr(secret + '"'),
        ascii(secret),
        repr(secret.encode()),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret),
        quote(secret, safe=""),
    ):
        assert "hush" not in mask(text), text
        assert "***" in mask(text)
