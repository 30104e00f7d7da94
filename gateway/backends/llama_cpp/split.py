"""Q4_1 as Q4_0 and what is left: the same weights in a form that may have faster kernels.

A block of Q4_1 says w = d q + m for its 32 weights, and one of Q4_0 says w = d (q - 8). So

    d q + m  =  d (q - 8)  +  (m + 8 d)

The first is a block of Q4_0 with the same scale and the same numbers: nothing is quantized again.
The second is one constant a block. Its product with the inputs is that of the constants with the
sum of each block's inputs: a LoRA of rank width / 32, whose first matrix has ones where a block
lies. Its rank is filled up with zeros to what the library's product of F32 takes in one step.

llama.cpp has a repacked kernel of Q4_0 on most processors and none of Q4_1. What the LoRA costs is
less than what that gains; `gateway certify --fastest` measures both.

Both files are written once and kept (`gateway.core.kept`) with their digests; what is not as it
was written is made again. So no answer depends on whether they are kept.
"""

import json
import logging
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.digests import canonical_json, digest_json, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.files import stamps
from gateway.core.kept import WEIGHTS, KeptFiles
from gateway.models.choices import SPLIT_FORM
from gateway.models.environment import kept_files
from gateway.models.gguf import Tensor, read_header
from gateway.models.gguf_parts import parts_of

logger = logging.getLogger("gateway.models")

Bytes = NDArray[np.uint8]

_PARTS = ("q4_0", "minimums", "seal")
_OFTEN_S = 3600.0
"""A use is noted where the last one is so many seconds ago."""
_BLOCK = 32
_OF_Q4_1, _OF_Q4_0 = 20, 18
"""Bytes of a block: scale and minimum, or a scale, as F16, and 16 bytes of numbers."""
_STEP = 64
"""Numbers that `ggml_vec_dot_f32` takes at once with AVX-512, less with other processors. What is
left of a row it takes one by one: a rank of 18 is 1.3 times slower than one of 64."""
_ONE = 0x3F80
"""1 as BF16."""
SUMS = ".lora_a"
"""How the name of the matrix ends that sums the inputs of another one's blocks."""
_OF_MATRICES = ("blk.", "output.")
"""How names of matrices begin that a LoRA may change; the embedding is looked up instead."""


@contextmanager
def split_files(path: Path, digest: str) -> Iterator[tuple[Path, Path]]:
    """The weights in which Q4_1 is Q4_0, and the LoRA with the rest; made where they are not kept.

    They are there while the block runs. What is mapped stays readable behind it.

    Args:
        digest: of the file. One of the same contents may have another chat template, which the
            weights bring too.

    Raises:
        ModelLoadError: the file has no matrices of Q4_1, is one of several, or its split form
            cannot be written.
    """
    if len(parts_of(path)) > 1:
        raise ModelLoadError(f"{path}: split weights are made of a model in one file")
    if kept := _kept(path, digest_json([digest, SPLIT_FORM])):
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="split-", ignore_cleanup_errors=True) as folder:
        yield _made_once(path, Path(folder))


def _kept(path: Path, name: str) -> tuple[Path, Path] | None:
    """None: they are not kept, or cannot be."""
    files = kept_files()
    if files is None or not files.takes(path.stat().st_size):
        return None
    weights, minimums, seal = (files.folder / f"{name}-{part}{WEIGHTS}" for part in _PARTS)
    made = weights, minimums
    try:
        if not _is_sealed(files, made, seal):
            _make(files, path, made, seal)
    except OSError as why:
        # It costs time and nothing else.
        logger.warning("the split form of %s is not kept for the next start: %s", path, why)
        return None
    # One that is too large for the cache together with the other is gone again.
    return made if weights.is_file() and minimums.is_file() else None


def _make(files: KeptFiles, path: Path, made: tuple[Path, Path], seal: Path) -> None:
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = [files.unfinished(each.name) for each in made]
    try:
        _write(path, *unfinished)
        digests = [file_digest(each) for each in unfinished]
        for written, target in zip(unfinished, made, strict=True):
            _to_disk(written)
            os.replace(written, target)
    finally:
        for each in unfinished:
            each.unlink(missing_ok=True)
    if not _seal(files, made, seal, digests):
        raise OSError(f"somebody wrote into {made[0]} or what belongs to it")


def _to_disk(path: Path) -> None:
    """What a lost current would leave of a file is else zeros of the right number."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


# The seal: what both files hold, and what they were when that was last seen.


def _seal(files: KeptFiles, made: tuple[Path, Path], seal: Path, digests: list[str]) -> bool:
    """Whether both files hold that. The stamp is of before they are read, so that whoever writes
    into them meanwhile changes it."""
    said = {"digests": digests, "stamp": stamps(made)}
    if [file_digest(each) for each in made] != digests:
        return False
    with suppress(OSError):  # Then they are read whole the next time too.
        files.write(seal.name, [canonical_json(said).encode()])
    return True


def _is_sealed(files: KeptFiles, made: tuple[Path, Path], seal: Path) -> bool:
    """Whether both files are there and hold what was written. They are read whole only where
    somebody touched them since, and once in a while."""
    try:
        said = json.loads(seal.read_bytes())
        before, wanted = str(said["stamp"]), list(said["digests"])
        is_as_before = stamps(made) == before
    except (OSError, ValueError, LookupError, TypeError):
        return False
    if is_as_before and time.time() - _used_last(made) < _OFTEN_S:
        return True
    for each in made:
        files.used(each)
    if not (whole := _seal(files, made, seal, wanted)):
        logger.warning("%s or what belongs to it is damaged; it is made again", made[0])
    return whole


def _used_last(made: tuple[Path, Path]) -> float:
    """To note a use changes a file's stamp, so that it is noted now and then."""
    return min(max(told.st_atime, told.st_mtime) for told in map(Path.stat, made))


# What is written.


def _made_once(path: Path, folder: Path) -> tuple[Path, Path]:
    made = folder / "weights", folder / "minimums"
    try:
        _write(path, *made)
    except OSError as exc:
        raise ModelLoadError(f"{path}: its split form cannot be written: {exc.strerror}") from exc
    return made


def _write(path: Path, weights: Path, minimums: Path) -> None:
    """Raise OSError where they cannot be written."""
    from gateway.models.gguf_reader import RawReader

    reader = RawReader(path)
    if not any(map(_is_split, reader.tensors)):
        raise ModelLoadError(
            f"{path}: it has no matrices of Q4_1, which alone are split",
            hint="leave split out of its entry",
        )
    _write_weights(reader, weights)
    _write_minimums(reader, minimums)


def split_names(path: Path) -> list[str]:
    """Names of the matrices of a file that are split.

    Raises:
        ModelLoadError: it cannot be read.
    """
    tensors = read_header(path).tensors
    return [each.name for each in tensors if _takes(each.name, each.type, len(each.shape))]


def more_bytes(tensors: Iterable[Tensor]) -> int:
    """How many bytes more split weights take than those of a file."""
    shapes = [each.shape for each in tensors if _takes(each.name, each.type, len(each.shape))]
    return sum(_more_bytes(*shape) for shape in shapes)


def _more_bytes(width: int, rows: int) -> int:
    blocks = width // _BLOCK
    sums, constants = np.dtype(np.uint16), np.dtype(np.float32)
    beside = _rank(blocks) * (width * sums.itemsize + rows * constants.itemsize)
    return beside - rows * blocks * (_OF_Q4_1 - _OF_Q4_0)


def _is_split(tensor: Any) -> bool:
    return _takes(str(tensor.name), tensor.tensor_type.name, len(tensor.shape))


def _takes(name: str, kind: str, dimensions: int) -> bool:
    return kind == "Q4_1" and dimensions == 2 and name.startswith(_OF_MATRICES)


def _write_weights(reader: Any, target: Path) -> None:
    """The same file with other types of some tensors, and so with other places of all."""
    from gguf import GGMLQuantizationType

    begin = bytearray(reader.data[: reader.data_offset].tobytes())
    at, step = 0, int(reader.alignment)
    with target.open("wb") as file:
        file.seek(len(begin))
        for tensor in reader.tensors:
            split = _is_split(tensor)
            kind = GGMLQuantizationType.Q4_0 if split else tensor.tensor_type
            body = _without_minimums(tensor) if split else tensor.data
            struct.pack_into("<IQ", begin, _place_of_type(tensor), int(kind), at)
            file.write(body.tobytes())
            file.write(bytes(-body.nbytes % step))
            at += body.nbytes + -body.nbytes % step
        file.seek(0)
        file.write(begin)


def _place_of_type(tensor: Any) -> int:
    """Where in the file a tensor's type stands, with the place of its data behind it."""
    name_length, name, count, dimensions, *_ = tensor.field.parts
    before = sum(int(part.nbytes) for part in (name_length, name, count, dimensions))
    return int(tensor.field.offset) + before


def _blocks(tensor: Any) -> Bytes:
    """Shape (blocks, bytes)."""
    return np.asarray(tensor.data).reshape(-1).view(np.uint8).reshape(-1, _OF_Q4_1)


def _without_minimums(tensor: Any) -> Bytes:
    blocks = _blocks(tensor)
    return np.concatenate([blocks[:, :2], blocks[:, 4:]], axis=1)


def _constants(tensor: Any) -> NDArray[np.float32]:
    """m + 8 d of each block, shape (rows, rank)."""
    width, _ = map(int, tensor.shape)
    both = _blocks(tensor)[:, :4].copy().view(np.float16).astype(np.float32)
    made = both[:, 1] + np.float32(8) * both[:, 0]
    count = width // _BLOCK
    return np.pad(made.reshape(-1, count), ((0, 0), (0, _rank(count) - count)))


def _sums(width: int) -> Bytes:
    """The matrix that sums the inputs of each block, as BF16: ones there, exactly, and zeros.

    Its product rounds each input to 8 bits, and adds in F32. It takes half the time of that of
    Q8_0, and less of that of F32 or F16.
    """
    count = width // _BLOCK
    made = np.zeros((_rank(count), count, _BLOCK), np.uint16)
    own = np.arange(count)
    made[own, own] = _ONE
    return made.reshape(len(made), -1).view(np.uint8)


def _rank(blocks: int) -> int:
    return -(-blocks // _STEP) * _STEP


def _write_minimums(reader: Any, target: Path) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter

    architecture = str(reader.fields["general.architecture"].contents())
    writer = GGUFWriter(target, architecture)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)  # none: the product is taken as it is
    for tensor in filter(_is_split, reader.tensors):
        sums = _sums(int(tensor.shape[0]))
        writer.add_tensor(f"{tensor.name}{SUMS}", sums, raw_dtype=GGMLQuantizationType.BF16)
        writer.add_tensor(f"{tensor.name}.lora_b", _constants(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
