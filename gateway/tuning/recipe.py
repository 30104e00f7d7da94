"""How an adapter is trained: every choice, with the field's defaults.

Sources: Hu et al. 2021, "LoRA", arXiv:2106.09685 (rank, alpha); Dettmers et al. 2023, "QLoRA",
arXiv:2305.14314 (adapters on all linear layers, learning rate 2e-4 up to 13B, dropout 0.05 for
small models, NF4 with doubly quantized scales); Li and Hoiem 2016, "Learning without forgetting",
arXiv:1606.09282 (what the model said before as a target beside the new one: `replay`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.models.spec import Dtype, Quantize

Method = Literal["lora", "probe"]
"""What is made: an adapter, or a probe (`gateway.tuning.probe`)."""

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer but the output layer."""
_QUERY_VALUE = ("q_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value")
_UP_AND_DOWN = ("up_proj", "down_proj", "gate_up_proj", "fc1", "fc2")
TARGETS: Mapping[str, tuple[str, ...]] = {
    ALL_LINEAR: (),
    "attention": (*_QUERY_VALUE, "k_proj", "o_proj"),
    "query-value": _QUERY_VALUE,
    "qv": _QUERY_VALUE,
    "mlp": ("gate_proj", *_UP_AND_DOWN, "dense_h_to_4h", "dense_4h_to_h"),
}
"""Names for the modules that get an adapter. A name that an architecture lacks is left out, so
that one list serves those with one matrix for query, key and value and those with three."""
DTYPES = ("float32", "bfloat16", "float16")
NF4 = "nf4"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The choices of one training. Equal recipes, data and weights give equal adapters."""

    rank: int = 16
    """Of the two matrices beside each weight: 8 to 16 for labels and formats, 32 to 64 for more to
    learn."""
    alpha: float = 32.0
    """What they add counts alpha / rank times; twice the rank is usual."""
    # PEFT's own default. QLoRA's 0.05 took a quarter of the time of a step on a CPU, most of it for
    # drawing.
    dropout: float = 0.0
    """Against overfitting, 0 to 0.1; slows a CPU by a quarter."""
    targets: str = ALL_LINEAR
    """Which layers: all-linear, attention, query-value (qv), mlp, or module names, with commas
    between."""
    top_layers: int = 0
    """Only so many of the last layers (0: all). What the others compute is then kept from the first
    epoch on: faster, and a little worse."""
    learning_rate: float = 2e-4
    """At its height; 1e-4 to 5e-4, up to 1e-3 for models below a billion weights."""
    warmup: float = 0.05
    """Share of the steps until then; behind it a cosine down to 0."""
    weight_decay: float = 0.0
    """Of AdamW."""
    epochs: int = 5
    """At most: readings of the data, 1 to 5."""
    batch: int = 16
    """Examples a step, 8 to 32."""
    # Of prompt and answer. A cut example would teach the cut.
    max_tokens: int = 512
    """Of an example; a longer one is an error."""
    patience: int = 2
    """Stop after so many epochs without a better held-out score."""
    held_out: float = 0.15
    """Share of --train that decides when to stop, stratified by label."""
    replay: str = ""
    """A text from elsewhere: each step the model also learns to predict a piece of it as its base
    does, so that it forgets less."""
    replay_weight: float = 1.0
    """What a nat of that counts beside one of the answers."""
    seed: int = 0
    """Of everything drawn."""
    dtype: "Dtype" = "float32"
    """float32, or bfloat16 where the machine computes in it."""
    quantize: "Quantize" = ""
    """nf4: the base in 4 bits (QLoRA), from a folder of safetensors."""

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option} {value:g} is not between {low:g} and {high:g}")

        if self.replay_weight != 1.0 and not self.replay:
            raise ConfigError(
                "--replay-weight is of a text, and none is given", hint="--replay FILE"
            )
        for name, known in (("dtype", DTYPES), ("quantize", ("", NF4))):
            if (value := getattr(self, name)) not in known:
                allowed = ", ".join(filter(None, known))
                raise ConfigError(f"--{name} {value} is not known", hint=f"known: {allowed}")

    def table(self) -> dict[str, str | int | float | bool]:
        """As a card records it; of replay nothing where there is none."""
        left = {"seed"} if self.replay else {"seed", "replay_weight"}
        given = {key: value for key, value in asdict(self).items() if value != ""}
        return {key: value for key, value in given.items() if key not in left}


def targeted(linear: Sequence[str], targets: str) -> list[str]:
    """Those of a model's linear layers that get an adapter.

    Args:
        linear: last parts of the names of its modules, without the output layer.
        targets: as in `Recipe`.

    Raises:
        ConfigError: the model has none of what a name stands for, or nothing is named.
    """
    chosen: set[str] = set()
    for name in [part.strip() for part in targets.split(",") if part.strip()] or [""]:
        meant = linear if name == ALL_LINEAR else TARGETS.get(name, (name,))
        found = set(linear).intersection(meant)
        if not found:
            raise ConfigError(
                f"--targets {targets}: the model has no linear layers called {name or 'nothing'}",
                hint=f"it has {', '.join(linear)}; or {', '.join(TARGETS)}",
            )
        chosen |= found
    return [name for name in linear if name in chosen]


_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("rank", 1, 1024),
    ("alpha", 1e-3, 1e5),
    ("dropout", 0.0, 0.9),
    ("top_layers", 0, 10_000),
    ("learning_rate", 1e-7, 1.0),
    ("warmup", 0.0, 0.9),
    ("weight_decay", 0.0, 1.0),
    ("epochs", 1, 1000),
    ("batch", 1, 4096),
    ("max_tokens", 8, 1 << 17),
    ("patience", 1, 1000),
    ("held_out", 0.05, 0.5),
    ("replay_weight", 0.0, 1000.0),
    ("seed", 0, 2**63 - 1),
)
