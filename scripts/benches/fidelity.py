"""Perplexity and KL divergence as the gateway computes them, and as llama-perplexity does.

    scripts/bench fidelity [TEXT] [MODEL [LEVEL ...]]

The levels are made of the model, which is the reference too. The tool is built of the llama.cpp
that llama-cpp-python carries, as scripts/install builds that. It runs twice: as it is, and without
flash attention and repacked weights, which it takes by default and the gateway does not; the
gateway's choice of kernels (GGML_CPU_TILED_MM) is in its environment either way. Both have
the reference's log-probabilities in 16 bits, as the tool's file holds them. Per row: a figure, the
gateway's, the tool's of each run, and by how much they differ, in percent.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from common import ROOT, issues, out, show
from rich.progress import track

from gateway.backends.registry import load_models
from gateway.quantization.divergence import Divergence
from gateway.quantization.fidelity import Fidelity, Wanted, measure
from gateway.quantization.ladder import plan
from gateway.quantization.make import make
from gateway.quantization.names import parse_level
from gateway.quantization.source import Given, given

TOOL = ROOT / ".venv-peers" / "bin" / "llama-perplexity"
LEVELS = ("Q8_0", "Q4_K_M", "Q4_0", "Q2_K")
CONTEXT, CHUNKS = 512, 4
PLAIN = ("--flash-attn", "off", "--no-repack")

PRINTED = {
    "perplexity": r"Mean PPL\(Q\) +: +(\S+)",
    "reference's": r"Mean PPL\(base\) +: +(\S+)",
    "ln ratio": r"Mean ln\(PPL\(Q\)/PPL\(base\)\) +: +(\S+)",
    "KL, mean": r"Mean +KLD: +(\S+)",
    "KL, median": r"Median +KLD: +(\S+)",
    "KL, 99%": r"99\.0% +KLD: +(\S+)",
    "KL, max": r"Maximum KLD: +(\S+)",
    "same top, %": r"Same top p: +(\S+)",
    "RMS change, %": r"RMS Δp +: +(\S+)",
}
"""Figures, and how the tool prints each."""


def own(found: Divergence) -> dict[str, float]:
    return {
        "perplexity": found.perplexity.value,
        "reference's": found.reference_perplexity.value,
        "ln ratio": found.log_ratio.value,
        "KL, mean": found.kl.value,
        "KL, median": found.kls[0.5],
        "KL, 99%": found.kls[0.99],
        "KL, max": found.kls[1.0],
        "same top, %": 100 * found.same_top.value,
        "RMS change, %": 100 * found.rms_change.value,
    }


def tool(model: Path, text: Path, base: Path, *more: str) -> str:
    command = [str(TOOL), "-m", str(model), "-f", str(text), "-c", str(CONTEXT)]
    command += ["--chunks", str(CHUNKS), "-t", str(os.cpu_count() or 1)]
    command += ["--kl-divergence-base", str(base), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


def theirs(
    reference: Given, models: list[Given], text: Path, folder: Path, *settings: str
) -> dict[str, Mapping[str, float]]:
    """By model: what the tool prints, with these settings."""
    base = folder / "base.kld"
    tool(reference.path, text, base, *settings)
    found: dict[str, Mapping[str, float]] = {}
    for model in models:
        said = tool(model.path, text, base, "--kl-divergence", *settings)
        found[model.name] = {
            figure: float(match[1])
            for figure, pattern in PRINTED.items()
            if (match := re.search(pattern, said))
        }
    return found


def rows(made: Fidelity, runs: list[dict[str, Mapping[str, float]]]) -> list[list[str]]:
    shown = []
    for model in made.models:
        for figure, value in own(model.divergence).items():
            row = [model.name.rpartition("-")[2], figure, f"{value:.6f}"]
            for run in runs:
                other = run[model.name][figure]
                apart = 100 * (value / other - 1) if other else 0.0
                row += [f"{other:.6f}", f"{apart:+.2f}"]
            shown.append(row)
    return shown


def main() -> None:
    if not TOOL.is_file():
        raise SystemExit("no .venv-peers/bin/llama-perplexity: run scripts/peers first")
    name, *levels = sys.argv[2:] or ["smollm2-135m"]
    models = load_models()
    reference = given(name, models)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = Path(sys.argv[1]) if sys.argv[1:] else folder / "issues.txt"
        if not sys.argv[1:]:
            text.write_text("\n\n".join(issues(150)), encoding="utf-8")
        ladder = plan(reference, [parse_level(level) for level in levels or LEVELS])
        files = track(make(ladder, folder), "levels", total=len(ladder.rungs), console=out)
        made = [given(str(level.path), models) for level in files]
        begun = time.perf_counter()
        ours = measure(reference, made, Wanted(text, CONTEXT, CHUNKS, in_16_bits=True))
        own_seconds, begun = time.perf_counter() - begun, time.perf_counter()
        runs = [theirs(reference, made, text, folder, *settings) for settings in ((), PLAIN)]
        seconds = (time.perf_counter() - begun) / 2
    columns = ["level", "figure", "gateway", "tool", "%", "tool, plain", "%"]
    show(f"fidelity to {name}, {ours.tokens} tokens", columns, rows(ours, runs))
    out.print(f"gateway {own_seconds:.0f} s, tool {seconds:.0f} s", highlight=False)


main()
