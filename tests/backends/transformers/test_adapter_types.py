"""Every type of adapter gives what PEFT gives, and the same bytes beside others."""

from pathlib import Path

import numpy as np
import pytest

from gateway.backends.transformers.context import TorchContext
from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import ModelLoadError
from gateway.engine.context import PassRow
from gateway.models.adapters.kinds import BEGINNINGS, LAYERS
from tests.backends.transformers.tiny import ADAPTERS, logits_of, write_adapter, write_model

IDS = np.random.default_rng(5).integers(3, 160, 40).tolist()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"))


def loaded(folder: Path) -> TorchModel:
    return TorchModel(folder, dtype="float32", device="cpu")


def context_of(model: TorchModel, *, fast: bool = False) -> TorchContext:
    return TorchContext(model, sequences=4, length=64, batch_tokens=256, threads=2, fast=fast)


def rows_of(
    sequence: int, adapter: str | None, tokens: list[int] = IDS, start: int = 0
) -> list[PassRow]:
    return [PassRow(sequence, start + i, t, True, adapter) for i, t in enumerate(tokens)]


def test_there_is_one_of_every_supported_type() -> None:
    assert {name.split(",")[0] for name in ADAPTERS} == LAYERS | BEGINNINGS


@pytest.mark.parametrize("kind", ADAPTERS)
def test_it_gives_what_peft_gives_and_the_base_stays_the_base(
    kind: str, base: Path, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path, base, kind)
    model = loaded(base)
    context = context_of(model)
    before = np.stack(context.decode(rows_of(0, None)))
    adapter = model.add_adapter(folder)
    both = np.stack(context.decode([*rows_of(0, None), *rows_of(1, adapter)]))
    wanted = logits_of(base, folder, IDS)
    np.testing.assert_allclose(both[40:], wanted, atol=3e-4)
    assert np.abs(both[40:] - before).max() > 1e-2, "it changes nothing"
    # Room for five learned tokens moves nothing: positions are the base's own.
    assert np.array_equal(both[:40], before)
    in_two = context.decode(rows_of(2, adapter, IDS[:13]))
    in_two = [row.copy() for row in in_two]
    in_two += context.decode(rows_of(2, adapter, IDS[13:], 13))
    np.testing.assert_allclose(np.stack(in_two), both[40:], atol=3e-4)
    model.give_back_adapter(adapter)
    assert np.array_equal(np.stack(context.decode(rows_of(0, None))), before)


def test_types_that_do_not_go_together_take_another_copy_of_the_base(
    base: Path, tmp_path: Path
) -> None:
    model = loaded(base)
    model.add_adapter(write_adapter(tmp_path / "lora", base, "LORA"))
    assert model.adapters.takes("LORA")
    assert model.adapters.takes("PREFIX_TUNING")
    assert not model.adapters.takes("IA3")


def test_when_the_last_of_a_type_is_gone_another_type_may_come(base: Path, tmp_path: Path) -> None:
    model = loaded(base)
    context = context_of(model)
    before = np.stack(context.decode(rows_of(0, None)))
    for kind in ("LORA", "IA3", "PROMPT_TUNING", "LORA"):
        assert model.adapters.takes(kind)
        folder = write_adapter(tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}", base, kind)
        adapter = model.add_adapter(folder)
        made = np.stack(context.decode(rows_of(0, adapter)))
        np.testing.assert_allclose(made, logits_of(base, folder, IDS), atol=3e-4)
        model.give_back_adapter(adapter)
        assert np.array_equal(np.stack(context.decode(rows_of(0, None))), before)
    assert sum(p.numel() for p in model.module.parameters()) == sum(
        p.numel() for p in loaded(base).module.parameters()
    )


@pytest.mark.parametrize("fast", [False, True])
def test_rows_of_different_adapters_in_one_pass_give_what_they_give_alone(
    base: Path, tmp_path: Path, fast: bool
) -> None:
    model = loaded(base)
    names: list[str | None] = [None]
    for seed, kind in enumerate(("LORA", "LORA, rank-stabilized", "PROMPT_TUNING")):
        names.append(model.add_adapter(write_adapter(tmp_path / str(seed), base, kind, seed)))
    context = context_of(model, fast=fast)
    alone = {}
    for sequence, name in enumerate(names):
        context.decode(rows_of(sequence, name))
        alone[name] = context.decode(rows_of(sequence, name, [9, 10], 40))
        alone[name] = [row.copy() for row in alone[name]]
    together = context.decode(
        [row for s, name in enumerate(names) for row in rows_of(s, name, [9, 10], 40)]
    )
    for sequence, name in enumerate(names):
        mine = np.stack(together[2 * sequence : 2 * sequence + 2])
        if fast:
            np.testing.assert_allclose(mine, np.stack(alone[name]), atol=1e-4)
        else:
            assert np.array_equal(mine, np.stack(alone[name]))


def test_peft_computes_lora_adapters_in_one_batch_and_others_one_after_the_other(
    base: Path, tmp_path: Path
) -> None:
    model = loaded(base)
    first, second = (
        model.add_adapter(write_adapter(tmp_path / str(n), base, "LORA", n)) for n in (0, 1)
    )
    dora = model.add_adapter(write_adapter(tmp_path / "dora", base, "LORA, DoRA"))
    assert model.adapters.mix([None, first, second])
    assert not model.adapters.mix([first, dora])


def test_an_adapter_for_another_size_is_refused_with_the_reason(base: Path, tmp_path: Path) -> None:
    import transformers

    from tests.backends.transformers.tiny import SIZES

    wide = tmp_path / "wide"
    config = transformers.LlamaConfig(**{**SIZES, "hidden_size": 32, "head_dim": 8})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(wide))
    for kind in ("LORA", "PROMPT_TUNING", "PREFIX_TUNING"):
        folder = write_adapter(tmp_path / kind, wide, kind)
        with pytest.raises(ModelLoadError, match="cannot be loaded onto this base model"):
            loaded(base).add_adapter(folder)
