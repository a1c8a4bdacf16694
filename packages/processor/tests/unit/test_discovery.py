from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orca.processor.discovery import find_core, find_processor, find_project, parse_address
from orca.processor.errors import BadConfigFile, BadEnvVar, MissingEnvVar

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("grpc://core:50051", "core:50051"),
        ("grpc://grpc:1", "grpc:1"),
        ("rgpc.local:5", "rgpc.local:5"),
        ("localhost:32770", "localhost:32770"),
        ("grpc://[::1]:5/", "[::1]:5"),
    ],
)
def test_addresses_keep_every_letter(text: str, target: str, tmp_path: Path) -> None:
    """SDK 0.13: `lstrip("grpc://")` eats the letters g, r, p, c of the host."""
    assert find_core(environ={"ORCA_CORE": text}, folder=tmp_path).target == target


@pytest.mark.parametrize(
    "text", ["core", "core:", ":50051", "ftp://core:1", "core:99999", "a b:1", "core:-1"]
)
def test_addresses_of_another_form_are_refused_with_their_source(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadEnvVar, match="environment ORCASERVER"):
        find_core(environ={"ORCASERVER": text}, folder=tmp_path)


def test_the_order_of_the_sources_of_the_core(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with pytest.raises(MissingEnvVar, match="orca start"):
        find_core(environ={}, folder=below)
    write(tmp_path / ".orca" / "core.json", {"address": "file:1", "token": "secret", "pid": 1})
    found = find_core(environ={}, folder=below)
    assert (found.target, found.token) == ("file:1", "secret")
    assert "secret" not in repr(found)
    write(tmp_path / "a" / "orca.json", {"orcaConnectionString": "project:2"})
    assert find_core(environ={}, folder=below).target == "project:2"
    env = {"ORCASERVER": "grpc://seed:3"}
    assert find_core(environ=env, folder=below).target == "seed:3"
    env["ORCA_CORE"] = "later:4"
    assert find_core(environ=env, folder=below).target == "later:4"
    assert find_core("argument:5", environ=env, folder=below).target == "argument:5"
    known = find_core("argument:5", token="t", environ=env, folder=below)
    assert find_core(known, environ=env) is known
    assert known.token == "t"


def test_orca_core_wins_over_orca_json(tmp_path: Path) -> None:
    """SDK 0.13: ORCA_CORE is ignored when orca.json exists."""
    write(tmp_path / "orca.json", {"projectName": "p", "orcaConnectionString": "file:1"})
    assert find_core(environ={"ORCA_CORE": "env:2"}, folder=tmp_path).target == "env:2"


def test_tls(tmp_path: Path) -> None:
    assert find_core("grpcs://a:1", environ={}, folder=tmp_path).secure
    assert find_core("a:1", environ={"ENV": "production"}, folder=tmp_path).url == "grpcs://a:1"
    assert not find_core("grpc://a:1", environ={"ENV": "production"}, folder=tmp_path).secure
    files = {"ORCA_TLS_CA": "ca", "ORCA_TLS_CERT": "cert", "ORCA_TLS_KEY": "key"}
    found = find_core("a:1", environ=files, folder=tmp_path)
    assert (found.secure, found.ca_file, found.cert_file, found.key_file) == (True, "ca", "cert", "key")
    with pytest.raises(BadEnvVar, match="go together"):
        find_core("a:1", environ={"ORCA_TLS_CERT": "cert"}, folder=tmp_path)


def test_production_serves_tls_or_says_what_is_missing(tmp_path: Path) -> None:
    """SDK 0.13: ENV=production does not serve TLS."""
    with pytest.raises(MissingEnvVar, match="ORCA_TLS_CERT"):
        find_processor(environ={"ENV": "production", "PORT": "5"}, folder=tmp_path)
    env = {"ENV": "production", "ORCA_TLS_CERT": "c", "ORCA_TLS_KEY": "k", "PORT": "5"}
    assert find_processor(environ=env, folder=tmp_path).secure


def test_a_processor_without_external_port_advertises_its_own(tmp_path: Path) -> None:
    """SDK 0.13: without PROCESSOR_EXTERNAL_PORT it registers host:0."""
    found = find_processor(environ={"PROCESSOR_ADDRESS": "box:5377"}, folder=tmp_path)
    assert (found.bind, found.advertise(5377)) == ("[::]:5377", "box:5377")
    env = {"PROCESSOR_ADDRESS": "box:5377", "PROCESSOR_EXTERNAL_PORT": "9000"}
    assert find_processor(environ=env, folder=tmp_path).advertise(5377) == "box:9000"


def test_orca_json_binds_processor_port_and_advertises_the_connection_string(tmp_path: Path) -> None:
    """SDK 0.13: the ports of orca.json are swapped."""
    content = {"processorPort": 5377, "processorConnectionString": "outside:9000", "projectName": "p"}
    write(tmp_path / "orca.json", content)
    found = find_processor(environ={}, folder=tmp_path)
    assert (found.bind, found.advertise(5377)) == ("[::]:5377", "outside:9000")


def test_the_first_generations_variables(tmp_path: Path) -> None:
    found = find_processor(environ={"HOST": "172.18.0.1", "PORT": "50505"}, folder=tmp_path)
    assert (found.bind, found.advertise(50505)) == ("0.0.0.0:50505", "172.18.0.1:50505")
    assert find_processor(environ={"PORT": "50505"}, folder=tmp_path).advertise(50505) == "127.0.0.1:50505"


def test_a_host_without_port_takes_a_free_one_only_beside_the_first_generations_core(tmp_path: Path) -> None:
    first = {"ORCASERVER": "grpc://localhost:32770", "HOST": "172.18.0.1"}
    found = find_processor(environ=first, folder=tmp_path)
    assert (found.bind, found.advertise(40_000)) == ("0.0.0.0:0", "172.18.0.1:40000")
    assert find_processor(environ={"HOST": "laptop"}, folder=tmp_path).source == "default"


@pytest.mark.parametrize("host", ["172.18.0.1", "box", "[::1]"])
def test_the_variables_of_releases_between(host: str, tmp_path: Path) -> None:
    env = {"PROCESSOR_ADDRESS": host, "PROCESSOR_PORT": "8080"}
    found = find_processor(environ=env, folder=tmp_path)
    assert (found.bind, found.advertise(8080)) == ("[::]:8080", f"{host}:8080")


def test_a_port_in_the_address_counts_before_the_other_variable(tmp_path: Path) -> None:
    env = {"PROCESSOR_ADDRESS": "box:5377", "PROCESSOR_PORT": "8080"}
    assert find_processor(environ=env, folder=tmp_path).advertise(0) == "box:5377"


def test_without_any_setting_a_free_port_on_loopback(tmp_path: Path) -> None:
    found = find_processor(environ={}, folder=tmp_path)
    assert (found.bind, found.advertise(4711)) == ("127.0.0.1:0", "127.0.0.1:4711")


def test_arguments_win(tmp_path: Path) -> None:
    env = {"PORT": "5"}
    assert find_processor(bind="0.0.0.0:7", environ=env).advertise(7) == "127.0.0.1:7"
    assert find_processor(advertise="box:7", environ=env).bind == "0.0.0.0:7"
    both = find_processor(bind="127.0.0.1:0", advertise="box:7", environ=env)
    assert (both.bind, both.advertise(99)) == ("127.0.0.1:0", "box:7")


@pytest.mark.parametrize(
    "env",
    [
        {"PORT": "abc"},
        {"PORT": "0"},
        {"PORT": "70000"},
        {"PROCESSOR_ADDRESS": "box"},
        {"PROCESSOR_PORT": "x", "PROCESSOR_ADDRESS": "box"},
    ],
)
def test_bad_variables_are_named(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadEnvVar, match=next(iter(env))):
        find_processor(environ=env, folder=tmp_path)


def test_all_faults_of_a_project_file_at_once(tmp_path: Path) -> None:
    content = {
        "projectName": 1,
        "orcaConnectionString": "x",
        "processorPort": "5",
        "processorConnectionString": "y",
    }
    write(tmp_path / "orca.json", content)
    with pytest.raises(BadConfigFile) as caught:
        find_project(tmp_path)
    assert all(key in str(caught.value) for key in content)


def test_unknown_keys_are_told_and_missing_ones_are_fine(tmp_path: Path) -> None:
    write(tmp_path / "orca.json", {"projectName": "p", "colour": "red"})
    found = find_project(tmp_path)
    assert (found.project, found.unknown, found.port) == ("p", ("colour",), 0)


@pytest.mark.parametrize("content", ["{", "[1]", "\udcff"])
def test_files_that_are_no_json_object(content: str, tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadConfigFile, match="orca.json"):  # noqa: RUF043
        find_project(tmp_path)


def test_a_core_file_of_another_form(tmp_path: Path) -> None:
    write(tmp_path / ".orca" / "core.json", {"address": 5})
    with pytest.raises(BadConfigFile, match="orca start"):
        find_core(environ={}, folder=tmp_path)


def test_parse_address_tells_the_scheme() -> None:
    assert parse_address("https://a:1") == ("a", 1, True)
    assert parse_address("a:1") == ("a", 1, None)
