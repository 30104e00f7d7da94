"""The two layouts in which GPTQ and AWQ publish a matrix, packed into integers of 32 bits.

A weight is (number - zero) * scale. Numbers lie without gaps from the lowest bit of a word up:
eight of 4 bits in each, or 32 of 3 bits in three. What differs is along what they are packed:

    GPTQ  qweight (inputs * bits / 32, outputs), along the inputs; g_idx gives each input its group
    AWQ   qweight (inputs, outputs * bits / 32), along the outputs, the eight of a word in the order
          0 2 4 6 1 3 5 7; groups follow each other

Both have qzeros (groups, outputs * bits / 32) and scales (groups, outputs). GPTQ's first format has
every zero stored less one.

References: AutoGPTQ's `qlinear_cuda.py`, GPTQModel's `convert_gptq_v1_to_v2_format_module` (zeros),
AutoAWQ's `WQLinear_GEMM`. A number has at most 9 bits with its sign and a scale in 16 bits 11, so
that their product is exact in float32.
"""

from dataclasses import dataclass

import torch

BITS = (2, 3, 4, 8)
_WORD = 32
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
AWQ_BITS = 4


@dataclass(frozen=True, slots=True)
class Numbers:
    """A matrix as whole numbers.

    Attributes:
        weight: from 0 to 2**bits - 1, shape (inputs, outputs).
        zeros: what stands for nothing, shape (groups, outputs).
        scales: shape (groups, outputs).
        groups: of each input, shape (inputs,).
    """

    weight: torch.Tensor
    zeros: torch.Tensor
    scales: torch.Tensor
    groups: torch.Tensor

    def weights(self) -> torch.Tensor:
        """As a linear layer has them, shape (outputs, inputs), in float32."""
        shifted = (self.weight - self.zeros[self.groups]).float()
        return (shifted * self.scales.float()[self.groups]).T.contiguous()


def pack(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Rows of numbers, shape (rows, n), as words, shape (rows, n * bits / 32); n in whole words."""
    rows = numbers.long().reshape(len(numbers), -1, _WORD)
    words = torch.zeros(*rows.shape[:2], bits, dtype=torch.long)
    for i in range(_WORD):
        word, start = divmod(i * bits, _WORD)
        words[..., word] |= rows[..., i] << start
        if start + bits > _WORD:
            words[..., word + 1] |= rows[..., i] >> (_WORD - start)
    return _signed(words & 0xFFFFFFFF).flatten(1)


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Rows of words as rows of numbers, the inverse of `pack`; int32."""
    # As many words as 32 numbers take; what is short of it at the end of a row holds whole numbers.
    short = -words.shape[1] % bits
    filled = torch.nn.functional.pad(words, (0, short)).long() & 0xFFFFFFFF
    grouped = filled.reshape(len(words), -1, bits)
    numbers = torch.empty(*grouped.shape[:2], _WORD, dtype=torch.int32)
    for i in range(_WORD):
        word, start = divmod(i * bits, _WORD)
        found = grouped[..., word] >> start
        if start + bits > _WORD:
            found = found | grouped[..., word + 1] << (_WORD - start)
        numbers[..., i] = (found & (1 << bits) - 1).int()
    return numbers.flatten(1)[:, : words.shape[1] * _WORD // bits]


def unpack_gptq(
    qweight: torch.Tensor,
    qzeros: torch.Tensor,
    scales: torch.Tensor,
    groups: torch.Tensor,
    bits: int,
    *,
    zeros_less_one: bool,
) -> Numbers:
    """A matrix of GPTQ's layout.

    Args:
        groups: g_idx.
        zeros_less_one: the first format, which stores every zero less one.
    """
    words = _moved(qzeros, bits, 1) if zeros_less_one else qzeros
    return Numbers(unpack(qweight.T, bits).T, unpack(words, bits), scales, groups.long())


def _moved(words: torch.Tensor, bits: int, by: int) -> torch.Tensor:
    """Words whose every number is one more or less, as GPTQModel computes it: words as integers,
    so that what a zero of 0 borrows comes back as a carry; numbers of 3 bits each by itself."""
    if _WORD % bits:
        return pack((unpack(words, bits) + by) & (1 << bits) - 1, bits)
    ones = sum(1 << start for start in range(0, _WORD, bits))
    return _signed((words.long() + by * ones) & 0xFFFFFFFF)


def _signed(words: torch.Tensor) -> torch.Tensor:
    return torch.where(words >> (_WORD - 1) > 0, words - (1 << _WORD), words).int()


def pack_gptq(numbers: Numbers, bits: int) -> dict[str, torch.Tensor]:
    """Tensors of GPTQ's first layout, by their names behind the layer's."""
    return {
        "qweight": pack(numbers.weight.T, bits).T.contiguous(),
        "qzeros": _moved(pack(numbers.zeros, bits), bits, -1),
        "scales": numbers.scales,
        "g_idx": numbers.groups.int(),
    }


def unpack_awq(qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor) -> Numbers:
    """A matrix of AWQ's layout for matrix products ("gemm")."""
    weight, zeros = _in_order(qweight), _in_order(qzeros)
    size = len(weight) // len(scales)
    return Numbers(weight, zeros, scales, torch.arange(len(weight)) // size)


def pack_awq(numbers: Numbers) -> dict[str, torch.Tensor]:
    """Tensors of AWQ's layout, by their names behind the layer's."""
    return {
        "qweight": pack(_out_of_order(numbers.weight), AWQ_BITS),
        "qzeros": pack(_out_of_order(numbers.zeros), AWQ_BITS),
        "scales": numbers.scales,
    }


def _in_order(words: torch.Tensor) -> torch.Tensor:
    eights = unpack(words, AWQ_BITS).unflatten(1, (-1, len(_AWQ_ORDER)))
    return eights[..., torch.tensor(_AWQ_ORDER).argsort()].flatten(1)


def _out_of_order(numbers: torch.Tensor) -> torch.Tensor:
    eights = numbers.unflatten(1, (-1, len(_AWQ_ORDER)))
    return eights[..., list(_AWQ_ORDER)].flatten(1)
