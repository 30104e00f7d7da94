"""What an adapter has to fit: facts of a base model, read without loading its weights."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.gguf_parts import read_model
from gateway.models.locate import described_digests
from gateway.models.shards import refuse_broken_folder
from gateway.models.spec import ModelSpec
from gateway.models.weights import folder_contents_digest, read_object

GGUF_OF = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
}
"""`model_type` of transformers -> architecture in a GGUF (llama.cpp's convert_hf_to_gguf.py), for
the families whose blocks have the modules below."""
_TYPE_OF = {gguf: ours for ours, gguf in reversed(GGUF_OF.items())}
_OF_A_BLOCK = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *("self_attn.q_norm", "self_attn.k_norm"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    *("input_layernorm", "post_attention_layernorm"),
    *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
)
_OUTSIDE = ("model.embed_tokens", "model.norm", "lm_head")
EMBEDDING, HEAD = "model.embed_tokens", "lm_head"
_STATE = ".quant_state."
"""In the name of what bitsandbytes writes down of a weight in 4 bits, as JSON."""
_TRANSPOSED = {"gpt2", "openai-gpt", "imagegpt"}
"""Families that keep the weights of their layers as (input, output): transformers' Conv1D."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model, as far as an adapter can fit it or not."""

    name: str
    architecture: str
    """`model_type` as transformers names it."""
    hidden_size: int
    digest: str
    """Of the weights' contents."""
    modules: Mapping[str, tuple[int, int]]
    """Path of a module with weights -> its input and output width. An embedding's input width is
    the vocabulary; a norm's are both the same."""
    blocks: int
    heads: int
    kv_heads: int
    tied: bool
    """The output layer has the embedding's weights and none of its own."""
    first: str = ""
    """As `WeightsDigests.first`."""

    @property
    def gguf_architecture(self) -> str | None:
        """As a GGUF names it; None where it is not known here."""
        return GGUF_OF.get(self.architecture)


def read_base(spec: ModelSpec, path: Path) -> Base:
    """Facts of an entry's model, from a GGUF's header or a folder's config.json and safetensors.

    All of the weights are read once for the digest; that of a GGUF is remembered.

    Args:
        path: where the entry's weights are, as `gateway.models.locate.locate` finds them.

    Raises:
        ModelLoadError: the files are absent, not readable, or not those that the entry describes.
        ConfigError: the architecture's modules are not known here.
    """
    return _of_folder(spec, path) if path.is_dir() else _of_gguf(spec, path)


def _of_gguf(spec: ModelSpec, path: Path) -> Base:
    digests = described_digests(spec, path)
    header = read_model(path)
    family = header.architecture
    if family not in _TYPE_OF:
        raise ConfigError(
            f"{path}: the modules of the architecture {family!r} are not known here",
            hint=f"known: {', '.join(sorted(_TYPE_OF))}; or a folder of safetensors as the base",
        )

    def number(key: str, otherwise: int | None = None) -> int:
        found = header.metadata.get(f"{family}.{key}", otherwise)
        if not isinstance(found, int):
            raise ModelLoadError(f"{path}: {family}.{key} is {found}, not one number")
        return found

    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    blocks, heads = number("block_count"), number("attention.head_count")
    return Base(
        name=spec.name,
        architecture=_TYPE_OF[family],
        hidden_size=number("embedding_length"),
        digest=digests.contents,
        modules=dict(_modules_of_gguf(family, blocks, shapes)),
        blocks=blocks,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        tied="output.weight" not in shapes,
        first=digests.first,
    )


def architecture_of(path: Path) -> str:
    """Of a GGUF, as transformers names it where that is known."""
    family = read_model(path).architecture
    return _TYPE_OF.get(family, family)


def tensor_names(architecture: str, blocks: int) -> Any:
    """The gguf package's map from module paths to tensor names, for a GGUF's architecture."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    (wanted,) = (each for each, name in MODEL_ARCH_NAMES.items() if name == architecture)
    return get_tensor_name_map(wanted, blocks)


def _modules_of_gguf(
    family: str, blocks: int, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Module and widths of each tensor that the file has; ggml counts the input width first."""
    names = tensor_names(family, blocks)
    inside = (f"model.layers.{n}.{name}" for n in range(blocks) for name in _OF_A_BLOCK)
    for module in (*_OUTSIDE, *inside):
        shape = shapes.get(f"{names.get_name(module)}.weight")
        if shape is not None:
            yield module, _widths(module, shape[::-1])
    embedding = shapes.get("token_embd.weight")  # A part of a split model may have none.
    if "output.weight" not in shapes and embedding is not None:
        yield HEAD, (embedding[0], embedding[1])


def _of_folder(spec: ModelSpec, path: Path) -> Base:
    if spec.sha256:
        raise ModelLoadError(f"model {spec.name}: sha256 is of a file, and {path} is a folder")
    config = read_object(path / "config.json")
    family = str(config.get("model_type", ""))
    if family in _TRANSPOSED:
        raise ConfigError(f"{path}: the architecture {family!r} keeps its weights transposed")
    refuse_broken_folder(path)
    digest = folder_contents_digest(path)
    modules = dict(_modules_of_folder(path.glob("*.safetensors")))
    tied = HEAD not in modules and EMBEDDING in modules
    if tied:
        vocabulary, hidden = modules[EMBEDDING]
        modules[HEAD] = (hidden, vocabulary)
    text = config.get("text_config") or config
    try:
        hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        blocks = int(text["num_hidden_layers"])
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelLoadError(f"{path}/config.json: {exc} is not there, or no number") from exc
    return Base(
        name=spec.name,
        architecture=family,
        hidden_size=hidden,
        digest=digest,
        modules=modules,
        blocks=blocks,
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
        tied=tied,
    )


def _modules_of_folder(files: Iterable[Path]) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in sorted(files):
        try:
            with safe_open(path, framework="np") as file:
                yield from _modules_in(file, list(file.keys()))
        except (SafetensorError, OSError, ValueError, KeyError) as exc:
            raise ModelLoadError(f"{path}: no readable safetensors: {exc}") from exc


def _modules_in(file: Any, names: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Modules of one file, those too whose weights are packed: by bitsandbytes in 4 bits, which
    writes down the shape, or by GPTQ or AWQ, whose scales have the outputs."""
    states = {name.partition(_STATE)[0]: name for name in names if _STATE in name}

    def shape_of(name: str) -> tuple[int, ...]:
        return tuple(file.get_slice(name).get_shape())

    for name in names:
        module, _, part = name.rpartition(".")
        if part == "weight" and name in states:
            said = json.loads(bytes(file.get_tensor(states[name])))
            yield module, _widths(module, tuple(said["shape"]))
        elif part == "weight" and len(shape_of(name)) in (1, 2):
            yield module, _widths(module, shape_of(name))
        elif part == "qweight":
            of_inputs = f"{module}.g_idx" if f"{module}.g_idx" in names else name
            yield module, (shape_of(of_inputs)[0], shape_of(f"{module}.scales")[1])


def _widths(module: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Input and output width of a module by the shape of its weight, as torch has it."""
    if len(shape) == 1:
        return shape[0], shape[0]
    return (shape[0], shape[1]) if module == EMBEDDING else (shape[1], shape[0])
