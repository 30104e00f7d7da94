"""The kernels that a process takes for K-quants: one choice, and no byte depends on the batch."""

import json
import subprocess
import sys

import pytest

from gateway.core.errors import ModelLoadError
from gateway.engine.llama import library
from tests.conftest import ROOT, few_layers

ANSWERS = """
import asyncio, json, sys
from dataclasses import replace
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import GenerationRequest, Sampling
from tests.conftest import few_layers

spec, path = few_layers("gemma3-270m")
spec = replace(spec, kernels=sys.argv[1], context_length=512)
words = "one tide two boats three crates four sacks five pianos six clerks " * 16
ask = [
    GenerationRequest("m", prompt=words[: 90 * n], sampling=Sampling(max_tokens=4), logprobs=1)
    for n in (1, 3, 6)
]

def bytes_of(done):
    return [[done.token_ids, [t.logprob for t in done.logprobs]] for done in done]

async def main():
    found = []
    for parallel, chunk in ((1, 512), (4, 512), (4, 32)):
        backend = LlamaCppBackend(replace(spec, parallel=parallel, batch_tokens=chunk), path)
        for _ in range(2):
            if parallel == 1:
                found.append(bytes_of([await backend.generate(r) for r in ask]))
            else:
                found.append(bytes_of(await asyncio.gather(*map(backend.generate, ask))))
        settings = backend.identity["settings"]
        await backend.close()
    print(json.dumps([settings, found]))

asyncio.run(main())
"""


def answers(kernels: str) -> tuple[str, list[object]]:
    """In a process of its own: settings, and the same answers alone, together and in chunks."""
    few_layers("gemma3-270m")
    command = [sys.executable, "-c", ANSWERS, kernels]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    settings, found = json.loads(done.stdout)
    return settings, found


def test_each_kernel_is_invariant_and_the_identity_tells_them_apart() -> None:
    settings, found = answers("prefill")
    assert "tiled_mm=1" in settings
    assert found == [found[0]] * 6
    other, by_row = answers("decode")
    assert "tiled_mm=0" in other
    assert by_row == [by_row[0]] * 6
    assert by_row[0] != found[0], "two kernels, two sums: not the same model"


def test_a_process_keeps_the_kernels_that_it_took_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_settled", [])
    for name in ("GGML_CPU_TILED_MM", "GGML_CPU_TILED_MM_FORCE"):
        monkeypatch.setenv(name, "1")
    assert library.settle_kernels("decode", ["Q4_K", "F32"]) == "tiled_mm=0"
    with pytest.raises(ModelLoadError, match="prefill"):
        library.settle_kernels("prefill", ["Q6_K"])


@pytest.mark.needs("llama_cpp")
def test_nothing_stays_open_where_python_says_what_does() -> None:
    load = "from gateway.engine.llama import library; library.load()"
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", load]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_types_without_a_tiled_kernel_do_not_mind_which_was_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(library, "_settled", ["prefill"])
    assert library.settle_kernels("decode", ["Q4_1", "Q8_0", "F32"]) == ""
