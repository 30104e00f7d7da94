"""What autograd keeps of a forward pass until the backward pass has used it.

Counted tensor by tensor as transformers' blocks and PEFT's LoRA make them in 16-bit numbers with
torch's fused attention; a test compares the count with what torch itself saves. A general count of
this kind: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.
"""

from collections.abc import Iterator, Sequence

from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, times
from gateway.tuning.plan.parameters import Linear, linears
from gateway.tuning.plan.setup import HALF, SINGLE, Setup

_MASK = 1
"""Bytes of an element of dropout's mask on a GPU."""


def of_a_block(a: Architecture, s: Setup) -> tuple[Figure, ...]:
    """All that one block keeps for its backward pass."""
    return (_norms(a, s), *_attention(a, s), _mlp(a, s), _matrices(a, s))


def kept(a: Architecture, s: Setup) -> tuple[Figure, ...]:
    """What all blocks keep from the forward to the backward pass: with gradient checkpointing
    (Chen et al. 2016, arXiv:1604.06174) only their inputs, else everything."""
    if s.checkpointing:
        width = s.stream_width
        value = a.layers * s.tokens * a.hidden * width
        formula = times(a.layers, s.tokens, a.hidden, width)
        return (Figure("inputs of the blocks", value, formula),)
    return tuple(
        Figure(f"{f.name}, all blocks", a.layers * f.value, f"{a.layers} x {f.formula}")
        for f in of_a_block(a, s)
    )


def within_a_block(a: Architecture, s: Setup) -> Figure:
    """Gradients that are in memory together while one MLP goes backward: of its two branches and of
    their product."""
    value = s.tokens * 3 * a.intermediate * HALF
    return Figure("gradients inside the MLP", value, times(s.tokens, 3, a.intermediate, HALF))


def head(a: Architecture, s: Setup) -> tuple[Figure, ...]:
    """The last norm, and the logits: their log-softmax, its gradient and their own are in memory
    together, each in float32."""
    width = SINGLE + s.stream_width + (_normalized(a, s) if s.method == "full" else 0)
    return (
        Figure("last norm", s.tokens * a.hidden * width, times(s.tokens, a.hidden, width)),
        Figure(
            "logits",
            s.tokens * a.vocabulary * 3 * SINGLE,
            times(s.tokens, a.vocabulary, 3, SINGLE),
        ),
    )


def _norms(a: Architecture, s: Setup) -> Figure:
    """Norms compute in float32 and keep their input so."""
    full = s.method == "full"
    width = SINGLE + (_normalized(a, s) if full else 0)
    wide, formula = a.traits.norms * a.hidden * width, times(a.traits.norms, a.hidden, width)
    if a.traits.qk_norm:
        # Queries and keys come out of matrices, so in 16 bits also where training is mixed.
        own = HALF + HALF * a.traits.norm_in_float32 if full else 0
        wide += (a.heads + a.kv_heads) * a.head_dim * (SINGLE + own)
        formula += f" + ({a.heads} + {a.kv_heads}) x {times(a.head_dim, SINGLE + own)}"
    return Figure("norms", s.tokens * wide, f"{number(s.tokens)} x ({formula})")


def _normalized(a: Architecture, s: Setup) -> int:
    """Bytes of the normalized number that the gradient of a norm's weight needs."""
    return SINGLE if a.traits.norm_in_float32 or s.mixed else HALF


def _attention(a: Architecture, s: Setup) -> Iterator[Figure]:
    """Queries, keys, values and the output, and of each row of scores its log-sum-exp."""
    if a.traits.capped:
        # Eager attention repeats keys and values for every head, and keeps no output.
        vectors = 3 * a.heads
    else:
        # Values that are a part of a fused matrix's output hold all of it.
        fused = a.heads + a.kv_heads if a.traits.fused else 0
        vectors = 2 * a.heads + 2 * a.kv_heads + fused
    numbers = vectors * a.head_dim
    formula = times(vectors, a.head_dim, HALF)
    row = 0 if a.traits.capped else a.heads * SINGLE
    value = s.tokens * (numbers * HALF + row)
    yield Figure("attention", value, f"{number(s.tokens)} x ({formula} + {row})")
    if a.traits.capped:
        # tanh's result, the softmax in float32 and in 16 bits.
        width = HALF + SINGLE + HALF
        value = s.tokens * a.heads * s.context * width
        yield Figure("attention scores", value, times(s.tokens, a.heads, s.context, width))


def _mlp(a: Architecture, s: Setup) -> Figure:
    """Gate, its activation and up; their product is an input of down_proj."""
    value = s.tokens * 3 * a.intermediate * HALF
    return Figure("MLP", value, times(s.tokens, 3, a.intermediate, HALF))


def _matrices(a: Architecture, s: Setup) -> Figure:
    """Inputs of matrices whose gradient is computed. Frozen ones need only their own weights."""
    return _of_all(a, s) if s.method == "full" else _of_lora(s)


def _of_all(a: Architecture, s: Setup) -> Figure:
    # The input of o_proj is attention's output, unless that has to be copied for it.
    copied = a.traits.fused or a.traits.capped
    matrices = [x for x in linears(a) if copied or x.name != "o_proj"]
    # Cast to bfloat16 each has its own, else those that read the same share it.
    widths = [x.inputs for x in matrices] if s.mixed else _shared_inputs(matrices)
    value = s.tokens * sum(widths) * HALF
    formula = f"{number(s.tokens)} x ({' + '.join(map(number, widths))}) x {HALF}"
    return Figure("inputs of the matrices", value, formula)


def _shared_inputs(matrices: Sequence[Linear]) -> list[int]:
    return list({x.reads: x.inputs for x in matrices}.values())


def _of_lora(s: Setup) -> Figure:
    """Each target casts its input for itself, and drops out for itself."""
    read = HALF if s.autocast else SINGLE
    width = read + (_MASK if s.dropout else 0)
    inputs = [x.inputs for x in s.targets]
    value = s.tokens * (sum(inputs) * width + len(inputs) * s.rank * read)
    formula = (
        f"{number(s.tokens)} x (({' + '.join(map(number, inputs))}) x {width} + "
        f"{times(len(inputs), s.rank, read)})"
    )
    return Figure("inputs of the LoRA matrices", value, formula)
