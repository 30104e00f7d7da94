"""Making a level on torch: a folder that is whole or absent, and made once.

MODEL-LEVEL/                    as transformers and GPTQModel read it
MODEL-LEVEL/quantized.json      what it was made of, and how long it took
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.backends.transformers import library
from gateway.core.digests import digest_json, digest_text
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.sizes import available_bytes, readable
from gateway.models.gguf_parts import files_of, read_model
from gateway.models.spec import Dtype
from gateway.quantization.torch.levels import CALIBRATED, TorchLevel
from gateway.quantization.torch.source import TorchSource

if TYPE_CHECKING:
    import torch

_RECORD = "quantized.json"
_CONFIG: Mapping[str, Mapping[str, object]] = {
    "gptq": {
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "desc_act": False,
        "sym": True,
        "lm_head": False,
        "pack_dtype": "int32",
    },
    "awq": {"quant_method": "awq", "version": "gemm", "zero_point": True},
}
"""What config.json says of each, besides bits, groups and the layers that are not packed."""
Begin = Callable[[str, int], Callable[[], None]]
"""Told of a level and the steps that it takes; what it answers is called after each."""


@dataclass(frozen=True, slots=True)
class MadeFolder:
    """A level that is there as a folder."""

    level: TorchLevel
    entry: str
    path: Path
    seconds: float
    """That making it took, now or when it was made."""
    kept: bool
    """It was there already, and made of the same."""
    group: int
    """Inputs that share a step; 0 where the method has groups of its own."""
    left: tuple[str, ...]
    """Linear layers that stay as they are, because their sizes are no multiples of 32."""


def folder_of(source: TorchSource, level: TorchLevel, out: Path) -> Path:
    """Where a level lies."""
    return out / entry_of(source, level).replace(":", "_")


def entry_of(source: TorchSource, level: TorchLevel) -> str:
    """What its entry is called."""
    return f"{source.name}-{level.name}"


def check(
    source: TorchSource, levels: Sequence[TorchLevel], out: Path, *, calibrated: bool
) -> None:
    """Whether the levels can be made, before minutes are spent on it.

    Raises:
        ConfigError: there is no calibration text, or a folder is there and is none of ours.
    """
    for level in levels:
        if level.method in CALIBRATED and not calibrated:
            raise ConfigError(
                f"{level.method} reads texts as it rounds, and there are none",
                hint="--calibration FILE: a text or table of the kind that the model is for",
            )
        path = folder_of(source, level, out)
        if path.resolve() == source.path.resolve():
            raise ConfigError(f"{path} is the source itself", hint="choose another --out")
        if path.exists() and _recorded(path) is None:
            raise ConfigError(
                f"{path} is there, and was not made by this command", hint="move it or choose --out"
            )


def make(
    source: TorchSource,
    levels: Sequence[TorchLevel],
    out: Path,
    *,
    calibration: str = "",
    threads: int = 0,
    begin: Begin = lambda *_: lambda: None,
) -> Iterator[MadeFolder]:
    """The folders, one after the other. Each gets its name when it is whole.

    Args:
        calibration: the text that GPTQ and AWQ read.
        threads: 0: all usable cores.

    Raises:
        ModelLoadError: the source cannot be read, or does not fit into memory.
        DataError: the calibration text is too short.
        Unsupported: the model's layers cannot be quantized so.
    """
    out.mkdir(parents=True, exist_ok=True)
    for level in levels:
        path, key = folder_of(source, level, out), _key(source, level, calibration)
        known = _recorded(path)
        if kept := known is not None and known["key"] == key:
            told = known
        else:
            told = _make(source, level, path, key, calibration, threads, begin)
        yield MadeFolder(
            level,
            entry_of(source, level),
            path,
            told["seconds"],
            kept,
            told["group"],
            tuple(told["left"]),
        )


def _make(
    source: TorchSource,
    level: TorchLevel,
    path: Path,
    key: str,
    calibration: str,
    threads: int,
    begin: Begin,
) -> dict[str, Any]:
    torch, _ = library.load()
    begun = time.perf_counter()
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".quantize-") as scratch:
        made = Path(scratch) / "made"
        try:
            torch.set_num_threads(threads or before)
            with library.repeatable():
                if level.method in CALIBRATED:
                    told = _round(source, level, made, calibration, begin)
                else:
                    told = _pack(source, level, made, begin)
        finally:
            torch.set_num_threads(before)
        told |= {"key": key, "seconds": time.perf_counter() - begun}
        (made / _RECORD).write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
        if path.is_dir():
            shutil.rmtree(path)
        made.rename(path)
    return told


def _round(
    source: TorchSource, level: TorchLevel, made: Path, calibration: str, begin: Begin
) -> dict[str, Any]:
    """By GPTQ or AWQ."""
    from gateway.quantization.torch.calibration import pieces_of
    from gateway.quantization.torch.rounding import fitting_group, packed_layers

    module, tokenizer = _load(source, "float32"), _tokenizer(source)
    group = fitting_group(module, level)
    pieces = pieces_of(tokenizer, calibration)
    done = begin(level.name, len(module.get_decoder().layers))
    packed: dict[str, torch.Tensor] = {}
    left: list[str] = []
    for name, tensors in packed_layers(module, level, group, pieces, done):
        if tensors is None:
            left.append(name)
        else:
            packed |= {f"{name}.{part}": value for part, value in tensors.items()}
    said: dict[str, object] = {**_CONFIG[level.method], "bits": level.bits, "group_size": group}
    if left:
        said["modules_to_not_convert"] = left
    _save(module, tokenizer, made, packed, said, _kept_dtype(source))
    return {"group": group, "left": left}


def _pack(source: TorchSource, level: TorchLevel, made: Path, begin: Begin) -> dict[str, Any]:
    """By bitsandbytes, which packs as it reads a folder."""
    from gateway.backends.transformers.loading import load_module

    assert level.method in ("nf4", "int8")
    done, tokenizer, dtype = begin(level.name, 2), _tokenizer(source), _kept_dtype(source)
    folder = source.path
    if source.is_gguf:
        folder = made.with_name("whole")
        _save(_load(source, dtype), tokenizer, folder, {}, {}, dtype)
    done()
    module = load_module(folder, dtype=dtype, device="cpu", quantize=level.method)
    module.save_pretrained(made)
    tokenizer.save_pretrained(made)
    done()
    return {"group": 0, "left": []}


def _load(source: TorchSource, dtype: Dtype) -> Any:
    """The whole model on the processor, where GPTQ and AWQ compute."""
    from gateway.backends.transformers.loading import load_module
    from gateway.engine.llama.tokenizer_export import end_tokens_of

    size = sum(p.stat().st_size for p in _weights(source.path))
    if size > (free := available_bytes()):
        raise ModelLoadError(
            f"{source.path}: its weights take {readable(size)} and {readable(free)} are free"
        )
    module = load_module(source.path, dtype=dtype, device="cpu", quantize="")
    module.requires_grad_(False)
    if source.is_gguf:
        module.generation_config.eos_token_id = end_tokens_of(source.path)
    return module


def _weights(path: Path) -> Sequence[Path]:
    return list(path.glob("*.safetensors")) if path.is_dir() else files_of(path)


def _save(
    module: Any,
    tokenizer: Any,
    folder: Path,
    packed: "Mapping[str, torch.Tensor]",
    said: Mapping[str, object],
    dtype: Dtype,
) -> None:
    """The model with some of its matrices packed, the rest in `dtype`."""
    torch, _ = library.load()
    wide, whole = getattr(torch, dtype), {f"{n.rpartition('.')[0]}.weight" for n in packed}
    held = {name: value for name, value in module.state_dict().items() if name not in whole}
    rest = {n: v.to(wide) if v.is_floating_point() else v for n, v in held.items()}
    if module.config.tie_word_embeddings:
        rest.pop("lm_head.weight", None)
    module.config.dtype = wide
    if said:
        module.config.quantization_config = dict(said)
    module.save_pretrained(folder, state_dict={**rest, **packed})
    tokenizer.save_pretrained(folder)


def _kept_dtype(source: TorchSource) -> Dtype:
    """Of what is not packed: the source's own 16 bits, else float16."""
    if source.is_gguf:
        kinds = {tensor.type for tensor in read_model(source.path).tensors}
        return "bfloat16" if "BF16" in kinds else "float16"
    config = json.loads((source.path / "config.json").read_text(encoding="utf-8"))
    return (
        "bfloat16" if "bfloat16" in (config.get("dtype"), config.get("torch_dtype")) else "float16"
    )


def _tokenizer(source: TorchSource) -> Any:
    if source.is_gguf:
        from gateway.engine.llama.tokenizer_export import tokenizer_of

        return tokenizer_of(source.path)[0]
    try:
        return library.load()[1].AutoTokenizer.from_pretrained(
            source.path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as exc:
        raise ModelLoadError(f"{source.path}: no tokenizer: {exc}") from exc


def _key(source: TorchSource, level: TorchLevel, calibration: str) -> str:
    """What a folder is made of and by; another key is another folder."""
    calibrated = level.method in CALIBRATED
    packages = ("torch", "transformers") if calibrated else ("transformers", "bitsandbytes")
    return digest_json(
        {
            "source": source.digest(),
            "level": asdict(level),
            "calibration": digest_text(calibration) if calibrated else "",
            "versions": {name: version(name) for name in packages},
        }
    )


def _recorded(path: Path) -> dict[str, Any] | None:
    """What a folder was made of; None where it is none of ours."""
    try:
        found = json.loads((path / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.keys() == {"key", "seconds", "group", "left"} else None
