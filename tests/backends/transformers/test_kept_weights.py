"""A GGUF is dequantized once; what is kept of it is the same model."""

import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gateway.backends.transformers import loading, tried_shapes
from gateway.backends.transformers.invariant_shape import find_shape
from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import BackendError
from gateway.core.kept import WEIGHTS
from gateway.models.environment import nothing_kept
from gateway.models.spec import Dtype
from tests.support.tiny_gguf import drawn, write_gguf


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("GATEWAY_CACHE", "1GB")
    return tmp_path / "kept"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The GGUF files that were dequantized."""
    found: list[Path] = []
    from_files = loading._from_files

    def counted(path: Path, *others: object) -> object:
        found.append(path)
        return from_files(path, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "_from_files", counted)
    return found


def loaded(path: Path, dtype: Dtype = "float32") -> TorchModel:
    return TorchModel(path, dtype=dtype, device="cpu")


def logits(model: TorchModel) -> torch.Tensor:
    model.module.set_attn_implementation("eager")
    with torch.inference_mode():
        made: torch.Tensor = model.module(torch.arange(3, 40)[None]).logits
    return made


def same(a: TorchModel, b: TorchModel) -> None:
    mine, theirs = (each.module.state_dict() for each in (a, b))
    assert mine.keys() == theirs.keys()
    for name, weights in mine.items():
        assert weights.dtype == theirs[name].dtype
        assert torch.equal(weights, theirs[name]), name
    assert a.end_tokens == b.end_tokens
    assert a.context_trained == b.context_trained
    assert torch.equal(logits(a), logits(b))


@pytest.mark.parametrize("tied", [False, True])
def test_the_second_load_is_the_same_model_and_dequantizes_nothing(
    tied: bool, tmp_path: Path, kept: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf", drawn(tied=tied))
    with monkeypatch.context() as changed:
        changed.setenv("GATEWAY_CACHE", "off")
        alone = loaded(path)
    assert not kept.exists()
    first = loaded(path)
    (file,) = kept.iterdir()
    assert file.name.endswith(WEIGHTS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(read) == 2
    second = loaded(path)
    assert len(read) == 2
    same(first, alone)
    same(second, alone)


def test_another_dtype_or_other_weights_are_another_file(
    tmp_path: Path, kept: Path, read: list[Path]
) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    loaded(path)
    loaded(path, "bfloat16")
    (other,) = write_gguf(tmp_path / "n.gguf", drawn(1))
    loaded(other)
    assert (len(read), len(list(kept.iterdir()))) == (3, 3)
    assert loaded(path, "bfloat16").module.dtype == torch.bfloat16
    assert len(read) == 3


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [_flip, lambda file: file.write_bytes(b"x")])
def test_a_damaged_file_is_refused_said_and_made_again(
    damage: Callable[[Path], object],
    tmp_path: Path,
    kept: Path,
    read: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    first = loaded(path)
    (file,) = kept.iterdir()
    damage(file)
    with caplog.at_level(logging.WARNING, "gateway.models"):
        same(loaded(path), first)
    assert f"{file} is not used, and removed" in caplog.text
    assert len(read) == 2
    loaded(path)
    assert len(read) == 2


def test_a_kept_file_that_is_written_into_is_told(tmp_path: Path, kept: Path) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    loaded(path)
    model = loaded(path)
    model.files.check()
    (file,) = kept.iterdir()
    with file.open("ab") as grown:
        grown.write(b"x")
    with pytest.raises(BackendError, match="was written into while its model was loaded"):
        model.files.check()


def test_training_changes_nothing_in_the_file(tmp_path: Path, kept: Path, read: list[Path]) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    loaded(path)
    changed = loaded(path)
    before = logits(changed)
    with torch.no_grad():
        for weights in changed.module.parameters():
            weights.mul_(2)
    assert torch.equal(logits(loaded(path)), before)
    assert len(read) == 1
    assert len(list(kept.iterdir())) == 1


def test_the_shape_of_passes_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    model = loaded(path)
    tried: list[int] = []

    def counted(*given: object) -> object:
        tried.append(1)
        return find_shape(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(tried_shapes, "find_shape", counted)
    found = [tried_shapes.shape_of(model, None, 1, {"weights": "a"}) for _ in range(2)]
    assert found[0] == found[1]
    assert len(tried) == 1
    tried_shapes.shape_of(model, None, 1, {"weights": "b"})
    (tmp_path / "shapes.json").write_text('{"x": ')
    tried_shapes.shape_of(model, None, 1, {"weights": "a"})
    with nothing_kept():
        tried_shapes.shape_of(model, None, 1, {"weights": "a"})
    assert len(tried) == 4
