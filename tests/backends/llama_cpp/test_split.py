"""Q4_1 computed split: the same weights, found again to the last bit, and the same numbers."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import quants
from numpy.typing import NDArray

from gateway.backends.llama_cpp import split as split_module
from gateway.backends.llama_cpp import trial
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.plans import SEQUENCES, Reading, run_plans
from gateway.backends.llama_cpp.probing import NotRun, Probed, build_here, probing
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.split import more_bytes, split_files
from gateway.core.errors import BackendError, ConfigError, ModelLoadError
from gateway.core.types import GenerationRequest, Message
from gateway.engine.llama.quantizer import quantize
from gateway.models.choices import (
    SPLIT_FORM,
    USUAL,
    Choice,
    Settings,
    changed_in,
    choice_for,
    save_choice,
)
from gateway.models.gguf import read_header
from gateway.models.gguf_reader import PlainReader
from gateway.models.spec import PathSource
from gateway.models.weights import weights_digests
from gateway.quantization.names import parse_level
from tests.support.architectures import write
from tests.support.tiny_gguf import write_gguf

CONTENTS = "c" * 64
SPLIT = Settings(split=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of drawn weights in Q4_1."""
    return _quantized(tmp_path_factory.mktemp("tiny"), "Q4_1")


def _quantized(folder: Path, kind: str, source: Path | None = None) -> Path:
    source = source or write_gguf(folder / "f32.gguf")[0]
    made, level = folder / f"{kind}.gguf", parse_level(kind).number or 0
    quantize(source, made, level, importance={}, threads=1, on_tensor=lambda _: None)
    return made


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("GATEWAY_CACHE", "8GB")
    return tmp_path / "kept"


def matrices(path: Path) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    for tensor in PlainReader(path).tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        yield str(tensor.name), tensor.tensor_type.name, np.asarray(values, np.float32)


def test_both_parts_together_are_the_weights(tiny: Path) -> None:
    with split_files(tiny, CONTENTS) as (weights, minimums):
        lora = {name: values for name, _, values in matrices(minimums)}
        rest = {name: (kind, values) for name, kind, values in matrices(weights)}
    split = 0
    for name, kind, values in matrices(tiny):
        now, part = rest[name]
        if f"{name}.lora_a" in lora:
            split += 1
            assert (kind, now) == ("Q4_1", "Q4_0")
            part = part + lora[f"{name}.lora_b"] @ lora[f"{name}.lora_a"]
            assert np.abs(part - values).max() <= 1e-6 * np.abs(values).max(), name
        else:
            assert now == kind
            assert np.array_equal(part, values), name
    assert split > 1


def test_what_was_made_is_kept_and_made_once(tiny: Path, kept: Path) -> None:
    with split_files(tiny, CONTENTS) as first:
        stamps = [path.stat().st_mtime_ns for path in first]
    with split_files(tiny, CONTENTS) as again:
        assert again == first
        assert [path.stat().st_mtime_ns for path in again] == stamps
    assert {path.parent for path in first} == {kept}
    said = [path.read_bytes() for path in first]
    first[0].unlink()
    with split_files(tiny, CONTENTS) as once_more:
        assert [path.read_bytes() for path in once_more] == said
    names = {path.name.rpartition("-")[2] for path in kept.iterdir()}
    assert names == {"q4_0.weights", "minimums.weights", "seal.weights"}, "nothing unfinished"


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("damage", ["a bit", "the end"])
def test_what_was_damaged_is_made_again(tiny: Path, kept: Path, part: int, damage: str) -> None:
    with split_files(tiny, CONTENTS) as made:
        said = [path.read_bytes() for path in made]
    whole, times = said[part], made[part].stat()
    made[part].write_bytes(
        bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]]) if damage == "a bit" else whole[:-64]
    )
    os.utime(made[part], ns=(times.st_atime_ns, times.st_mtime_ns))
    with split_files(tiny, CONTENTS) as again:
        assert [path.read_bytes() for path in again] == said


def test_a_use_is_noted_and_what_is_whole_stays(tiny: Path, kept: Path) -> None:
    with split_files(tiny, CONTENTS) as made:
        stamps = [path.stat() for path in made]
    for path in made:
        os.utime(path, ns=(1, 1))
    with split_files(tiny, CONTENTS) as again:
        after = [path.stat() for path in again]
    assert [each.st_ino for each in after] == [each.st_ino for each in stamps], "not made again"
    assert min(each.st_atime for each in after) > 1.0


@pytest.mark.parametrize("seal", ["", "{", "[]", '{"digests": 1, "stamp": ""}'])
def test_what_no_seal_speaks_for_is_made_again(tiny: Path, kept: Path, seal: str) -> None:
    with split_files(tiny, CONTENTS) as made:
        said = made[0].read_bytes()
    made[0].write_bytes(b"another's")
    next(kept.glob("*-seal*")).write_text(seal)
    with split_files(tiny, CONTENTS) as again:
        assert again[0].read_bytes() == said


def test_what_cannot_be_kept_is_made_for_one_load(
    tiny: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.write_text("no folder")
    with split_files(tiny, CONTENTS) as made:
        assert all(path.is_file() and kept not in path.parents for path in made)
    kept.unlink()
    most = 2 * tiny.stat().st_size
    monkeypatch.setenv("GATEWAY_CACHE", f"{most}B")
    with split_files(tiny, CONTENTS) as made:
        assert all(path.is_file() for path in made), "one of the two was too much for the cache"


def test_what_somebody_writes_into_meanwhile_is_not_kept(
    tiny: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_module, "_to_disk", lambda path: path.write_bytes(b"another's"))
    with split_files(tiny, CONTENTS) as made:
        assert kept not in {path.parent for path in made}
    assert not list(kept.glob("*-seal*"))


def test_a_file_with_another_template_has_its_own(tiny: Path, tmp_path: Path, kept: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny.read_bytes().replace(b"message", b"massage"))
    memory = tmp_path / "digests.json"
    first, second = (weights_digests(path, memory).contents for path in (tiny, other))
    assert first == second
    for path in (tiny, other):
        backend = LlamaCppBackend(_spec(path, split=True), path)
        with closing(GgufModel(path)) as whole:
            assert backend._model.chat_template == whole.chat_template
        backend.release()
    assert len(list(kept.iterdir())) == 6


def test_what_has_no_q4_1_is_refused(tmp_path: Path) -> None:
    file = _quantized(tmp_path, "Q8_0")
    with pytest.raises(ModelLoadError, match="no matrices of Q4_1"):
        GgufModel(file, split=CONTENTS)


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    file = _quantized(tmp_path, "Q4_1", write("bert-mean", tmp_path))
    with pytest.raises(ModelLoadError, match="for models that write"):
        GgufModel(file, split=CONTENTS)


def test_split_weights_give_the_same_numbers_and_change_no_byte(tiny: Path) -> None:
    with closing(GgufModel(tiny)) as whole, closing(GgufModel(tiny, split=CONTENTS)) as split:
        trial.refuse_other_numbers(split, whole)
        assert split.path == tiny
        told = whole.weights_bytes + more_bytes(read_header(tiny).tensors)
        assert split.weights_bytes == pytest.approx(told, rel=0.02)
        context = Context(
            split,
            sequences=SEQUENCES,
            length=128,
            threads=1,
            batch_tokens=16,
            attention="plain",
        )
        with closing(context):
            reading = Reading(context, split.vocab_size, lambda _: None)
            assert changed_in(list(run_plans(reading, 16, None))) == ""
        split.minimums = None
        with pytest.raises(BackendError, match=r"lose the minimums of blk\.0\."):
            trial.refuse_other_numbers(split, whole)


def test_an_architecture_whose_layers_take_no_lora_is_refused(tmp_path: Path) -> None:
    """Its logits differ by less than those of others do by rounding."""
    file = _quantized(tmp_path, "Q4_1", write("minicpm3", tmp_path))
    with (
        closing(GgufModel(file)) as whole,
        closing(GgufModel(file, split=CONTENTS)) as split,
        pytest.raises(BackendError, match=r"lose the minimums of .*attn_kv_b\.weight"),
    ):
        trial.refuse_other_numbers(split, whole)
    with pytest.raises(BackendError, match="lose the minimums"):  # Also where no file is tried.
        LlamaCppBackend(_spec(file, split=True), file)


def _spec(path: Path, **changes: object) -> LlamaCppSpec:
    return LlamaCppSpec.like(
        LlamaCppSpec("tiny", PathSource(path), chat_template="plain"), **changes
    )


def test_an_entry_answers_with_split_weights_and_says_so(tiny: Path) -> None:
    (scores, identity), (usual, other) = (
        asyncio.run(_answered(_spec(tiny, split=split))) for split in (True, False)
    )
    assert scores == pytest.approx(usual, abs=0.2)
    assert scores != usual
    assert "q4_1=split" in identity["settings"]
    assert "q4_1" not in other["settings"], "the identity of before"
    assert identity["weights"] == other["weights"]


async def _answered(spec: LlamaCppSpec) -> tuple[tuple[float, ...], Mapping[str, str]]:
    assert isinstance(spec.source, PathSource)
    backend = LlamaCppBackend(spec, spec.source.path)
    try:
        request = GenerationRequest("tiny", (Message("user", "a b c"),))
        scores = await backend.score_labels(request, ("a", "b"))
        (vector,) = (await backend.embed(["a b"])).vectors
        return (*scores.logprobs, *vector), backend.identity
    finally:
        await backend.close()


def test_an_adapter_takes_the_place_of_split_weights(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="split: not with an adapter"):
        _spec(tiny, split=True, adapter=tmp_path / "adapter.gguf")
    file = weights_digests(tiny, tmp_path / "digests.json").file
    made = Choice(
        *("m", file, "decode", "here", build_here(), 128, "", SPLIT, "d" * 64, ()),
        split_form=SPLIT_FORM,
    )
    monkeypatch.setattr("gateway.models.choices.processor", lambda: "here")
    save_choice(made)
    assert choice_for(file, "decode", build_here(), 128) == made
    assert choice_for(file, "decode", build_here(), 128, adapted=True) is None


def test_a_prober_runs_split_candidates_where_there_is_no_adapter(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    of = Probed(tiny, "decode", rows=8, threads=1, length=128)
    with probing(of) as prober:
        assert prober.speed(SPLIT).prefill > 0
    with probing(replace(of, adapter=tmp_path / "adapter.gguf")) as prober:
        assert prober.speed(USUAL).prefill > 0
        with pytest.raises(NotRun, match="take the place of the entry's adapter"):
            prober.speed(SPLIT)
