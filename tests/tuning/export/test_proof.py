"""Whatever is merged or exported computes what base and adapter compute, or is not written."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from gateway.backends.transformers import proof
from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.check import why_not
from gateway.models.adapters.folder import read_adapter
from gateway.tuning.export.export import export
from gateway.tuning.export.merge import merge
from gateway.tuning.export.merge_gguf import merge_gguf
from gateway.tuning.export.proof import Prover
from tests.backends.transformers.tiny import SIZES, load
from tests.support import tiny_gguf
from tests.support.bases import entry, facts, write_tokenizer
from tests.tuning.export.test_merge_gguf import silent

TOKENS = [5, 9]
EXACT = 1e-4


def lora(**settings: Any) -> Any:
    return peft.LoraConfig(r=4, task_type="CAUSAL_LM", **{"target_modules": ["q_proj"], **settings})


KINDS: dict[str, Any] = {
    "attention": lora(),
    "embedding": lora(target_modules=["embed_tokens"]),
    "embedding, tied": lora(target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True),
    "embedding, DoRA": lora(target_modules=["embed_tokens"], use_dora=True),
    "output": lora(target_modules=["lm_head"]),
    "output, tied": lora(target_modules=["q_proj", "lm_head"], ensure_weight_tying=True),
    "embedding and output": lora(target_modules=["embed_tokens", "lm_head"]),
    "all linear layers": lora(target_modules="all-linear"),
    "some tokens": lora(trainable_token_indices=TOKENS),
    "some tokens, by module": lora(trainable_token_indices={"embed_tokens": TOKENS}),
    "some tokens, tied": lora(trainable_token_indices=TOKENS, ensure_weight_tying=True),
    "tokens alone": peft.TrainableTokensConfig(
        token_indices=TOKENS, target_modules=["embed_tokens"], task_type="CAUSAL_LM"
    ),
    "a whole embedding": lora(modules_to_save=["embed_tokens"]),
    "a whole embedding, tied": lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    "a whole output": lora(modules_to_save=["lm_head"]),
    "both whole": lora(modules_to_save=["embed_tokens", "lm_head"]),
    "whole norms": lora(modules_to_save=["norm"]),
    "whole blocks": lora(modules_to_save=["mlp"]),
    "a parameter": lora(target_modules=[], target_parameters=["q_proj.weight"]),
    "one layer": lora(layers_to_transform=[1]),
}


OF_BLOCKS = (
    *("attention", "all linear layers", "whole norms", "whole blocks"),
    *("a parameter", "one layer"),
)
"""Kinds that change neither embedding nor output, to which it is one whether those are tied."""
MADE = [(kind, tied) for kind in KINDS for tied in (True, False) if tied or kind not in OF_BLOCKS]


IN_A_GGUF = ("attention", "all linear layers", "one layer")


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(7)
    config = transformers.LlamaConfig(**SIZES, tie_word_embeddings=request.param)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    write_tokenizer(folder)
    return folder


def trained(folder: Path, base: Path, config: Any) -> Any:
    """An adapter of drawn numbers, saved; the logits of PEFT's own model."""
    torch.manual_seed(3)  # PEFT draws some of them, which is not to hang on the tests before.
    with quiet_peft():
        model = peft.get_peft_model(load(base), copy.deepcopy(config)).eval()
        drawn = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    value.add_(torch.randn(value.shape, generator=drawn) * 0.2)
        wanted = proof.logits(model.get_base_model(), TOKENS)
        model.save_pretrained(str(folder))
    return wanted


@pytest.mark.parametrize(("kind", "base"), MADE, indirect=["base"])
def test_run_merged_in_memory_and_merged_into_a_folder_it_is_one_model(
    base: Path, tmp_path: Path, kind: str
) -> None:
    wanted = trained(tmp_path / "adapter", base, KINDS[kind])
    assert why_not(tmp_path / "adapter", facts(base)) == ()
    beside, inside = (TorchModel(base, dtype="float32", device="cpu") for _ in range(2))
    beside.adapters.select(beside.add_adapter(tmp_path / "adapter"))
    inside.merge(tmp_path / "adapter")
    said: list[str] = []
    adapter = read_adapter(tmp_path / "adapter")
    made = merge(adapter, facts(base), entry(base), base, tmp_path / "made", said.append)
    assert "logits of 3 prompts" in said[-1]
    for module in (beside.module, inside.module, load(made)):
        assert (proof.logits(module, TOKENS) - wanted).abs().max() < EXACT


@pytest.mark.parametrize("kind", KINDS)
def test_exported_it_is_the_same_or_refused_by_name(base: Path, tmp_path: Path, kind: str) -> None:
    trained(tmp_path / "adapter", base, KINDS[kind])
    adapter, said = read_adapter(tmp_path / "adapter"), list[str]()
    prover = Prover(adapter, facts(base), entry(base), base, said.append)
    target = tmp_path / "made.gguf"
    if kind in IN_A_GGUF or (kind.startswith("output") and not facts(base).tied):
        export(adapter, facts(base), target, prover.exported)
        assert "logits of 3 prompts" in said[-1]
    else:
        with pytest.raises(ConfigError, match="cannot be said in a GGUF"):
            export(adapter, facts(base), target, prover.exported)
    assert target.is_file() == bool(said)


def test_what_is_not_the_same_is_not_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "adapter", base, KINDS["attention"])
    monkeypatch.setattr(
        "gateway.backends.transformers.peft_loading.merge_in", lambda model: model.unload()
    )
    adapter = read_adapter(tmp_path / "adapter")
    with pytest.raises(ModelLoadError, match=r"not the same model: .* apart") as raised:
        merge(adapter, facts(base), entry(base), base, tmp_path / "made", lambda _: None)
    assert "nothing was written" in raised.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["adapter"]


def test_a_file_with_rows_in_another_order_is_not_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "adapter", base, KINDS["attention"])
    monkeypatch.setattr("gateway.tuning.export.export._INTERLEAVED", set())
    adapter = read_adapter(tmp_path / "adapter")
    prover = Prover(adapter, facts(base), entry(base), base, lambda _: None)
    with pytest.raises(ModelLoadError, match="not the same model"):
        export(adapter, facts(base), tmp_path / "made.gguf", prover.exported)
    assert [each.name for each in tmp_path.iterdir()] == ["adapter"]


@pytest.fixture(scope="module")
def gguf_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA on the layers of the model in the small GGUF."""
    folder = tmp_path_factory.mktemp("of gguf")
    path = tiny_gguf.write_gguf(folder / "base.gguf")[0]
    module = TorchModel(path, dtype="float32", device="cpu").module
    torch.manual_seed(3)  # PEFT draws the adapter's numbers too.
    with quiet_peft():
        model = peft.get_peft_model(module, lora(target_modules=["q_proj", "k_proj", "up_proj"]))
        drawn = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    value.add_(torch.randn(value.shape, generator=drawn) * 0.2)
        model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    return folder / "adapter"


@pytest.mark.parametrize("kind", ["F16", "F32"])
@pytest.mark.parametrize("parts", [0, 8], ids=["whole", "split"])
def test_a_merged_gguf_is_proved_whole_or_split(
    gguf_adapter: Path, tmp_path: Path, kind: str, parts: int
) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "base.gguf", tensors_a_part=parts)[0]
    adapter, said = read_adapter(gguf_adapter), list[str]()
    base = facts(path)
    prover = Prover(adapter, base, entry(path), path, said.append)
    prove: Callable[[Path], None] = lambda made: prover.merged(made, kind)  # noqa: E731
    made = merge_gguf(adapter, base, path, tmp_path / "made.gguf", kind, silent, prove)
    assert "logits of 3 prompts" in said[-1]
    model = TorchModel(path, dtype="float32", device="cpu")
    model.adapters.select(model.add_adapter(gguf_adapter))
    found, wanted = proof.logits(load_gguf(made)), proof.logits(model.module)
    assert (found - wanted).abs().max() < (EXACT if kind == "F32" else 0.05)


def load_gguf(path: Path) -> Any:
    return TorchModel(path, dtype="float32", device="cpu").module


def test_in_16_bits_an_adapter_must_not_be_rounded_away() -> None:
    base, wanted = torch.zeros(1), torch.full((1,), 0.01)
    lost = proof.compare(base, wanted, base, "bfloat16")
    with pytest.raises(ModelLoadError, match=r"merged it is not the same") as raised:
        proof.require(lost, "x")
    assert "too coarse" in raised.value.hint
    assert proof.require(proof.compare(base, wanted, wanted * 1.1, "bfloat16"), "x")


def test_numbers_that_are_none_prove_nothing() -> None:
    wanted = torch.ones(2)
    with pytest.raises(ModelLoadError):
        proof.require(proof.compare(wanted, wanted, wanted * float("nan"), "float32"), "x")
