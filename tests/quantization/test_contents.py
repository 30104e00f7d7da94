"""What files really hold, of real files whose names promise something else."""

from collections import Counter

from hypothesis import given as for_all
from hypothesis import strategies as st

from gateway.backends.registry import load_models
from gateway.models.gguf import Tensor
from gateway.models.gguf_reader import RawReader
from gateway.quantization.contents import Contents, contents_of, part_of
from gateway.quantization.make import Made
from gateway.quantization.names import Level, levels, parse_level
from gateway.quantization.remarks import name_remarks, types
from gateway.quantization.source import Given, given
from tests.conftest import spec_and_path


def contents(model: Given) -> Contents:
    return contents_of(model.header, model.path)


def test_bits_per_weight_are_the_tensors_bytes(smollm2_file: Given) -> None:
    found = contents(smollm2_file)
    tensors = RawReader(smollm2_file.path).tensors
    assert found.total.size == sum(int(t.n_bytes) for t in tensors)
    assert found.total.weights == sum(int(t.n_elements) for t in tensors)
    assert found.total.bits_per_weight == 8 * found.total.size / found.total.weights
    kinds: Counter[str] = Counter()
    for tensor in tensors:
        kinds[tensor.tensor_type.name] += int(tensor.n_elements)
    assert {kind: share.weights for kind, share in found.types.items()} == dict(kinds)
    assert list(found.types) == [kind for kind, _ in kinds.most_common()]


def test_a_file_that_holds_what_it_is_called_has_no_fallbacks(smollm2_file: Given) -> None:
    found = contents(smollm2_file)
    assert found.level == parse_level("Q4_1")
    assert found.fallbacks == ()
    assert list(name_remarks(found)) == []
    assert {part: round(share.bits_per_weight, 3) for part, share in found.parts.items()} == {
        "embedding": 8.5,
        "attention": 5.0,
        "feed-forward": 5.0,
        "norms": 32.0,
    }


def test_a_width_of_576_has_no_k_blocks_and_the_fallbacks_are_named(made: Made) -> None:
    model = given(str(made.path), load_models())
    found = contents(model)
    narrow = [t for t in model.header.tensors if len(t.shape) > 1 and t.shape[0] == 576]
    assert {(f.width, f.block) for f in found.fallbacks} == {(576, 256)}
    assert sum(f.share.tensors for f in found.fallbacks) == len(narrow) == 181
    assert {f.type for f in found.fallbacks} == {"Q5_0", "Q8_0"}
    (said,) = name_remarks(found)
    assert "rows of 576 cannot be cut into blocks of 256" in said
    assert types(found) in said


def test_gemma_s_q4_k_m_is_mostly_other_types() -> None:
    spec_and_path("gemma3-270m")
    found = contents(given("gemma3-270m", load_models()))
    assert found.level == parse_level("Q4_K_M")
    assert found.as_named < 0.1
    assert 0.8 < found.fallback_share < 0.9
    assert found.types["Q8_0"].weights > found.total.weights / 2


def test_where_nothing_says_the_level_nothing_is_a_fallback(smollm2_file: Given) -> None:
    unnamed = Contents(None, smollm2_file.header.tensors)
    assert (unnamed.fallbacks, unnamed.as_named) == ((), 1.0)


NAMES = ("token_embd", "output", "output_norm", "blk.0.attn_q", "blk.1.ffn_up", "blk.0.ssm_a", "x")
tensors = st.lists(
    st.builds(
        lambda name, kind, blocks, rows: Tensor(f"{name}.weight", kind, (256 * blocks, rows)),
        st.sampled_from(NAMES),
        st.sampled_from(["F32", "F16", "Q8_0", "Q4_K", "Q6_K", "IQ2_XXS"]),
        st.integers(1, 8),
        st.integers(1, 300),
    ),
    max_size=20,
)


@for_all(tensors, st.sampled_from(levels()))
def test_parts_and_types_each_divide_the_whole(held: list[Tensor], level: Level) -> None:
    found = Contents(level, held)
    for division in (found.parts, found.types):
        assert sum(share.weights for share in division.values()) == found.total.weights
        assert sum(share.size for share in division.values()) == found.total.size
        assert sum(share.tensors for share in division.values()) == len(held)
    assert 0 <= found.as_named <= 1
    assert 0 <= found.fallback_share <= 1


def test_tensors_belong_to_the_part_that_their_name_says() -> None:
    assert [part_of(f"{name}.weight") for name in NAMES] == [
        *("embedding", "output", "norms", "attention", "feed-forward", "other", "other"),
    ]
    assert part_of("blk.3.attn_k_norm.weight") == "norms"
    assert part_of("blk.3.attn_q.bias") == "norms"
