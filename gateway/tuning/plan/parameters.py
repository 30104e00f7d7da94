"""How many weights a model has, by module, and how many LoRA adds.

LoRA puts beside a matrix of `out x in` two of `r x in` and `out x r`, so r (in + out) weights are
trained (Hu et al. 2021, arXiv:2106.09685, section 4.1). With grouped-query attention the output of
k_proj and v_proj is kv_heads x head_dim wide, not hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.errors import ConfigError
from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, times, total
from gateway.tuning.recipe import targeted

_QKV = ("q_proj", "k_proj", "v_proj", "qkv_proj")


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix that every block has."""

    name: str
    """As transformers names the module."""
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Without the bias."""
        return self.inputs * self.outputs

    @property
    def reads(self) -> str:
        """Which vector it multiplies: matrices that read the same one share it."""
        if self.name in _QKV:
            return "attention"
        return self.name if self.name in ("o_proj", "down_proj") else "mlp"


def linears(a: Architecture) -> tuple[Linear, ...]:
    """Those of one block, in the order of the forward pass."""
    queries, keys = a.heads * a.head_dim, a.kv_heads * a.head_dim
    qkv_bias = a.attention_bias or a.traits.qkv_bias
    if a.traits.fused:
        first = [Linear("qkv_proj", a.hidden, queries + 2 * keys, qkv_bias)]
        second = [Linear("gate_up_proj", a.hidden, 2 * a.intermediate, a.mlp_bias)]
    else:
        widths = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        first = [Linear(name, a.hidden, width, qkv_bias) for name, width in widths.items()]
        names = ("gate_proj", "up_proj")
        second = [Linear(name, a.hidden, a.intermediate, a.mlp_bias) for name in names]
    output = Linear("o_proj", queries, a.hidden, a.attention_bias)
    down = Linear("down_proj", a.intermediate, a.hidden, a.mlp_bias)
    return (*first, output, *second, down)


def parameters(a: Architecture) -> tuple[Figure, ...]:
    """Weights of the model, by kind; their values sum to what `num_parameters` of transformers is.
    A tied output layer counts once, as the embedding."""
    made = [Figure("embedding", a.vocabulary * a.hidden, times(a.vocabulary, a.hidden))]
    if not a.tied:
        made.append(Figure("output layer", a.vocabulary * a.hidden, times(a.vocabulary, a.hidden)))
    for linear in linears(a):
        formula = times(a.layers, linear.inputs, linear.outputs)
        made.append(Figure(linear.name, a.layers * linear.weights, formula))
    if biases := [linear.outputs for linear in linears(a) if linear.bias]:
        formula = f"{a.layers} x ({' + '.join(map(number, biases))})"
        made.append(Figure("biases", a.layers * sum(biases), formula))
    return (*made, _norms(a))


def _norms(a: Architecture) -> Figure:
    block, formula = a.traits.norms * a.hidden, times(a.traits.norms, a.hidden)
    if a.traits.qk_norm:
        block, formula = block + 2 * a.head_dim, f"{formula} + {times(2, a.head_dim)}"
    value = a.layers * block + a.hidden
    return Figure("norms", value, f"{a.layers} x ({formula}) + {number(a.hidden)}")


def count(a: Architecture) -> int:
    """All weights."""
    return int(total(parameters(a)))


def quantizable(a: Architecture) -> int:
    """Weights of the matrices in the blocks: what bitsandbytes quantizes. The embedding is none of
    torch.nn.Linear, and transformers leaves the output layer out."""
    return a.layers * sum(linear.weights for linear in linears(a))


def targets_of(a: Architecture, text: str) -> tuple[Linear, ...]:
    """The matrices that a recipe's targets are in this model: see `recipe.targeted`."""
    known = {linear.name: linear for linear in linears(a)}
    return tuple(known[name] for name in targeted(list(known), text))


def lora(a: Architecture, rank: int, targets: Sequence[Linear]) -> tuple[Figure, ...]:
    """Trainable weights by target; the sum is what `print_trainable_parameters` of PEFT says.

    Raises:
        ConfigError: the rank is below 1.
    """
    if rank < 1:
        raise ConfigError(f"a LoRA of rank {rank} trains nothing", hint="--rank 1 or more")
    return tuple(
        Figure(
            x.name,
            a.layers * rank * (x.inputs + x.outputs),
            f"{times(a.layers, rank)} x ({number(x.inputs)} + {number(x.outputs)})",
        )
        for x in targets
    )
