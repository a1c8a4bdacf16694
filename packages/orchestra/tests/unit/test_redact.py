import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra.sdk._redact import MASK, Redactor, secrets_in_environment


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://me:pw1@db:5432/x", "postgres://***@db:5432/x"),
        ("https://ghp_abcdefghij@github.com/x", "https://***@github.com/x"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("Authorization: Bearer abcdefghijk.lm-no", "Authorization: Bearer ***"),
        ("password=hunter2, next", "password=***, next"),
        ('{"api_key": "abcd1234"}', '{"api_key": "***"}'),
        ("db_password: 'xyzzy99'", "db_password: '***'"),
        ("the token is gone", "the token is gone"),
        ("nothing here", "nothing here"),
    ],
)
def test_forms_that_carry_secrets(text, masked):
    assert Redactor().text(text) == masked


def test_known_values_longest_first_and_inside_of_words():
    redactor = Redactor(["secret", "secret-long", "", "  "])
    assert redactor.text("a secret-long and xsecrety") == f"a {MASK} and x{MASK}y"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet="abc123./+", min_size=6, max_size=20), st.text(max_size=30), st.text(max_size=30))
def test_a_known_secret_never_remains(secret, before, after):
    assert secret not in Redactor([secret]).text(before + secret + after).replace(MASK, "\0")


def test_what_in_the_environment_is_secret():
    environment = {
        "WAREHOUSE_PASSWORD": "pa55word",
        "GITHUB_TOKEN": "tok-1",
        "MY_DSN": "postgres://x",
        "KEYBOARD": "qwertyuiop",
        "FLAG_TOKEN": "true",
        "SHORT_SECRET": "abc",
        "PRIVATE_KEY": "-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----",
        "HOME": "/home/somebody",
    }
    found = secrets_in_environment(
        environment,
        [{"ACCOUNT": "acct-123", "PORT": "5432", "PASSWORD": "p@ss", "OPTIONS": {"a": ["nested-1"]}}],
    )
    assert {"pa55word", "tok-1", "postgres://x", "MIIEvQIBADANBgkq", "acct-123", "p@ss", "nested-1"} <= found
    assert not found & {"qwertyuiop", "true", "abc", "/home/somebody", "5432"}


def test_deep_and_odd_linked_values_are_bounded():
    deep: object = "value-deep"
    for _ in range(20):
        deep = [deep]
    assert secrets_in_environment({}, [{"A": deep, "B": 5}]) == set()
