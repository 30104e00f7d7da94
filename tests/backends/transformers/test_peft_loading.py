"""All of an adapter's tensors land on the base, or it is refused and the base is as before."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.context import TorchContext
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.check import remarks, why_not
from gateway.models.adapters.folder import CONFIG, WEIGHTS
from tests.backends.transformers.test_adapter_types import context_of, loaded, rows_of
from tests.backends.transformers.tiny import ADAPTERS, write_adapter
from tests.support.bases import entry, facts

BEFORE = "base_model.model."
Tensors = dict[str, torch.Tensor]


def renamed(change: Callable[[str], str]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {change(name): value for name, value in tensors.items()}


def half(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if "layers.0" in name}


def elsewhere(tensors: Tensors) -> Tensors:
    return {
        **tensors,
        **{name.replace("s.0", "s.7"): value.clone() for name, value in half(tensors).items()},
    }


WRONG: dict[str, Callable[[Tensors], Tensors]] = {
    "without PEFT's prefix": renamed(lambda name: name.removeprefix(BEFORE)),
    "with half of it": renamed(lambda name: name.replace(BEFORE, "base_model.")),
    "with another half": renamed(lambda name: name.replace(BEFORE, "model.")),
    "with an adapter's name": renamed(lambda name: name.replace(".weight", ".default.weight")),
    "no tensors at all": lambda _: {},
    "more than the base has": elsewhere,
}


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    file = folder / WEIGHTS
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def logits(context: TorchContext, adapter: str | None) -> np.ndarray:
    return np.stack(context.decode(rows_of(0, adapter)))


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("wrong", [*WRONG, "half of them"])
def test_an_adapter_whose_tensors_do_not_land_is_refused_and_changes_nothing(
    tiny: Path, tmp_path: Path, wrong: str, beside: bool
) -> None:
    model = loaded(tiny)
    context = context_of(model)
    other = (
        model.add_adapter(write_adapter(tmp_path / "other", tiny, "LORA", 1)) if beside else None
    )
    before = [logits(context, each) for each in (None, other)]
    folder = write_adapter(tmp_path / "wrong", tiny, "LORA")
    right = model.add_adapter(folder)
    wanted = logits(context, right)
    model.give_back_adapter(right)
    copy = shutil.copytree(folder, tmp_path / "right")
    rewrite(folder, WRONG.get(wrong, half))
    with pytest.raises(ModelLoadError, match="not the tensors of its configuration"):
        model.add_adapter(folder)
    assert all(map(np.array_equal, (logits(context, e) for e in (None, other)), before))
    assert np.array_equal(logits(context, model.add_adapter(copy)), wanted)


@pytest.mark.parametrize("wrong", WRONG)
def test_check_knows_it_too(tiny: Path, tmp_path: Path, wrong: str) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    assert why_not(folder, facts(tiny)) == ()
    assert why_not(rewrite(folder, WRONG[wrong]), facts(tiny))


def test_one_of_another_size_leaves_the_base_as_it_was(tiny: Path, tmp_path: Path) -> None:
    model = loaded(tiny)
    before = logits(context_of(model), None)
    folder = write_adapter(tmp_path, tiny, "LORA")
    last = "layers.1.self_attn.v_proj.lora_B.weight"
    rewrite(folder, lambda all_: {n: v[1:] if last in n else v for n, v in all_.items()})
    with pytest.raises(ModelLoadError, match=r"layers\.1"):
        model.add_adapter(folder)
    assert np.array_equal(logits(context_of(model), None), before)
    assert not any("lora" in name for name, _ in model.module.named_parameters())


def test_weights_of_the_base_in_an_adapter_do_not_change_the_base(
    tiny: Path, tmp_path: Path
) -> None:
    name = "base_model.model.model.embed_tokens.weight"
    same = load_file(tiny / "model.safetensors")["model.embed_tokens.weight"]
    model = loaded(tiny)
    before = logits(context_of(model), None)
    folder = write_adapter(tmp_path, tiny, "LORA")
    model.add_adapter(rewrite(folder, lambda all_: {**all_, name: same}))
    rewrite(folder, lambda all_: {**all_, name: same + 1})
    with pytest.raises(ModelLoadError, match=r"own weights.*: model\.embed_tokens\.weight"):
        model.add_adapter(folder)
    assert np.array_equal(logits(context_of(model), None), before)
    loaded(tiny).merge(folder)


def test_layers_that_are_repeated_are_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "layer_replication": [[0, 2], [1, 2]]}))
    with pytest.raises(ModelLoadError, match="layer_replication"):
        loaded(tiny).add_adapter(folder)
    assert "layer_replication" in why_not(folder, facts(tiny))[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_numbers_that_are_zero_or_none_are_told(
    tiny: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    cast = rewrite(folder, lambda all_: {name: all_[name].to(dtype) for name in all_})
    assert not any("numbers" in said for said in remarks(cast))

    def fresh(tensors: Tensors) -> Tensors:
        return {n: torch.zeros_like(v) if "lora_B" in n else v for n, v in tensors.items()}

    assert remarks(rewrite(folder, fresh))[-1].startswith("all numbers of lora_B are zero")
    loaded(tiny).add_adapter(folder)

    def broken(tensors: Tensors) -> Tensors:
        return {n: v / 0 if "layers.1" in n and "v_proj" in n else v for n, v in tensors.items()}

    said = [each for each in remarks(rewrite(folder, broken)) if "not finite" in each]
    assert len(said) == 1
    assert "layers.1.self_attn.v_proj.lora_A" in said[0]
    assert "layers.0" not in said[0]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_no_type_that_learned_something_is_told_to_be_empty(
    tiny: Path, tmp_path: Path, kind: str
) -> None:
    assert not any("zero" in said for said in remarks(write_adapter(tmp_path, tiny, kind)))


def test_an_entry_warns_of_an_adapter_that_was_never_trained(tiny: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    rewrite(folder, lambda all_: {n: v * 0 if "lora_B" in n else v for n, v in all_.items()})
    backend = TransformersBackend(entry(tiny, adapter=folder, context_length=64), tiny)
    asyncio.run(backend.close())
    assert "tiny: its adapter: all numbers of lora_B are zero" in backend.warnings[-1]


def configured(folder: Path, **changes: object) -> Path:
    file = folder / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_moves_the_base_s_weights_is_refused_where_they_are_shared(
    tiny: Path, tmp_path: Path, start: str
) -> None:
    model = loaded(tiny)
    before = logits(context_of(model), None)
    folder = configured(write_adapter(tmp_path, tiny, "LORA"), init_lora_weights=start)
    with pytest.raises(ModelLoadError, match=f"own weights.*init_lora_weights = '{start}'"):
        model.add_adapter(folder)
    assert np.array_equal(logits(context_of(model), None), before)
    assert any("adapter_merged" in said for said in remarks(folder))
    loaded(tiny).merge(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_quaternions": True}, "use_quaternions = True"),
        ({"init_lora_weights": "lora_ga"}, "lora_ga"),
        ({"target_parameters": ["absent"]}, "target_parameters="),
        ({"r": None}, "a LORA has a rank r"),
        ({"r": "4"}, "r: Input should be a valid integer"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused_by_name(
    tiny: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = configured(write_adapter(tmp_path, tiny, "LORA"), **change)
    with pytest.raises((ConfigError, ModelLoadError), match=said):
        loaded(tiny).add_adapter(folder)


def test_an_entry_is_told_of_what_its_adapter_s_folder_says_and_nobody_reads(
    tiny: Path, tmp_path: Path
) -> None:
    folder = configured(write_adapter(tmp_path, tiny, "LORA"), author="me")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    backend = TransformersBackend(
        entry(tiny, adapter=folder, context_length=64, chat_template="plain"), tiny
    )
    asyncio.run(backend.close())
    *_, keys, template = backend.warnings
    assert keys.endswith("keys of its configuration that change nothing: author")
    assert f'"{folder / "chat_template.jinja"}"' in template
    same = entry(tiny, adapter=folder, context_length=64, chat_template="{{ messages }}")
    backend = TransformersBackend(same, tiny)
    asyncio.run(backend.close())
    assert not any("chat template" in said for said in backend.warnings)
