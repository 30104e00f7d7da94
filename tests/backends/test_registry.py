"""A new backend: one file with its entries' keys and its class, and one row that names it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.backends.fake import FakeBackend
from gateway.backends.open_model import open_model
from gateway.backends.registry import KINDS, check_backend, load_models
from gateway.core.errors import ConfigError
from gateway.models.spec import Capabilities, ModelSpec, PathSource


@dataclass(frozen=True, slots=True)
class ParrotSpec(ModelSpec):
    """An entry of a backend that says what it was told."""

    backend: ClassVar = "parrot"
    implementation: ClassVar = f"{__name__}:Parrot"
    prefix: ClassVar = "parrot:"
    refused: ClassVar = {"threads": "a parrot has none"}
    can: ClassVar = Capabilities(reads_files=False)

    loud: bool = False
    """It says it in capitals."""

    @classmethod
    def named(cls, name: str) -> "ParrotSpec":
        return cls(name, PathSource(Path()), loud=name.endswith("!"))


class Parrot(FakeBackend):
    def __init__(self, spec: ParrotSpec, path: Path) -> None:
        super().__init__(spec, path, script=str.upper if spec.loud else str.lower)


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "parrot", ParrotSpec)


def said_by(name: str, file: Path) -> str:
    with open_model(name, file) as model:
        return model.generate("Polly", raw=True).text


def entry(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "models.toml"
    head = ("[models.polly]", 'backend = "parrot"', 'source = { path = "none" }')
    file.write_text("\n".join([*head, *lines]))
    return file


def test_a_backend_s_own_key_reaches_it_from_models_toml(tmp_path: Path) -> None:
    assert said_by("polly", entry(tmp_path)) == "polly"
    assert said_by("polly", entry(tmp_path, "loud = true")) == "POLLY"


def test_a_backend_s_prefix_makes_models_of_names(tmp_path: Path) -> None:
    assert said_by("parrot:polly!", entry(tmp_path)) == "POLLY"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lout = true", r"models\.polly: unknown key 'lout' \(did you mean loud\?\)"),
        ("loud = 'very'", r"models\.polly: loud: "),
        ("threads = 2", r"models\.polly: threads: a parrot has none"),
        ("dtype = 'float16'", 'only with backend = "transformers"'),
        ("[models.crow]\nsource = { path = 'm' }\nloud = true", 'only with backend = "parrot"'),
    ],
)
def test_what_an_entry_of_it_cannot_say_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_models(entry(tmp_path, line))
    refused.match(said)


def test_an_entry_takes_from_another_what_both_have() -> None:
    loud = ParrotSpec("a", PathSource(Path("x")), parallel=2, threads=9, loud=True)
    other = KINDS["transformers"].like(loud, name="b")
    assert (other.name, other.source, other.parallel) == ("b", loud.source, 2)
    assert other.threads == 0


def test_an_entry_of_no_backend_cannot_be_loaded() -> None:
    with pytest.raises(ConfigError, match="m: its entry is of no backend"):
        check_backend(ModelSpec("m", PathSource(Path())))
