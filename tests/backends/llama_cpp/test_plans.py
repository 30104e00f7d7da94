"""Plans find the bytes that change with the rows of a pass, and none where nothing does."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Attending
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.plans import SEQUENCES, Reading, readings, run_plans, total_rows
from gateway.backends.llama_cpp.probing import ChildProber, NotRun, Probed, probing
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.tiled import TILE, TiledContext, context_kind
from gateway.engine.llama import library
from gateway.engine.llama.quantizer import quantize
from gateway.models.certificates import processor
from gateway.models.choices import USUAL, Choice, PlanTrial, Settings, changed_in, save_choice
from gateway.models.environment import digest_memory
from gateway.models.spec import PathSource
from gateway.models.weights import weights_digests
from gateway.quantization.names import parse_level
from gateway.report.pages.model import section
from tests.conftest import few_layers
from tests.support.architectures import write
from tests.support.tiny_gguf import write_gguf

LENGTH = 96
FLASH_FROM = 64
"""Rows from which on flash attention takes another kernel, where it may."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of drawn weights in Q4_0, which is repacked on most processors."""
    folder = tmp_path_factory.mktemp("tiny")
    (source,) = write_gguf(folder / "f32.gguf")
    made, level = folder / "tiny.gguf", parse_level("Q4_0").number or 0
    quantize(source, made, level, importance={}, threads=1, on_tensor=lambda _: None)
    return made


def plans(
    path: Path, attention: Attending, rows: int, length: int = LENGTH, prompt: int = 0
) -> list[PlanTrial]:
    with closing(GgufModel(path)) as model:
        context = context_kind(attention)(
            model,
            sequences=SEQUENCES,
            length=length,
            threads=1,
            batch_tokens=rows,
            attention=attention,
        )
        with closing(context):
            reading = Reading(context, model.vocab_size, lambda _: None, prompt)
            return list(run_plans(reading, rows, None))


def test_a_kernel_that_many_rows_have_is_found_out(tiny: Path) -> None:
    found = plans(tiny, "any", FLASH_FROM)
    assert changed_in(found) == "some numbers of rows"
    assert found[-1].changed > 0, "the plans end there"


def test_nothing_changes_with_one_kernel_for_all_rows(tiny: Path) -> None:
    found = plans(tiny, "plain", FLASH_FROM)
    assert [plan.name for plan in found if plan.changed] == []
    assert len(found) == 6
    assert found[-1].name == f"every number of rows from 1 to {FLASH_FROM}"
    assert found[-1].rows > FLASH_FROM**2 / 4, "every second row is compared"


def test_nothing_changes_in_layers_of_a_real_model() -> None:
    found = plans(few_layers("smollm2-135m")[1], "flash", 4, 32)
    assert changed_in(found) == ""


def test_nothing_changes_where_a_prompt_has_a_kernel_of_its_own() -> None:
    path = few_layers("smollm2-135m")[1]
    assert changed_in(plans(path, "tiled", 2, 32, 16)) == ""


def test_a_prompt_is_told_from_what_follows_where_it_is_computed_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = few_layers("smollm2-135m")[1]
    monkeypatch.setattr(TiledContext, "_filled", lambda _, rows: rows)
    assert changed_in(plans(path, "tiled", TILE, 64, sys.maxsize)) == "some numbers of rows"
    assert list(readings(Settings("flash"), 96).values()) == [0]


def test_of_a_short_text_half_is_a_prompt() -> None:
    assert list(readings(Settings("tiled"), 24)) == [" of a prompt", " behind a prompt of 12"]


@pytest.fixture(scope="module")
def prober(tiny: Path) -> Iterator[ChildProber]:
    with probing(Probed(tiny, "decode", 32, 1, LENGTH)) as made:
        yield made


def test_a_child_measures_and_tries_a_candidate(prober: ChildProber) -> None:
    speed = prober.speed(USUAL)
    assert min(speed.prefill, speed.decode, speed.decode_8) > 0
    fed: list[int] = []
    trial = prober.trial(USUAL, fed.append)
    assert not changed_in(trial.plans)
    assert len(trial.digest) == 64
    assert sum(fed) > 32 * 33 / 2
    assert trial == prober.trial(USUAL, fed.append), "digests are the same the second time"


def test_a_candidate_that_the_library_does_not_run_is_refused_and_others_go_on(
    prober: ChildProber,
) -> None:
    with pytest.raises(NotRun, match="does not divide"):
        prober.speed(Settings("flash"))
    assert prober.speed(USUAL).prefill > 0


def test_a_child_tries_a_whole_tile_where_an_entry_has_smaller_passes(
    prober: ChildProber,
) -> None:
    fed: list[int] = []
    settings = Settings("tiled")
    found = prober.trial(settings, fed.append)
    assert changed_in(found.plans) == ""
    assert found.plans[-1].name == f"every number of rows from 1 to {TILE} behind a prompt of 32"
    assert max(fed) == TILE
    assert sum(fed) == pytest.approx(total_rows(32, settings), rel=0.5)


def test_tiled_attention_is_not_tried_where_it_holds_fewer_tokens(tmp_path: Path) -> None:
    with probing(Probed(write("gpt2", tmp_path), "decode", 32, 1, LENGTH)) as made:
        with pytest.raises(NotRun, match="table of positions"):
            made.speed(Settings("tiled"))
        assert made.speed(USUAL).prefill > 0


def test_a_child_that_ends_is_told_and_another_goes_on(prober: ChildProber) -> None:
    prober.speed(USUAL)
    assert prober._child is not None
    prober._child.kill()
    with pytest.raises(NotRun, match="ended the process"):
        prober.speed(USUAL)
    assert prober.speed(USUAL).prefill > 0


def test_who_was_stopped_starts_no_child_again(tiny: Path) -> None:
    with probing(Probed(tiny, "decode", 32, 1, LENGTH)) as made:
        pass
    with pytest.raises(NotRun, match="it was stopped"):
        made.speed(USUAL)
    assert made._child is None


# What a choice does.


def settings_of(spec: LlamaCppSpec, path: Path) -> str:
    backend = LlamaCppBackend(spec, path)
    try:
        return backend.identity["settings"]
    finally:
        backend.release()


USUALLY = "kv_unified=0 flash_attn=0 extra_bufts=0"


@pytest.fixture
def entry(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LlamaCppSpec:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    return LlamaCppSpec("tiny", PathSource(tiny), context_length=64, threads=1)


@pytest.fixture
def chosen(entry: LlamaCppSpec, tiny: Path) -> LlamaCppSpec:
    """The entry, for whose file repacked weights were chosen."""
    choose(entry, tiny, Settings(repack=True))
    return entry


def choose(entry: LlamaCppSpec, path: Path, settings: Settings) -> None:
    """As `gateway certify --fastest` keeps it."""
    save_choice(
        Choice(
            model=entry.name,
            file=weights_digests(path, digest_memory()).file,
            kernels="decode",
            processor=processor(),
            build=str(library.build()),
            rows=entry.batch_tokens,
            adapter="",
            settings=settings,
            digest="",
            tried=(),
        )
    )


def test_without_a_choice_all_is_as_it_was(entry: LlamaCppSpec, tiny: Path) -> None:
    assert settings_of(entry, tiny) == USUALLY
    assert settings_of(replace(entry, attention="plain"), tiny) == USUALLY


@pytest.mark.skipif(library.build().llamafile, reason="nothing is chosen on a stock build")
def test_an_entry_that_says_nothing_takes_the_choice(chosen: LlamaCppSpec, tiny: Path) -> None:
    assert settings_of(chosen, tiny) == "kv_unified=0 flash_attn=0 extra_bufts=1"
    pinned = replace(chosen, repack=True)
    assert settings_of(pinned, tiny) == settings_of(chosen, tiny), "the same bytes, the same name"


@pytest.mark.skipif(library.build().llamafile, reason="nothing is chosen on a stock build")
def test_what_a_file_will_take_is_estimated_as_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = few_layers("smollm2-135m")
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))

    def keys_and_values() -> list[str]:
        said = dict(asyncio.run(section(spec)).facts)
        rows = [said["memory, estimated"], said["memory"]]
        return [re.findall(r"keys and values ([\d.]+ \w+)", row)[0] for row in rows]

    plain, loaded = keys_and_values()
    assert plain == loaded
    choose(spec, path, Settings("flash"))
    flash, loaded = keys_and_values()
    assert flash == loaded != plain


@pytest.mark.parametrize(
    "says",
    [{"attention": "plain"}, {"repack": False}, {"batch_tokens": 256}, {"parallel": 200}],
    ids=str,
)
def test_a_choice_does_not_reach(chosen: LlamaCppSpec, tiny: Path, says: dict[str, object]) -> None:
    assert settings_of(replace(chosen, **says), tiny) == USUALLY  # type: ignore[arg-type]


def test_what_promises_nothing_takes_no_choice(chosen: LlamaCppSpec, tiny: Path) -> None:
    found = settings_of(replace(chosen, deterministic="off"), tiny)
    assert found == "kv_unified=0 flash_attn=auto extra_bufts=0"
