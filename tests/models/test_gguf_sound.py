"""What ends the process in llama.cpp is refused by name, before llama.cpp sees it."""

import os
import random
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.errors import GatewayError, ModelLoadError
from gateway.models.gguf_sound import refuse_unsound
from tests.support.gguf_adapters import write_adapter
from tests.support.raw_gguf import ARRAY, FORMS, TEXT, RawGguf, array, text
from tests.support.tiny_gguf import WIDTH, write_gguf

TOKENS = "tokenizer.ggml.tokens"
U16, U32, I32, F32 = 2, 4, 5, 6
I8, F64 = 24, 28
"""Types of tensors."""
Change = Callable[[RawGguf], RawGguf]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_gguf(tmp_path_factory.mktemp("whole") / "m.gguf")[0].read_bytes()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    targets = {"blk.0.attn_q.weight": (WIDTH, WIDTH)}
    path = tmp_path_factory.mktemp("adapter") / "a.gguf"
    return write_adapter(path, 0, targets=targets).read_bytes()


def value(key: str, kind: int, number: float) -> Change:
    return lambda file: file.with_value(key, kind, struct.pack(f"<{FORMS[kind]}", number))


def tokens(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return lambda file: file.with_value(TOKENS, ARRAY, array(TEXT, change(file.texts(TOKENS))))


def named(model: str) -> Change:
    return lambda file: file.with_value("tokenizer.ggml.model", TEXT, text(model.encode()))


def typed(number: int, kind: int) -> Change:
    def change(file: RawGguf) -> RawGguf:
        file.tensors[number].kind = kind
        return file

    return change


def unaligned(file: RawGguf) -> RawGguf:
    kind, packed = U32, struct.pack("<I", 8)
    file = file.with_value("general.alignment", kind, packed)
    for each in file.tensors:
        each.offset += 8
    return file


def dimensions(file: RawGguf) -> RawGguf:
    file.tensors[0].shape = [1] * 5
    return file


BASES: dict[str, tuple[Change, str]] = {
    "a context of nothing": (value("llama.context_length", U32, 3), "context_length is 3"),
    "one beyond all": (
        value("llama.context_length", U32, 4_000_000_000),
        "context_length is 4000000000",
    ),
    "no layers": (value("llama.block_count", U32, 0), "block_count is 0, and may be 1 to 512"),
    "too many layers": (value("llama.block_count", U32, 513), "block_count is 513"),
    "a norm's epsilon": (
        value("llama.attention.layer_norm_rms_epsilon", F32, float("nan")),
        "epsilon is nan",
    ),
    "a negative one": (value("llama.attention.layer_norm_rms_epsilon", F32, -1.0), "is -1.0"),
    "too many experts": (
        value("llama.expert_count", U32, 4_000_000_000),
        "expert_count is 4000000000",
    ),
    "experts that nobody uses": (value("llama.expert_count", U32, 4), "4 experts and uses none"),
    "no experts to use": (value("llama.expert_used_count", U32, 2), "uses experts .* has none"),
    "more layers than there are": (
        value("llama.nextn_predict_layers", U32, 3),
        "nextn_predict_layers is 3, of 2 layers",
    ),
    "more heads of keys than heads": (
        value("llama.attention.head_count_kv", U32, 0x80000002),
        "head_count_kv is 2147483650, of 4 heads",
    ),
    "weights of whole numbers": (typed(-1, I8), "output.weight has numbers of type I8"),
    "weights of wide numbers": (typed(1, F64), "attn_norm.weight has numbers of type F64"),
    "data that are not aligned": (unaligned, "not aligned to 32 bytes: token_embd.weight"),
    "five dimensions": (dimensions, "no readable GGUF: token_embd.weight has 5 dimensions"),
    "an architecture that is a number": (
        value("general.architecture", U32, 1),
        "general.architecture is of the type UINT32, not STRING",
    ),
    "a number of parts of another type": (value("split.count", U32, 1), "split.count is of"),
    "a vocabulary of nothing": (named("none"), "reads no texts"),
    "bytes in one of words": (named("bert"), "tokens for bytes"),
    "RWKV without bytes": (named("rwkv"), "of the 256 bytes, such as 0x00"),
    "a token twice": (tokens(lambda all_: [*all_[:-1], all_[-2]]), "tokens twice: ▁a"),
    "the same before a zero": (
        tokens(lambda all_: [*all_[:-1], all_[-2] + b"\0x"]),
        "tokens twice: ▁a",
    ),
    "a byte that is lacking": (
        tokens(lambda all_: [b"0x80" if each == b"<0x80>" else each for each in all_]),
        "lacks 1 of the 256 bytes, such as 0x80",
    ),
    "bytes in small letters": (
        tokens(lambda all_: [e.lower() if e.startswith(b"<0x") else e for e in all_]),
        "of the 256 bytes, such as 0x0A",
    ),
    "tokens that are numbers": (
        lambda file: file.with_value(TOKENS, ARRAY, array(U32, [1, 2])),
        "holds no texts",
    ),
    "tokens that are one number": (value(TOKENS, U32, 1), "tokenizer.ggml.tokens is no array"),
}


@pytest.mark.parametrize("kind", BASES)
def test_a_header_that_ends_the_process_is_refused(whole: bytes, tmp_path: Path, kind: str) -> None:
    change, said = BASES[kind]
    path = tmp_path / "m.gguf"
    path.write_bytes(change(RawGguf(whole)).build())
    with pytest.raises(ModelLoadError, match=said) as raised:
        refuse_unsound(path)
    assert str(path) in raised.value.message


ADAPTERS: dict[str, tuple[Change, str]] = {
    "a type": (value("general.type", U32, 1), "general.type is of the type UINT32"),
    "a type of adapter": (value("adapter.type", I32, 1), "adapter.type is of"),
    "an alpha": (value("adapter.lora.alpha", U32, 8), "alpha is of the type UINT32, not FLOAT32"),
    "its tokens": (value("adapter.alora.invocation_tokens", U32, 1), "invocation_tokens is of"),
    "its numbers": (typed(0, I8), "lora_a has numbers of type I8"),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_so_is_that_of_an_adapter(adapter: bytes, tmp_path: Path, kind: str) -> None:
    change, said = ADAPTERS[kind]
    path = tmp_path / "a.gguf"
    path.write_bytes(change(RawGguf(adapter)).build())
    with pytest.raises(ModelLoadError, match=said):
        refuse_unsound(path)


def test_a_part_of_a_wrong_type_is_refused_from_any_part(tmp_path: Path) -> None:
    parts = write_gguf(tmp_path / "s.gguf", tensors_a_part=8)
    packed = struct.pack("<I", 1)
    parts[1].write_bytes(RawGguf(parts[1].read_bytes()).with_value("split.no", U32, packed).build())
    for part in parts:
        with pytest.raises(ModelLoadError, match=r"split\.no is of the type UINT32, not UINT16"):
            refuse_unsound(part)


def test_what_llama_cpp_runs_is_not_refused(whole: bytes, adapter: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    empty: Change = tokens(lambda all_: [*all_[:-2], b"", b""])
    for data in (whole, adapter, empty(RawGguf(whole)).build()):
        path.write_bytes(data)
        refuse_unsound(path)
    for part in write_gguf(tmp_path / "s.gguf", tensors_a_part=8):
        refuse_unsound(part)


def test_a_file_that_changes_is_looked_at_again(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(whole)
    refuse_unsound(path)
    path.write_bytes(BASES["no layers"][0](RawGguf(whole)).build())
    with pytest.raises(ModelLoadError):
        refuse_unsound(path)


@pytest.mark.needs("llama_cpp")
def test_no_flipped_bit_of_a_header_ends_the_process(
    whole: bytes, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    from gateway.engine.llama import library

    library.load()
    path = tmp_path / "m.gguf"
    for seed in range(max(40, pytestconfig.getoption("--fuzz") // 50)):
        draw = random.Random(seed)  # noqa: S311
        place = draw.randrange(4, RawGguf(whole).begins)
        data = bytearray(whole)
        data[place] ^= 1 << draw.randrange(8)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        assert ending(path) in (0, 1), f"seed {seed}: byte {place}"


def ending(path: Path) -> int:
    """How a process ends that reads texts by this file: 0, it does; 1, it is refused."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os.environ["GGML_NO_BACKTRACE"] = "1"
        os._exit(_read(path))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _read(path: Path) -> int:
    from gateway.engine.llama.vocabulary import GgufVocabulary

    try:
        vocabulary = GgufVocabulary(path)
        every = "".join(map(chr, range(600)))
        vocabulary.tokenize([(every, True)], add_special=True)
        for token in range(vocabulary.vocab_size):
            vocabulary.piece(token)
        _ = vocabulary.chat_template
    except GatewayError:
        return 1
    except BaseException:  # noqa: BLE001
        return 2
    return 0
