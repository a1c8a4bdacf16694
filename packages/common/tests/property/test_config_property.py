"""Whatever sources give a value, the strongest one wins and explain() names all of them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from orca.common.config import Settings

SOURCES = ("argument", "environment", ".env", "orca.json", "pyproject.toml", "default")


class Small(Settings):
    alpha: int = 0
    beta_two: str = "default"
    gamma: list[int] | None = None


values = {
    "alpha": st.integers(-1000, 1000),
    # Text that every source can hold on one line, without quotes and with no space at its ends.
    "beta_two": st.text("abc:/=#{}[] .-", min_size=1, max_size=12)
    .map(lambda text: f"x{text}x")
    .filter(lambda text: " #" not in text),
    "gamma": st.lists(st.integers(-9, 9), min_size=1, max_size=3),
}
given_values = st.fixed_dictionaries(
    {},
    optional={(source, name): strategy for source in SOURCES[:-1] for name, strategy in values.items()},
)


def text_of(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@given(given_values)
def test_the_strongest_source_wins(chosen: dict[tuple[str, str], object]) -> None:
    def of(source: str) -> dict[str, object]:
        return {name: value for (origin, name), value in chosen.items() if origin == source}

    with TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / "orca.json").write_text(json.dumps(of("orca.json"), indent=1))
        toml = [f"{name} = {json.dumps(value)}" for name, value in of("pyproject.toml").items()]
        (root / "pyproject.toml").write_text("\n".join(["[tool.orca]", *toml]))
        env = [f"ORCA_{name.upper()}={text_of(value)}" for name, value in of(".env").items()]
        (root / ".env").write_text("\n".join(env))
        environ = {f"ORCA_{name.upper()}": text_of(value) for name, value in of("environment").items()}
        settings = Small.load(of("argument"), environ=environ, folder=root, dotenv=True)

    for origin in settings.explain():
        having = [source for source in SOURCES[:-1] if (source, origin.name) in chosen] or ["default"]
        expected = chosen.get((having[0], origin.name), Small.model_fields[origin.name].default)
        assert getattr(settings, origin.name) == expected
        assert [having[0] in origin.source, len(origin.shadowed)] == [True, len(having) - 1]
        for source, shadowed in zip(having[1:], origin.shadowed, strict=True):
            assert source in shadowed


@given(
    st.dictionaries(st.sampled_from(["alpha", "gamma"]), st.sampled_from(["x", "{", "[", "1.5x"]), min_size=1)
)
def test_every_fault_is_reported(wrong: dict[str, str]) -> None:
    from orca.common.errors import ConfigError

    try:
        Small.load(environ={f"ORCA_{name.upper()}": value for name, value in wrong.items()}, files=False)
    except ConfigError as error:
        text = str(error)
        assert all(f"environment ORCA_{name.upper()}: " in text for name in wrong)
    else:
        raise AssertionError("wrong values were taken")
