from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orca.common.config import FromEnv, FromFile, SecretStr, Settings
from orca.common.errors import ConfigError
from orca.common.testing import LogRecorder


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


class Store(BaseModel):
    path: Path = Path("orca.db")
    size_max: int = Field(10, ge=1)


class Server(Settings):
    host: str = Field("127.0.0.1", description="the address to bind")
    port: int = Field(33670, ge=1, le=65535)
    token: SecretStr | None = None
    project_name: Annotated[str, FromFile("project")] = "demo"
    core: Annotated[str | None, FromEnv("ORCA_CORE", "ORCASERVER"), FromFile("orcaConnectionString")] = None
    tags: list[str] = Field(default_factory=list)
    limits: dict[str, int] = Field(default_factory=dict)
    either: list[str] | dict[str, int] | None = None
    store: Store = Store()
    mode: Mode = Mode.SAFE
    level: Literal["info", "debug"] = "info"
    ratio: float = Field(0.5, gt=0, lt=1)
    pause: timedelta = timedelta(seconds=1)
    dry_run: bool = False


class Core(Settings):
    section = ("core",)
    env_prefix = "ORCA_CORE_"
    port: int = 1


def test_defaults(tmp_path: Path) -> None:
    server = Server.load(environ={}, folder=tmp_path)
    assert (server.host, server.port, server.token) == ("127.0.0.1", 33670, None)
    assert {origin.source for origin in server.explain()} == {"default"}


def test_arguments_over_environment_over_dotenv_over_json_over_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.orca]\nport = 5\n")
    (tmp_path / "orca.json").write_text('{\n  "port": 4\n}')
    (tmp_path / ".env").write_text("# one\nORCA_PORT=3\n")
    environ = {"ORCA_PORT": "2"}
    server = Server.load({"port": 1}, environ=environ, folder=tmp_path, dotenv=True)
    assert server.port == 1
    origin = next(each for each in server.explain() if each.name == "port")
    assert origin.source == "argument"
    assert origin.shadowed == (
        "environment ORCA_PORT",
        f"{tmp_path}/.env:2",
        f"{tmp_path}/orca.json:2",
        f"{tmp_path}/pyproject.toml:2",
    )
    assert Server.load({"port": None}, environ=environ, folder=tmp_path, dotenv=True).port == 2
    assert Server.load(environ={}, folder=tmp_path, dotenv=True).port == 3
    assert Server.load(environ={}, folder=tmp_path).port == 4
    (tmp_path / "orca.json").unlink()
    assert Server.load(environ={}, folder=tmp_path).port == 5
    assert Server.load(environ={}, folder=tmp_path, files=False).port == 33670


def test_the_working_directory_and_the_process_environment_are_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orca.json").write_text('{"host": "from-file"}')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("ORCA_PORT", "9")
    server = Server.load()
    assert (server.host, server.port) == ("from-file", 9)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "orca.json").write_text('{"port": 1, "host": "outer"}')
    (inner / "orca.json").write_text('{"port": 2}')
    (tmp_path / "pyproject.toml").write_text("[tool.orca]\nlevel = 'debug'\n")
    (inner / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    server = Server.load(environ={}, folder=inner)
    assert (server.port, server.host, server.level) == (2, "127.0.0.1", "debug")


def test_names_in_the_seed_and_today_both_work(tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_text('{"orcaConnectionString": "grpc://file:1", "projectName": "p"}')
    assert Server.load(environ={}, folder=tmp_path).core == "grpc://file:1"
    assert Server.load(environ={}, folder=tmp_path).project_name == "p"
    assert Server.load(environ={"ORCASERVER": "grpc://old:1"}, folder=tmp_path).core == "grpc://old:1"
    both = {"ORCASERVER": "grpc://old:1", "ORCA_CORE": "grpc://new:1"}
    assert Server.load(environ=both, folder=tmp_path).core == "grpc://new:1"
    (tmp_path / "orca.json").write_text('{"project": "short"}')
    assert Server.load(environ={}, folder=tmp_path).project_name == "short"


def test_variables_are_read_as_their_type() -> None:
    environ = {
        "ORCA_PORT": "80",
        "ORCA_TAGS": "a, b",
        "ORCA_EITHER": "[]",
        "ORCA_LIMITS": '{"a": 1}',
        "ORCA_STORE": '{"path": "/tmp/x", "size_max": 3}',
        "ORCA_MODE": "fast",
        "ORCA_DRY_RUN": "yes",
        "ORCA_RATIO": "0.25",
        "ORCA_PAUSE": "PT2S",
        "ORCA_HOST": "",
    }
    server = Server.load(environ=environ, files=False)
    assert (server.port, server.tags, server.limits) == (80, ["a", "b"], {"a": 1})
    assert server.store == Store(path=Path("/tmp/x"), size_max=3)
    assert (server.mode, server.dry_run, server.ratio) == (Mode.FAST, True, 0.25)
    assert server.pause == timedelta(seconds=2)
    assert server.host == "127.0.0.1", "an empty variable counts as not set"
    assert server.either == []
    assert Server.load(environ={"ORCA_TAGS": '["x,y"]'}, files=False).tags == ["x,y"]
    with pytest.raises(ConfigError, match=r"either.* is 'a,b': .*a list of text or an object or nothing"):
        Server.load(environ={"ORCA_EITHER": "a,b"}, files=False)


def test_all_faults_come_at_once_each_with_its_place_and_the_accepted_form(tmp_path: Path) -> None:
    class Strict(Server):
        name: str

    (tmp_path / "orca.json").write_text(
        '{\n  "level": "loud",\n  "tags": [1],\n  "store": {\n    "size_max": 0\n  }\n}'
    )
    (tmp_path / "pyproject.toml").write_text("[tool.orca]\nratio = 2.0\nmode = 'slow'\n")
    with pytest.raises(ConfigError) as caught:
        Strict.load({"prot": 1}, environ={"ORCA_PORT": "many", "ORCA_LIMITS": "{oops"}, folder=tmp_path)
    lines = caught.value.message.splitlines()
    assert lines[0] == "Strict: 9 faults"
    text = "\n".join(lines)
    assert "argument prot: there is no such setting, did you mean port?" in text
    assert "environment ORCA_PORT: port is 'many': " in text
    assert "accepted: a whole number from 1 to 65535" in text
    assert "environment ORCA_LIMITS: limits is '{oops': " in text
    assert f"{tmp_path}/orca.json:2: level is 'loud': " in text
    assert "accepted: one of info, debug" in text
    assert f"{tmp_path}/orca.json:3: tags.0: " in text
    assert "accepted: a list of text" in text
    assert f"{tmp_path}/orca.json:4: store.size_max: " in text
    assert f"{tmp_path}/pyproject.toml:2: ratio is 2.0: " in text
    assert "accepted: a number above 0 below 1" in text
    assert f"{tmp_path}/pyproject.toml:3: mode is 'slow': " in text
    assert "accepted: one of fast, safe" in text
    assert "name is missing: set ORCA_NAME, or 'name' in orca.json; accepted: text" in text
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "pydantic's error holds the values"


def test_the_description_explains_the_accepted_form() -> None:
    with pytest.raises(ConfigError, match=r"1 fault\n.*accepted: text \(the address to bind\)"):
        Server.load({"host": 3}, environ={}, files=False)


def test_a_default_may_be_wrong_too() -> None:
    class Wrong(Settings):
        port: int = Field("many", ge=1)  # type: ignore[assignment]

    with pytest.raises(ConfigError, match=r"default: port: .*accepted: a whole number from 1"):
        Wrong.load(environ={}, files=False)


def test_a_rule_over_several_settings_has_no_place() -> None:
    from pydantic import model_validator

    class Range(Settings):
        low: int = 1
        high: int = 0

        @model_validator(mode="after")
        def check(self) -> Range:
            raise ValueError("low is above high")

    with pytest.raises(ConfigError, match="- Value error, low is above high"):
        Range.load(environ={}, files=False)


def test_a_type_without_json_form_still_gets_a_fault() -> None:
    class Thing:
        pass

    class Odd(Settings):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Thing | None = None

    with pytest.raises(ConfigError, match=r"argument: thing is 3: .*accepted: any value"):
        Odd.load({"thing": 3}, environ={}, files=False)


@pytest.mark.parametrize(
    ("environ", "place"),
    [({"ORCA_TOKEN": "s3cr3t-value"}, "environment"), ({"ORCA_CORE": "grpc://me:s3cr3t-value@core:1"}, "")],
)
def test_secrets_are_masked_everywhere(environ: dict[str, str], place: str, tmp_path: Path) -> None:
    server = Server.load(environ=environ, folder=tmp_path)
    explained = "\n".join(map(str, server.explain()))
    assert "s3cr3t" not in explained
    assert "***" in explained
    if place:
        assert "s3cr3t" not in repr(server) + str(server) + server.model_dump_json()
        assert server.token is not None
        assert server.token.get_secret_value() == "s3cr3t-value"


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    class Strict(Settings):
        token: SecretStr = Field(min_length=20)
        api_key: str = Field("", pattern="^k-")

    with pytest.raises(ConfigError) as caught:
        Strict.load(environ={"ORCA_TOKEN": "s3cr3t", "ORCA_API_KEY": "s3cr3t"}, files=False)
    text = str(caught.value)
    assert "s3cr3t" not in text
    assert "environment ORCA_TOKEN: token: " in text
    assert "environment ORCA_API_KEY: api_key is ***: " in text
    assert "text that matches ^k-" in text


def test_unknown_keys_warn_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_text('{\n  "prot": 1,\n  "core": {\n "prot": 2},\n  "zzz": 1\n}')
    (tmp_path / ".env").write_text("ORCA_PROT=1\nOTHER=1\n")
    with LogRecorder("orca.common.config") as log:
        Server.load(environ={"ORCA_PRT": "1", "ORCA_UNRELATED_THING": "1"}, folder=tmp_path, dotenv=True)
        Core.load(environ={}, folder=tmp_path)
    assert log.at_least(logging.WARNING) == [
        "environment: ORCA_PRT is no setting, did you mean ORCA_PORT?",
        f"{tmp_path}/.env:1: ORCA_PROT is no setting, did you mean ORCA_PORT?",
        f"{tmp_path}/orca.json:2: prot is no setting, did you mean port?",
        f"{tmp_path}/orca.json:5: zzz is no setting",
        f"{tmp_path}/orca.json:4: prot is no setting, did you mean port?",
    ]


def test_a_section_is_read_from_json_and_from_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.orca.core]\nport = 7\n")
    assert Core.load(environ={}, folder=tmp_path).port == 7
    (tmp_path / "orca.json").write_text('{"core": {"port": 8}}')
    core = Core.load(environ={}, folder=tmp_path)
    assert core.port == 8
    assert core.explain()[0].shadowed == (f"{tmp_path}/pyproject.toml:2",)
    assert Core.load(environ={"ORCA_CORE_PORT": "9"}, folder=tmp_path).port == 9
    (tmp_path / "orca.json").write_text('{"core": 3}')
    assert Core.load(environ={}, folder=tmp_path).port == 7


def test_faults_of_files_are_reported_with_those_of_values(tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_text('{\n  "port": 1,\n}')
    (tmp_path / "pyproject.toml").write_text("[tool.orca\n")
    (tmp_path / ".env").write_text("ORCA_HOST=x\nsecret words\n")
    with pytest.raises(ConfigError) as caught:
        Server.load(environ={"ORCA_PORT": "x"}, folder=tmp_path, dotenv=True)
    text = caught.value.message
    assert "Server: 4 faults" in text
    assert f"{tmp_path}/orca.json:" in text
    assert f"{tmp_path}/pyproject.toml: not TOML: " in text
    assert f"{tmp_path}/.env:2: give NAME=value" in text
    assert "secret words" not in text


def test_a_dotenv_of_another_name(tmp_path: Path) -> None:
    (tmp_path / "prod.env").write_text("ORCA_PORT=4")
    assert Server.load(environ={}, folder=tmp_path, dotenv=tmp_path / "prod.env").port == 4
    with pytest.raises(ConfigError, match=r"absent\.env: No such file"):
        Server.load(environ={}, folder=tmp_path, dotenv=tmp_path / "absent.env")


def test_settings_made_by_hand_explain_themselves_too() -> None:
    server = Server(port=5)
    assert [str(origin) for origin in server.explain()][:2] == [
        "host = '127.0.0.1'  <- default",
        "port = 5  <- argument",
    ]


def test_settings_are_equal_by_their_values_not_by_their_sources() -> None:
    loaded = Core.load(environ={"ORCA_CORE_PORT": "5"}, files=False)
    assert loaded == Core(port=5)
    assert hash(loaded) == hash(Core(port=5))
    assert loaded != Core(port=6)
    assert loaded != Settings()
    assert loaded != 5


def test_a_setting_with_an_alias_is_found_by_its_name() -> None:
    class Aliased(Settings):
        port: int = Field(1, alias="portNumber")

    assert Aliased.load(environ={"ORCA_PORT": "5"}, files=False).port == 5
    with pytest.raises(ConfigError, match=r"environment ORCA_PORT: port is 'x': .*accepted: a whole number"):
        Aliased.load(environ={"ORCA_PORT": "x"}, files=False)


def test_what_is_missing_in_a_section_is_named_with_its_section() -> None:
    class Keyed(Settings):
        section = ("core", "store")
        path: str

    with pytest.raises(ConfigError, match=r"path is missing: set ORCA_PATH, or 'core\.store\.path' in orca"):
        Keyed.load(environ={}, files=False)


def test_settings_are_frozen_and_closed() -> None:
    server = Server()
    with pytest.raises(ValidationError):
        server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Server(prot=1)  # type: ignore[call-arg]


def test_nothing_is_read_at_import(tmp_path: Path) -> None:
    (tmp_path / "orca.json").write_text("not json at all")
    (tmp_path / "mine.py").write_text(
        "import sys\nopened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "from orca.common.config import Settings\n"
        "class Mine(Settings):\n    port: int = 1\n"
        "import json\n"
        "print(json.dumps([name for name in opened if name.endswith(('.json', '.toml', '.env'))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "ORCA_PORT": "not a number"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == []


def test_explain_shows_what_a_weaker_source_said() -> None:
    server = Server.load({"port": 1}, environ={"ORCA_PORT": "2"}, files=False)
    assert str(server.explain()[1]) == "port = 1  <- argument  (over environment ORCA_PORT)"


def test_no_value_is_a_json_object_by_accident() -> None:
    class Loose(Settings):
        anything: Any = None
        annotated: Annotated[list[int], Field(min_length=1)] | None = None

    assert Loose.load(environ={"ORCA_ANYTHING": "[1]"}, files=False).anything == "[1]"
    assert Loose.load(environ={"ORCA_ANNOTATED": "1,2"}, files=False).annotated == [1, 2]


def test_all_secrets_can_be_handed_to_the_logs() -> None:
    class Login(BaseModel):
        password: SecretStr = SecretStr("inner-secret")
        user: str = "me"

    class App(Settings):
        login: Login = Login()
        token: SecretStr = SecretStr("outer-secret")
        other: SecretStr | None = None

    assert App().secrets() == ("inner-secret", "outer-secret")
