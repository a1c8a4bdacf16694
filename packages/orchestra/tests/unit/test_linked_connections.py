import pytest

from orchestra.sdk import (
    LinkedConnection,
    LinkedConnectionNotFoundError,
    OrchestraSDK,
    get_linked_connection,
    list_linked_connections,
)

ENVIRONMENT = {
    "SNOWFLAKE__MAIN__USER": "me",
    "SNOWFLAKE__MAIN__PASSWORD": "pw",
    "SNOWFLAKE__MAIN__OPTIONS": '{"role": "x"}',
    "SNOWFLAKE__TEST__USER": "[broken",
    "DATABRICKS__WORK_SPACE__PORT": "443",
    "A__B": "two parts",
    "A__B__C__D": "four parts",
    "lower__case__name": "x",
    "A____C": "empty part",
    "_A__B__C": "leading",
    "PATH": "/bin",
}


def test_exactly_the_documented_variables_count():
    found = list_linked_connections(ENVIRONMENT)
    assert [(c.integration, c.connection_id) for c in found] == [
        ("DATABRICKS", "WORK_SPACE"),
        ("SNOWFLAKE", "MAIN"),
        ("SNOWFLAKE", "TEST"),
    ]
    main = found[1]
    assert main.fields == {"USER": "me", "PASSWORD": "pw", "OPTIONS": {"role": "x"}}
    assert found[2]["user"] == "[broken"
    assert found[0]["port"] == "443"
    assert (main["Password"], main.get("nope"), main.get("nope", 1)) == ("pw", None, 1)
    with pytest.raises(KeyError):
        main["nope"]
    assert "pw" not in repr(main)


def test_equality_and_order_go_by_name():
    a = LinkedConnection("X", "A", {"F": 1})
    assert a == LinkedConnection("X", "A", {"F": 2})
    assert a < LinkedConnection("X", "B", {})
    assert len({a, LinkedConnection("X", "A", {})}) == 1


def test_finding_one():
    assert get_linked_connection("databricks", environ=ENVIRONMENT).connection_id == "WORK_SPACE"
    assert get_linked_connection("Snowflake", "main", environ=ENVIRONMENT).connection_id == "MAIN"
    with pytest.raises(LinkedConnectionNotFoundError, match=r"several SNOWFLAKE .*MAIN, TEST"):
        get_linked_connection("snowflake", environ=ENVIRONMENT)
    with pytest.raises(LinkedConnectionNotFoundError, match="linked for SNOWFLAKE: MAIN, TEST"):
        get_linked_connection("snowflake", "other", environ=ENVIRONMENT)
    with pytest.raises(LinkedConnectionNotFoundError, match="linked integrations: DATABRICKS, SNOWFLAKE"):
        get_linked_connection("redshift", environ=ENVIRONMENT)
    with pytest.raises(LookupError, match="linked integrations: none"):
        get_linked_connection("redshift", environ={})


def test_the_sdk_reads_the_environment(monkeypatch):
    monkeypatch.setenv("SNOWFLAKE__MAIN__USER", "me")
    sdk = OrchestraSDK("key")
    assert sdk.get_linked_connection("snowflake")["user"] == "me"
    assert LinkedConnection("SNOWFLAKE", "MAIN", {}) in sdk.list_linked_connections()
