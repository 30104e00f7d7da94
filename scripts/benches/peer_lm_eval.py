"""lm-evaluation-harness on the same weights, dequantized: the label scores of some prompts.

Runs in the environment that `scripts/peers` makes. Reads JSON from standard input and prints JSON:

    {"gguf": path, "peft": folder or "", "items": [{"prompt": text, "labels": [text]}]} ->
    {"seconds": of the scoring alone, "scores": [[log-probability]], "version": lm-eval's}
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

BATCH = 8
"""Label sequences in one forward pass, as its documentation recommends one to choose."""


def main() -> None:
    asked = json.load(sys.stdin)
    path = Path(asked["gguf"])
    model = HFLM(
        pretrained=str(path.parent),
        gguf_file=path.name,
        peft=asked.get("peft") or None,
        device="cpu",
        dtype="float32",
        batch_size=BATCH,
    )
    requests = [
        Instance("loglikelihood", {}, (item["prompt"], label), number)
        for number, item in enumerate(asked["items"])
        for label in item["labels"]
    ]
    begun = time.perf_counter()
    found = iter(model.loglikelihood(requests))
    seconds = time.perf_counter() - begun
    scores = [[next(found)[0] for _ in item["labels"]] for item in asked["items"]]
    print(json.dumps({"seconds": seconds, "scores": scores, "version": version("lm_eval")}))


main()
