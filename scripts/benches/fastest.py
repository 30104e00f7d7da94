"""The usual settings beside the fastest that change no byte here, for each type of weights.

Each file is searched as `gateway certify --fastest` does, without what only the whole gateway
tells; a file that has a choice already is searched again. Then both settings are measured in turns
in one process: tokens a second of a prompt of 512, of 1, 8 and 32 sequences; and "changed" of the
ten plans of `scripts/bench settings`. Of SmolLM2, labelled items a second too: of the default model
with the usual settings, and of each of its three types with the chosen ones.

    scripts/bench fastest [FILE ...]

FILE is one of the names in the first column. What is said of a row holds when it is printed, so
that an interrupted bench has told something.

    scripts/bench fastest labels

measures labelled items alone, and searches nothing: the default model with the usual settings and
split and repacked, with flash and with tiled attention. That is what `gateway certify --fastest`
chooses, and what it chooses `--for labels`, where the library has a repacked kernel of Q4_0. It
ends in three minutes.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from common import load, out, requests_of
from settings import PLANS, SEQUENCES, changed, speeds, write_random

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.probing import probed, probing
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.core.digests import file_digest
from gateway.determinism.fastest import search
from gateway.engine.llama import library
from gateway.engine.llama.quantizer import quantize
from gateway.models.certificates import Certificate, Level, machine
from gateway.models.choices import USUAL, Settings
from gateway.models.locate import locate
from gateway.models.spec import PathSource
from gateway.quantization.names import parse_level

DEFAULT, GEMMA = "smollm2-135m", "gemma3-270m"
TYPES = ("Q4_0", "Q8_0", "Q5_0", "F16", "Q4_K_M", "Q6_K", "IQ4_NL")
LABELLED = ("SmolLM2 Q4_1", "SmolLM2 Q4_0", "SmolLM2 Q8_0")
"""One model in three types, which score labels too; measured first."""
LAPS = 2
ITEMS = 24
"""Of each lap, no item twice: an engine keeps what it has read."""


def main() -> None:
    if sys.argv[1:2] == ["--pair"]:
        print(json.dumps(pair(Path(sys.argv[2]), Settings(**json.loads(sys.argv[3])))))
        return
    wanted = sys.argv[1:]
    if wanted == ["labels"]:
        labels_alone()
        return
    out.print(f"{machine()}, {library.build()}, {LAPS} laps in turns", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        files = files_in(Path(folder), wanted)
        first = {name: row_of(name, files[name]) for name in LABELLED if name in files}
        if first:
            asyncio.run(labelled(files, list(first.items())))
        for name, path in files.items():
            if name not in first:
                row_of(name, path)


def labels_alone() -> None:
    """Of the default model, with what may be chosen beside the usual settings."""
    out.print(f"{machine()}, {library.build()}", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        name = LABELLED[0]
        files = files_in(Path(folder), [name])
        flash = Settings("flash", repack=True, split=True)
        chosen = [(name, flash), (name, replace(flash, attention="tiled"))]
        asyncio.run(labelled(files, chosen))


def files_in(folder: Path, wanted: list[str]) -> dict[str, Path]:
    """The models as they are pulled, and the types made of them."""
    models = load_models()
    smollm2, gemma = (locate(models.get(name)) for name in (DEFAULT, GEMMA))
    sources = {"SmolLM2 Q4_1": smollm2, "Gemma 3 Q4_K_M": gemma}
    for kind in TYPES:
        name = f"{'random' if '_K' in kind else 'SmolLM2'} {kind}"
        if not wanted or name in wanted:
            sources[name] = made(folder, kind, smollm2)
    return {name: path for name, path in sources.items() if not wanted or name in wanted}


def made(folder: Path, kind: str, smollm2: Path) -> Path:
    source, target = smollm2, folder / f"{kind}.gguf"
    if "_K" in kind:
        source = folder / "wide.gguf"
        if not source.is_file():
            write_random(source, smollm2)
    number, threads = parse_level(kind).number or 0, os.cpu_count() or 1
    quantize(source, target, number, importance={}, threads=threads, on_tensor=lambda _: None)
    return target


def row_of(name: str, path: Path) -> Settings:
    """Search, measure and print; the chosen settings."""
    begun = time.perf_counter()
    spec = LlamaCppSpec(name, PathSource(path))
    rows = spec.batch_tokens
    with probing(probed(spec, path, rows)) as prober:
        kept = asyncio.run(search(prober, rows, uncertified))
    searched = time.perf_counter() - begun
    asked = ["--pair", str(path), json.dumps(asdict(kept.settings))]
    done = subprocess.run(
        [sys.executable, __file__, *asked], capture_output=True, text=True, check=False
    )
    if done.returncode:
        out.print(
            f"{name}: {kept.settings.name} ended with {done.returncode}: {done.stderr[-300:]}"
        )
        return kept.settings
    usual, fastest = json.loads(done.stdout)
    for title, (count, rates) in (("usual", usual), (kept.settings.name, fastest)):
        shown = "".join(f"{rate:8.0f}" for rate in rates)
        out.print(f"{name:16} {title:16} {count} of {len(PLANS)}{shown}", highlight=False)
    ratios = "".join(f"{a / b:8.2f}" for a, b in zip(fastest[1], usual[1], strict=True))
    out.print(
        f"{name:16} {'times as fast':16}        {ratios}   ({searched:.0f} s)", highlight=False
    )
    return kept.settings


async def uncertified(_: Settings) -> Certificate:
    """The plans alone decide: a certificate takes a minute, and changes no speed."""
    return Certificate("", "", machine(), Level.BITWISE, ())


def pair(path: Path, chosen: Settings) -> list[tuple[int, list[float]]]:
    """Of the usual settings and the chosen ones: plans that change a byte, and the best rates."""
    library.settle_kernels("decode", ["Q4_K"])
    contexts = [opened(path, settings) for settings in (USUAL, chosen)]
    counts = [changed(context) for context in contexts]
    rates: list[list[float]] = [[], []]
    for _ in range(LAPS):
        for known, context in zip(rates, contexts, strict=True):
            found = speeds(context)
            known[:] = map(max, known, found) if known else found
    return list(zip(counts, rates, strict=True))


def opened(path: Path, settings: Settings) -> Context:
    return Context(
        GgufModel(path, repack=settings.repack, split=file_digest(path) if settings.split else ""),
        sequences=SEQUENCES,
        length=640,
        threads=os.cpu_count() or 1,
        batch_tokens=512,
        attention=settings.attention,
    )


async def labelled(files: dict[str, Path], chosen: list[tuple[str, Settings]]) -> None:
    """Items a second, label scores of real issues, in turns."""
    backends = {"SmolLM2 Q4_1, usual": load(DEFAULT, attention="plain")}
    for name, settings in chosen:
        backends[f"{name}, {settings.name}"] = entry(files[name], settings)
    for strategy in ("zero_shot", "few_shot"):
        best = dict.fromkeys(backends, 0.0)
        for lap in range(LAPS + 1):
            for name, backend in backends.items():
                rate = await items_a_second(backend, strategy, lap)
                best[name] = max(best[name], rate if lap else 0.0)
        usual = next(iter(best.values()))
        for name, rate in best.items():
            shown = f"{rate:6.2f} items/s {rate / usual:6.2f}"
            out.print(f"labels, {strategy:10} {name:28} {shown}", highlight=False)
    for backend in backends.values():
        await backend.close()


def entry(path: Path, settings: Settings) -> LlamaCppBackend:
    """The default model's entry on another file."""
    spec = load_models().get(DEFAULT)
    assert isinstance(spec, LlamaCppSpec)
    own = replace(spec, source=PathSource(path), sha256="")
    return LlamaCppBackend(replace(own, **asdict(settings)), path)


async def items_a_second(backend: LlamaCppBackend, strategy: str, lap: int) -> float:
    """The first lap reads what all prompts begin with, and counts for nothing."""
    count = ITEMS * (lap + 1)
    requests, labels = requests_of(backend, "issue-triage", "issue-reports", strategy, count)
    own = requests[ITEMS * lap :]
    begun = time.perf_counter()
    await asyncio.gather(*(backend.score_labels(request, labels) for request in own))
    return ITEMS / (time.perf_counter() - begun)


main()
