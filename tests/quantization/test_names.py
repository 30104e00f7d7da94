"""Names of levels, against llama.cpp's own numbers, block layouts and choices of types."""

import ctypes

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.engine.llama import library
from gateway.engine.llama.quantizer import plan
from gateway.models.gguf import block_layout
from gateway.quantization.names import bits_per_weight, level_in, levels, parse_level
from gateway.quantization.source import Given
from tests.quantization.tiny import LAYERS

KNOWN = [level.name for level in levels()]


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("name", KNOWN)
def test_a_level_has_the_number_that_llama_cpp_gives_it(name: str) -> None:
    lib = library.load()
    kind = "ALL" if name == "F32" else "MOSTLY"
    level = parse_level(name.lower())
    assert level.name == name
    if name != "Q1_0":  # newer than the constants of llama-cpp-python
        assert level.number == getattr(lib, f"LLAMA_FTYPE_{kind}_{name}")


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("name", sorted({level.base for level in levels()}))
def test_bits_per_weight_are_those_of_ggml_s_blocks(name: str) -> None:
    from gguf import GGMLQuantizationType

    ggml = library.load()._lib
    ggml.ggml_blck_size.restype, ggml.ggml_type_size.restype = ctypes.c_int64, ctypes.c_size_t
    number = int(GGMLQuantizationType[name])
    layout = (ggml.ggml_blck_size(number), ggml.ggml_type_size(number))
    assert block_layout(name) == layout
    assert bits_per_weight(name) == 8 * layout[1] / layout[0]


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "MXFP4_MOE"])
def test_the_base_type_is_the_one_that_llama_cpp_takes_where_it_takes_no_other(
    name: str, tiny: Given
) -> None:
    level = parse_level(name)
    assert level.number is not None
    planned = plan(tiny.path, tiny.header.tensors, level.number)
    types = {tensor.name: tensor.type for tensor in planned.tensors}
    assert types[f"blk.{LAYERS - 1}.ffn_up.weight"] == level.base
    assert planned.needs_imatrix == (level.imatrix == "needed")


@pytest.mark.parametrize(
    ("name", "family", "bits", "base", "size"),
    [
        ("Q4_K_M", "K", 4, "Q4_K", "M"),
        ("Q4_K", "K", 4, "Q4_K", "M"),
        ("q3_k_l", "K", 3, "Q3_K", "L"),
        ("Q2_K_S", "K", 2, "Q2_K", "S"),
        ("Q6_K", "K", 6, "Q6_K", ""),
        ("Q8_0", "plain", 8, "Q8_0", ""),
        ("Q4_1", "plain", 4, "Q4_1", ""),
        ("IQ4_NL", "I", 4, "IQ4_NL", ""),
        ("IQ4_XS", "I", 4, "IQ4_XS", "XS"),
        ("IQ3_M", "I", 3, "IQ3_S", "M"),
        ("IQ2_S", "I", 2, "IQ2_XS", "S"),
        ("TQ1_0", "ternary", 1, "TQ1_0", ""),
        ("bf16", "float", 16, "BF16", ""),
    ],
)
def test_a_name_says_family_bits_base_type_and_size(
    name: str, family: str, bits: int, base: str, size: str
) -> None:
    level = parse_level(name)
    assert (level.family, level.bits, level.base, level.size) == (family, bits, base, size)
    assert f"{bits_per_weight(base):g} bits a weight" in level.explain()


def test_a_dynamic_level_is_read_and_is_none_that_llama_cpp_makes() -> None:
    level = parse_level("UD-Q4_K_XL")
    assert (level.name, level.base, level.size, level.number) == ("UD-Q4_K_XL", "Q4_K", "XL", None)
    assert "chosen by the file's maker" in level.explain()


@pytest.mark.parametrize(
    "name", ["", "Q9_K", "Q4", "Q4_K_M.gguf", "ollama", "IQ4_K", "Q4_K_M Q8_0"]
)
def test_what_is_no_name_is_an_error_that_lists_the_names(name: str) -> None:
    with pytest.raises(ConfigError, match="names no quantization level") as error:
        parse_level(name)
    assert "Q4_K_M" in error.value.hint


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("gemma-3-270m-q4_k_m.gguf", "Q4_K_M"),
        ("Qwen3-0.6B-UD-IQ2_XXS.gguf", "UD-IQ2_XXS"),
        ("model-f16.gguf", "F16"),
        ("from-Q8_0-to-Q2_K.gguf", "Q2_K"),
    ],
)
def test_the_level_is_found_in_a_file_s_name(file: str, name: str) -> None:
    level = level_in(file)
    assert level is not None
    assert level.name == name


@for_all(st.text(max_size=30))
def test_any_text_names_a_level_or_none(text: str) -> None:
    level = level_in(text)
    assert level is None or parse_level(level.name) == level
