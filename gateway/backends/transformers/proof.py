"""Proof that a merged model computes what base and adapter compute: logits of the same tokens.

PEFT merges what it can say as one matrix, and says nothing where that is not what it computes: with
weights that the embedding and the output layer share, an adapter on one of them changes both.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import ModelLoadError

TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""How far logits may be apart, as a share of the largest of them or of 1, by the type in which
weights are kept: an adapter's part is rounded as it is added to them."""
_PROMPTS, _LENGTH, _SEED = 3, 12, 20


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a merged model is from base and adapter."""

    apart: float
    """Largest difference of two logits."""
    moved: float
    """Largest difference that the adapter makes."""
    largest: float
    """Of base and adapter, the largest logit."""
    dtype: str
    """The narrowest type in which the merged weights were kept: a key of `TOLERANCE`."""

    @property
    def allowed(self) -> float:
        """As far apart as they may be; in 16 bits, no more than half of what the adapter does."""
        scale = max(1.0, self.largest)
        exact = TOLERANCE["float32"] * scale
        return max(exact, min(TOLERANCE[self.dtype] * scale, self.moved / 2))

    def __str__(self) -> str:
        return (
            f"logits of {_PROMPTS} prompts are {self.apart:.1e} apart from base and adapter, "
            f"which differ by {self.moved:.1e} from the base; allowed in {self.dtype}: "
            f"{self.allowed:.1e}"
        )


def require(proof: Proof, what: object) -> Proof:
    """The proof, if it holds.

    Raises:
        ModelLoadError: it does not, with the figures.
    """
    if proof.apart <= proof.allowed:
        return proof
    raise ModelLoadError(
        f"{what}: merged it is not the same model: {proof}",
        hint="nothing was written; run it unmerged, as ENTRY+ADAPTER on an entry of torch"
        if proof.dtype == "float32"
        else f"nothing was written; {proof.dtype} may be too coarse: merge it in float32",
    )


def compare(base: Any, wanted: Any, found: Any, dtype: str) -> Proof:
    """The figures of three sets of logits, each as `logits` answers them."""
    if wanted.shape != found.shape:
        return Proof(float("inf"), 0.0, 0.0, dtype)
    apart, moved = float((found - wanted).abs().max()), float((wanted - base).abs().max())
    # Not a number is not near anything.
    return Proof(apart if apart == apart else float("inf"), moved, float(wanted.abs().max()), dtype)


def logits(module: Any, also: Sequence[int] = ()) -> Any:
    """What a causal model computes for drawn tokens, in float32 on the processor.

    Args:
        module: of transformers, whatever adapters are on its layers.
        also: tokens that have to be among them, because an adapter is about them.

    Returns:
        Shape (prompts, tokens, vocabulary).
    """
    import torch

    size = int(module.config.get_text_config().vocab_size)
    drawn = torch.randint(size, (_PROMPTS, _LENGTH), generator=torch.Generator().manual_seed(_SEED))
    known = [token for token in also if 0 <= token < size][: _LENGTH // 2]
    for place, token in enumerate(known):
        drawn[:, 2 * place] = token
    with torch.inference_mode(), _plainly(module):
        made = module(input_ids=drawn.to(module.device), use_cache=False).logits
    return made.float().cpu()


@contextmanager
def _plainly(module: Any) -> Iterator[None]:
    """The block in which a model attends as transformers does by itself, and is not trained."""
    before, trained = module.config.get_text_config()._attn_implementation, module.training
    module.eval()
    module.set_attn_implementation("eager")
    try:
        yield
    finally:
        module.set_attn_implementation(before)
        module.train(trained)
