"""gateway certify --fastest and what of it gateway models shows and pulls, on small weights."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError, ModelNotPulled
from gateway.determinism import certify as certifying
from gateway.determinism import fastest
from gateway.determinism.fastest import is_faster
from gateway.models.choices import USUAL, Speed
from gateway.models.environment import certificates_file, fastest_file
from gateway.models.locate import locate
from gateway.models.spec import ModelSpec
from tests.cli.conftest import Gateway
from tests.models.test_choices import MADE
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.needs("llama_cpp")

ENTRIES = """
default = "tiny"
[models.tiny]
source = { path = "tiny.gguf" }
threads = 1
batch_tokens = 32
context_length = 1024
[models.pinned]
like = "tiny"
attention = "plain"
[models.served]
backend = "ollama"
source = { ollama = "m" }
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models.toml, beside a llama of drawn weights."""
    write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "models.toml").write_text(ENTRIES)
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(fastest, "ROUNDS", 1)
    monkeypatch.setattr(certifying, "_TOGETHER", (2,))
    return tmp_path / "models.toml"


def test_what_is_chosen_is_certified_kept_and_shown(gateway: Gateway) -> None:
    shown = gateway("models", "show", "tiny")
    assert "gateway certify --fastest tiny finds faster ones" in " ".join(shown.out.split())
    done = gateway("certify", "--fastest", "tiny", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["level"], found["choice"]["rows"]) == ("bitwise", 32)
    left = {str(each["settings"]["attention"]): each["left"] for each in found["choice"]["tried"]}
    assert left["flash"].startswith("cannot be run: ")
    taken, usual = (
        next(each for each in found["choice"]["tried"] if each["settings"] == wanted)
        for wanted in (found["choice"]["settings"], asdict(USUAL))
    )
    assert taken == usual or is_faster(Speed(**taken["speed"]), Speed(**usual["speed"]))
    assert found["choice"]["other_kernels"] is None, "it has no K-quants"
    shown = gateway("models", "show", "tiny")
    assert "by gateway certify --fastest" in " ".join(shown.out.split())
    assert "bitwise on this machine" in shown.out


@pytest.mark.parametrize(
    ("entry", "why"),
    [("pinned", "its entry says attention, repack or split"), ("served", "is run by ollama")],
)
@pytest.mark.parametrize("command", [("certify", "--fastest"), ("models", "pull", "--tune")])
def test_where_nothing_can_be_chosen_is_said_before_anything_is_done(
    gateway: Gateway, command: tuple[str, ...], entry: str, why: str
) -> None:
    done = gateway(*command, entry)
    assert (done.code, why in done.err, done.out) == (2, True, "")
    assert not fastest_file().exists()


def test_a_purpose_is_of_the_fastest(gateway: Gateway) -> None:
    done = gateway("certify", "--for", "labels", "tiny")
    assert (done.code, done.out) == (2, "")
    assert "gateway certify --fastest --for labels tiny" in done.err


def test_an_interrupted_choice_leaves_all_as_it_was(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fastest, "certify", interrupted)
    done = gateway("certify", "--fastest", "tiny")
    assert done.code == 130
    assert "nothing was chosen, and nothing is changed" in done.err
    assert not fastest_file().exists()
    assert not certificates_file().exists()


def test_a_level_of_what_is_pulled_is_an_entry_with_its_digest(gateway: Gateway, own: Path) -> None:
    done = gateway("models", "pull", "tiny", "--as", "Q8_0", "--no-tune")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].endswith("tiny.gguf")
    entry = load_models(own).get("tiny-q8_0")
    assert (entry.quantization, len(entry.sha256)) == ("Q8_0", 64)
    assert "tiny quantized to Q8_0" in entry.description
    assert entry.batch_tokens == 32


@pytest.mark.parametrize(
    ("asked", "tuned"),
    [
        (("tiny",), []),
        (("tiny", "--tune"), ["tiny"]),
        (("tiny", "--as", "Q8_0,Q4_0"), ["tiny-q8_0", "tiny-q4_0"]),
        (("tiny", "--as", "Q8_0", "--no-tune"), []),
    ],
)
def test_levels_that_are_made_are_tuned_unasked_and_what_was_pulled_is_not(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], tuned: list[str]
) -> None:
    found: list[str] = []

    def choose(entry: str, *_: object, **__: object) -> object:
        found.append(entry)
        raise ConfigError("not now")

    monkeypatch.setattr("gateway.cli.determinism.choose_fastest", choose)
    done = gateway("models", "pull", *asked)
    assert found == tuned
    assert done.code == (2 if "--tune" in asked else 0)
    assert done.err.count("not now") == len(tuned)


@pytest.mark.parametrize(
    ("asked", "large", "tuned"),
    [
        (("tiny",), False, ["tiny"]),
        (("tiny",), True, []),
        (("tiny", "--no-tune"), False, []),
        (("tiny", "--as", "Q8_0"), True, ["tiny-q8_0"]),
        (("pinned",), False, []),
    ],
)
def test_what_is_pulled_anew_is_tuned_unasked_where_it_is_small(
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
    large: bool,
    tuned: list[str],
) -> None:
    found: list[str] = []

    def choose(entry: str, *_: object, **__: object) -> object:
        found.append(entry)
        raise ConfigError("not now")

    pulled = [False]

    def located(spec: ModelSpec) -> Path:
        if not pulled[0]:
            raise ModelNotPulled("not here")
        return locate(spec)

    def pull(spec: ModelSpec) -> Path:
        pulled[0] = True
        return locate(spec)

    monkeypatch.setattr("gateway.cli.determinism.choose_fastest", choose)
    monkeypatch.setattr("gateway.models.locate.locate", located)
    monkeypatch.setattr("gateway.models.pull.pull", pull)
    monkeypatch.setattr("gateway.cli.models._SMALL_BYTES", 0 if large else 1 << 30)
    done = gateway("models", "pull", *asked)
    assert (done.code, found) == (0, tuned), done.err
    assert ("nothing was chosen: not now" in done.err) == bool(tuned)


def test_what_was_chosen_before_is_not_tried_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.determinism.fastest.chosen_before", lambda *_: MADE)
    done = gateway("models", "pull", "tiny", "--as", "Q8_0")
    assert done.code == 0
    assert "tiny-q8_0 here: repacked weights and flash attention" in " ".join(done.err.split())


def test_what_is_chosen_again_is_for_what_it_was_before(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def choose(*asked: object, **_: object) -> object:
        found.append(asked[-1])
        raise ConfigError("not now")

    before = replace(MADE, purpose="labels")
    monkeypatch.setattr("gateway.determinism.fastest.chosen_before", lambda *_: before)
    monkeypatch.setattr("gateway.cli.determinism.choose_fastest", choose)
    gateway("models", "pull", "tiny", "--tune")
    assert found == ["labels"]


def test_levels_are_written_into_a_file_that_is_not_there_yet(
    gateway: Gateway, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_MODELS", str(own.with_name("new.toml")))
    done = gateway("models", "pull", "no-such-model", "--as", "Q8_0")
    assert (done.code, "no model is called 'no-such-model'" in done.err) == (2, True)
    assert gateway("models", "pull", "no-such-model").err.startswith("error: ")


def test_levels_of_a_served_model_are_refused(gateway: Gateway) -> None:
    done = gateway("models", "pull", "served", "--as", "Q8_0")
    assert (done.code, "--as: served is run by ollama" in done.err) == (2, True)


def test_no_level_at_all_is_refused(gateway: Gateway) -> None:
    done = gateway("models", "pull", "tiny", "--as", ",")
    assert (done.code, "',' names no level" in done.err) == (2, True)
