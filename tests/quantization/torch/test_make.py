"""Levels on torch: folders that are whole or absent, and entries that answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gateway.backends.registry import load_models
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.packed import packing_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, DataError, ModelNotPulled
from gateway.models.spec import PathSource
from gateway.quantization.stored_weights import held_by
from gateway.quantization.torch.calibration import pieces_of
from gateway.quantization.torch.entries import write_entries
from gateway.quantization.torch.levels import parse, parse_all
from gateway.quantization.torch.make import MadeFolder, check, make
from gateway.quantization.torch.source import TorchSource, torch_source
from tests.backends.transformers.tiny import load, write_model
from tests.support.bases import entry, write_tokenizer

TEXT = " ".join(f"w{(i * i * 7 + i) % 160}" for i in range(1200))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TorchSource:
    folder = write_model(tmp_path_factory.mktemp("whole"))
    write_tokenizer(folder, parted=True)
    return torch_source(str(folder), load_models())


def made_of(source: TorchSource, out: Path, *methods: str, text: str = TEXT) -> list[MadeFolder]:
    return list(make(source, parse_all(methods), out, calibration=text))


@pytest.mark.needs("bitsandbytes")
def test_every_method_makes_a_folder_that_says_what_it_is_and_answers_nearly_as_the_whole(
    source: TorchSource, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra nf4")
    ids = torch.tensor([range(40)])
    with torch.inference_mode():
        wanted = load(source.path)(input_ids=ids).logits.log_softmax(-1)
    for made in made_of(source, tmp_path, "gptq", "awq", "nf4", "int8"):
        model = TorchModel(made.path, dtype="float32", device="cpu")
        model.module.set_attn_implementation("eager")
        with torch.inference_mode():
            found = model.module(input_ids=ids).logits.log_softmax(-1)
        assert 0 < (found - wanted).pow(2).mean().sqrt() < 0.05
        assert not made.kept
        packing = packing_of(made.path)
        assert packing is not None
        assert packing.named.startswith(made.level.method)
        held = held_by(entry(made.path), made.path)
        assert held is not None
        whole = sum(value.numel() for value in load(source.path).state_dict().values())
        assert round(8 * held.size / held.bits_per_weight) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{source.name}-{level}" for level in ("awq4", "gptq4", "int8", "nf4")
    ]


def test_what_is_there_and_of_the_same_is_not_made_again(
    source: TorchSource, tmp_path: Path
) -> None:
    (first,) = made_of(source, tmp_path, "gptq")
    weights = (first.path / "model.safetensors").read_bytes()
    (second,) = made_of(source, tmp_path, "gptq")
    assert second == replace(first, kept=True)
    (third,) = made_of(source, tmp_path, "gptq", text=f"{TEXT} w3")
    assert not third.kept
    (again,) = made_of(source, tmp_path, "gptq")
    assert not again.kept
    assert (again.path / "model.safetensors").read_bytes() == weights, "the same bytes"


def test_interrupted_it_leaves_nothing(source: TorchSource, tmp_path: Path) -> None:
    def begin(name: str, total: int) -> Callable[[], None]:
        def done() -> None:
            raise KeyboardInterrupt

        return done

    with pytest.raises(KeyboardInterrupt):
        list(make(source, [parse("gptq")], tmp_path, calibration=TEXT, begin=begin))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_else_stays_and_texts_have_to_be_there(
    source: TorchSource, tmp_path: Path
) -> None:
    levels = [parse("gptq")]
    with pytest.raises(ConfigError, match="gptq reads texts as it rounds"):
        check(source, levels, tmp_path, calibrated=False)
    (tmp_path / f"{source.name}-gptq4").mkdir()
    with pytest.raises(ConfigError, match="was not made by this command"):
        check(source, levels, tmp_path, calibrated=True)
    check(source, [parse("nf4")], tmp_path, calibrated=False)


def test_entries_keep_what_the_source_says(source: TorchSource, tmp_path: Path) -> None:
    own = replace(source.spec, context_length=64, chat_template="{{ messages }}", license="MIT")
    changed = replace(source, spec=own)
    made = made_of(changed, tmp_path, "gptq")
    file = tmp_path / "models.toml"
    (name,) = write_entries(changed, made, file, tmp_path)
    found = load_models(file).get(name)
    assert isinstance(found, TransformersSpec)
    assert (found.context_length, found.chat_template, found.license) == (
        64,
        "{{ messages }}",
        "MIT",
    )
    assert found.precision == found.quantization == "gptq, 4 bits, groups of 64"


@pytest.mark.parametrize(
    ("methods", "options", "said"),
    [
        (("exl2",), (0, 0), "'exl2' is no method"),
        (("gptq", "gguf"), (0, 0), "gguf among other methods"),
        (("gptq",), (5, 0), "gptq with 5 bits: it has 2 or 3 or 4 or 8"),
        (("awq",), (8, 0), "--bits: of gptq alone"),
        (("nf4",), (0, 64), "--group-size: of gptq and awq"),
        (("gptq",), (0, 48), "groups of 48: a multiple of 32"),
        (("gptq", "gptq"), (0, 0), "gptq4 is named twice"),
    ],
)
def test_a_level_that_there_is_not_is_refused_by_name(
    methods: Sequence[str], options: tuple[int, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_all(methods, *options)
    assert [level.name for level in parse_all(("gptq", "awq", "nf4"), 8, 64)] == [
        *("gptq8", "awq4", "nf4")
    ]


def test_a_source_that_is_packed_or_adapted_or_absent_is_refused(
    source: TorchSource, tmp_path: Path
) -> None:
    (made,) = made_of(source, tmp_path, "gptq")
    known = load_models()
    with pytest.raises(ConfigError, match="in few bits already"):
        torch_source(str(made.path), known)
    specs = {
        "adapted": entry(source.path, adapter=tmp_path),
        "few": entry(source.path, quantize="nf4"),
        "gone": TransformersSpec("gone", PathSource(tmp_path / "gone")),
    }
    models = replace(known, specs=specs)
    with pytest.raises(ConfigError, match="has an adapter, which would be left out"):
        torch_source("adapted", models)
    with pytest.raises(ConfigError, match="in few bits already"):
        torch_source("few", models)
    with pytest.raises(ModelNotPulled):
        torch_source("gone", models)
    with pytest.raises(DataError, match="has 3 tokens; at least 64 are needed"):
        made_of(source, tmp_path / "short", "gptq", text="w1 w2 w3")


def test_pieces_are_taken_from_all_over_a_text() -> None:
    class Words:
        def __call__(self, text: str, **_: object) -> "Words":
            self.input_ids = list(map(int, text.split()))
            return self

    text = " ".join(map(str, range(512 * 100)))
    pieces = pieces_of(Words(), text, most=10)
    assert [piece[0] for piece in pieces] == [5120 * n for n in range(10)]
    assert {len(piece) for piece in pieces} == {512}
    assert [len(piece) for piece in pieces_of(Words(), " ".join(map(str, range(100))))] == [100]
