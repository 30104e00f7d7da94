"""A ladder of the default model: files that are whole or absent, and entries that work."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.core.digests import file_digest
from gateway.core.errors import BackendError, ConfigError, UnknownModel
from gateway.models.environment import digest_memory
from gateway.models.locate import described_digests, locate
from gateway.models.weights import weights_digests
from gateway.quantization.ladder import Ladder, plan
from gateway.quantization.ladder_entries import check_names, write_entries
from gateway.quantization.make import Made, check, check_files, make
from gateway.quantization.names import parse_level
from gateway.quantization.remarks import remarks
from gateway.quantization.source import Given, given
from tests.conftest import spec_and_path
from tests.quantization.conftest import LEVEL


def planned(source: Given, *levels: str) -> Ladder:
    return plan(source, [parse_level(level) for level in levels])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_level_is_made_whole_with_its_digest_recorded(made: Made, ladder: Ladder) -> None:
    folder = made.path.parent
    assert files(folder) == {f"smollm2-135m-{LEVEL}.gguf", "smollm2-135m.ladder.json"}
    assert made.sha256 == file_digest(made.path)
    assert json.loads((folder / "smollm2-135m.ladder.json").read_text())[LEVEL]["sha256"]
    assert not made.kept
    assert given(str(made.path), load_models()).header.tensors != ladder.contents.tensors
    assert made.path.stat().st_size > made.rung.contents.total.size


def test_what_is_there_and_whole_is_not_made_again(made: Made, ladder: Ladder) -> None:
    before = made.path.stat().st_mtime_ns
    (again,) = make(ladder, made.path.parent)
    assert again == replace(made, kept=True)
    assert made.path.stat().st_mtime_ns == before


def test_each_tensor_is_announced_and_a_damaged_file_is_made_again(
    tiny: Given, tmp_path: Path
) -> None:
    ladder, out = planned(tiny, "Q8_0"), tmp_path / "out"
    begun: list[tuple[str, int]] = []
    seen: list[None] = []

    def begin(name: str, tensors: int) -> Callable[[], None]:
        begun.append((name, tensors))
        return lambda: seen.append(None)

    (first,) = make(ladder, out, begin=begin)
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-32])
    (second,) = make(ladder, out, begin=begin)
    assert not second.kept
    assert second.path.read_bytes() == whole
    assert begun == [("Q8_0", len(tiny.header.tensors))] * 2
    assert len(seen) == 2 * len(tiny.header.tensors)


def test_another_source_under_the_same_name_is_made_again(tiny: Given, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (first,) = make(planned(tiny, "Q8_0"), out)
    (other,) = make(planned(tiny, "Q4_0"), tmp_path / "other")
    other.path.replace(tiny.path)
    changed = given(str(tiny.path), load_models())
    (second,) = make(planned(changed, "Q8_0"), out)
    assert not second.kept
    assert second.sha256 != first.sha256


def test_interrupted_at_any_tensor_it_leaves_nothing(tiny: Given, tmp_path: Path) -> None:
    ladder, out = planned(tiny, "Q8_0", "Q4_0"), tmp_path / "out"
    count = [0]

    def begin(name: str, tensors: int) -> Callable[[], None]:
        def on_tensor() -> None:
            count[0] += 1
            if count[0] == tensors + 20:
                raise KeyboardInterrupt

        return on_tensor

    with pytest.raises(KeyboardInterrupt):
        list(make(ladder, out, begin=begin))
    assert files(out) == {"tiny-Q8_0.gguf", "tiny.ladder.json"}
    kept = [made.kept for made in make(ladder, out)]
    assert kept == [True, False]


def test_a_source_that_can_not_be_read_to_its_end_leaves_nothing(
    tiny: Given, tmp_path: Path
) -> None:
    ladder, out = planned(tiny, "Q8_0"), tmp_path / "out"
    whole = tiny.path.read_bytes()
    tiny.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((BackendError, ValueError)):
        list(make(ladder, out))
    assert files(out) <= {"tiny.ladder.json"}


def test_a_file_of_somebody_else_is_not_overwritten(tiny: Given, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "tiny-Q8_0.gguf").write_text("mine")
    with pytest.raises(ConfigError, match="is none of this ladder"):
        check_files(tiny, [parse_level("Q8_0")], out)


def test_what_can_not_be_made_is_said_before_anything_is(tiny: Given, tmp_path: Path) -> None:
    needy = planned(tiny, "Q4_0", "IQ2_XXS")
    with pytest.raises(ConfigError, match=r"IQ2_XXS: .* only with an importance"):
        check(needy, tmp_path, imatrix=False)
    check(needy, tmp_path, imatrix=True)
    with pytest.raises(ConfigError, match="named by its maker"):
        planned(tiny, "UD-Q4_K_XL")
    with pytest.raises(ConfigError, match="twice"):
        planned(tiny, "Q4_K", "Q4_K_M")


def test_a_quantized_source_is_told_and_which_levels_it_flatters(smollm2_file: Given) -> None:
    ladder = planned(smollm2_file, "Q8_0", "Q4_K_M", "Q4_1", "Q4_0")
    unchanged = {rung.level.name: rung.unchanged for rung in ladder.rungs}
    assert unchanged["Q4_1"] == 1.0
    assert all(0.2 < share < 0.25 for name, share in unchanged.items() if name != "Q4_1")
    said = "\n".join(remarks(ladder))
    assert "the source is Q4_1 79%, Q8_0 21%" in said
    assert "byte for byte the same: 210 from Q4_1 and 1 from Q8_0 of 272 tensors" in said
    assert "Q4_1: 100% of its quantized weights are the source's own" in said
    assert "Q8_0, Q4_K_M: more bits than the source's 5.74 a weight, and no better" in said
    assert "Q4_K_M takes no less room than Q4_1" in said


def test_a_float_source_that_never_was_quantized_flatters_nothing(tiny: Given) -> None:
    ladder = planned(tiny, "Q8_0", "Q4_1")
    assert [rung.unchanged for rung in ladder.rungs] == [0.0, 0.0]
    assert list(remarks(ladder)) == []


def test_a_dequantized_source_is_found_out(smollm2_file: Given, tmp_path: Path) -> None:
    """SmolLM2's Q4_1 stored as F16: its Q4_1 level is the same model again, byte for byte."""
    (floats,) = make(planned(smollm2_file, "F16"), tmp_path)
    source = given(str(floats.path), load_models())
    ladder = planned(source, "Q4_1")
    assert ladder.name == "smollm2-135m"
    assert ladder.rungs[0].unchanged == 1.0
    said = "\n".join(remarks(ladder))
    assert "stored as F16" in said
    assert "210 from Q4_1 and 1 from Q8_0 of 272 tensors come back" in said


def test_quantized_to_what_it_was_it_is_the_same_model(smollm2_file: Given, tmp_path: Path) -> None:
    (same,) = make(planned(smollm2_file, "Q4_1"), tmp_path)
    digests = [weights_digests(p, digest_memory()) for p in (smollm2_file.path, same.path)]
    assert digests[0].contents == digests[1].contents


def test_entries_are_the_source_s_but_for_the_weights(
    smollm2_file: Given, made: Made, ladder: Ladder, tmp_path: Path
) -> None:
    file, out = tmp_path / "models.toml", made.path.parent
    spec = replace(
        smollm2_file.spec, chat_template="{{ messages[0].content }}", context_length=1024
    )
    own = replace(ladder, source=replace(smollm2_file, spec=spec))
    levels = [rung.level for rung in own.rungs]
    check_names(own.source, levels, file, out)
    assert write_entries(own, [made], file, out) == ("smollm2-135m-q4_k_m",)
    check_names(own.source, levels, file, out)  # its own entry is not in its way
    entry = load_models(file).get("smollm2-135m-q4_k_m")
    assert locate(entry) == made.path.resolve()
    assert described_digests(entry, made.path).file == made.sha256
    assert (entry.quantization, entry.license) == (LEVEL, "Apache-2.0")
    assert (entry.context_length, entry.chat_template) == (1024, spec.chat_template)
    assert "from dequantized Q4_1 weights" in entry.description
    assert entry.parallel == smollm2_file.spec.parallel


def test_a_name_that_is_taken_is_said(ladder: Ladder, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    levels = [rung.level for rung in ladder.rungs]
    file.write_text('[models.smollm2-135m-q4_k_m]\nsource = { path = "else.gguf" }\n')
    with pytest.raises(ConfigError, match="is another entry"):
        check_names(ladder.source, levels, file, tmp_path / "out")
    spaced = replace(ladder.source, spec=replace(ladder.source.spec, name="two words"))
    with pytest.raises(ConfigError, match="cannot name an entry"):
        check_names(spaced, levels, file, tmp_path / "out")


def test_what_is_no_whole_model_is_refused(tmp_path: Path) -> None:
    models = load_models()
    with pytest.raises(UnknownModel, match="neither an entry nor a file"):
        given("nothing", models)
    with pytest.raises(ConfigError, match="run by ollama"):
        given("ollama:x", models.serving(["ollama:x"]))
    with pytest.raises(ConfigError, match="folder of Hugging Face weights") as error:
        given(str(tmp_path), models)
    assert "convert_hf_to_gguf.py" in error.value.hint


def test_an_entry_that_torch_runs_is_refused_with_its_file() -> None:
    _, path = spec_and_path("smollm2-135m")
    with pytest.raises(ConfigError, match="run by transformers") as error:
        given("smollm2-135m-torch", load_models())
    assert str(path) in error.value.hint


def test_a_level_is_never_written_over_its_own_source(tiny: Given, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (made,) = make(planned(tiny, "Q8_0"), out)
    source = given(str(made.path), load_models())
    with pytest.raises(ConfigError, match="is the source itself"):
        check_files(source, [parse_level("Q8_0")], out)
