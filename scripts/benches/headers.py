"""scripts/bench headers [N] [--seed S]: N damaged GGUF headers, each met by a process of its own.

Tiny models, whole and in parts, are damaged: flipped bits, lengths, counts, types, alignments,
offsets, shapes, twice the same key, a file that is cut, odd vocabularies. A child process does what
a server does with each. Nothing may end it but in the trial, which a server runs in a child of its
own; nothing may take more than SECONDS or MEMORY, or be told by another error than the gateway's.
"""

import argparse
import asyncio
import contextlib
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"GGML_NO_BACKTRACE": "1", "GATEWAY_TRIAL": "off", "GATEWAY_CACHE": "off"}
sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.backends.llama_cpp import trial
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import GatewayError
from gateway.core.types import GenerationRequest, Sampling
from gateway.engine.llama import library
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models.gguf_kind import refuse_no_model
from gateway.models.gguf_parts import read_model
from gateway.models.spec import PathSource
from gateway.models.weights import weights_digests
from tests.support import architectures
from tests.support.raw_gguf import ARRAY, FORMS, TEXT, RawGguf, array, text
from tests.support.tiny_gguf import write_gguf

SECONDS, MEMORY = 20, 1 << 30
ROOM = 8 << 30
"""Bytes of addresses that a child may take: what asks for more gets an error of its own."""
HOSTILE = (0, 1, 2, 31, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
BASES = ("llama", "qwen3moe", "gemma3", "mamba2", "bert-mean", "t5", "deepseek2")
IN_TRIAL = "trial"
KILLED, RAISED, SLOW, LARGE = "KILLED", "RAISED", "SLOW", "LARGE"
BAD = (KILLED, RAISED, SLOW, LARGE)

Draw = random.Random
Damage = Callable[[bytes, Draw], bytes]


def flipped(data: bytes, draw: Draw) -> bytes:
    made, begins = bytearray(data), RawGguf(data).begins
    for _ in range(draw.choice((1, 1, 2, 8))):
        made[draw.randrange(begins)] ^= 1 << draw.randrange(8)
    return bytes(made)


def overwritten(data: bytes, draw: Draw) -> bytes:
    """A number anywhere, which may be a length, a count, a type or an offset."""
    made, form = bytearray(data), draw.choice("IQ")
    at = draw.randrange(4, RawGguf(data).begins - 8)
    struct.pack_into(
        f"<{form}", made, at, draw.choice(HOSTILE) % (1 << (8 * struct.calcsize(form)))
    )
    return bytes(made)


def counted(data: bytes, draw: Draw) -> bytes:
    """Another number of tensors or keys, or another version."""
    made = bytearray(data)
    at, form = draw.choice(((4, "I"), (8, "Q"), (16, "Q")))
    (now,) = struct.unpack_from(f"<{form}", made, at)
    number = draw.choice((*HOSTILE, now - 1, now + 1)) % (1 << (8 * struct.calcsize(form)))
    struct.pack_into(f"<{form}", made, at, number)
    return bytes(made)


def cut(data: bytes, draw: Draw) -> bytes:
    end = draw.choice((RawGguf(data).begins, len(data)))
    return data[: draw.randrange(end)]


def retyped(data: bytes, draw: Draw) -> bytes:
    """A key of another type, with the bytes of it or with what was there."""
    file = RawGguf(data)
    key = draw.choice(list(file.values))
    kind = draw.choice([*FORMS, TEXT, ARRAY])
    return file.with_value(key, kind, _packed(kind, draw)).build()


def revalued(data: bytes, draw: Draw) -> bytes:
    """A number that is none of those that a model has."""
    file = RawGguf(data)
    key = draw.choice([key for key, (kind, _) in file.values.items() if kind in FORMS])
    kind = file.values[key][0]
    return file.with_value(key, kind, _packed(kind, draw)).build()


def _packed(kind: int, draw: Draw) -> bytes:
    if kind == TEXT:
        return text(
            draw.choice((b"", b"\xff\xfe", b"\0", b"a" * 70_000, b"{{ 1/0 }}", b"{% if %}"))
        )
    if kind == ARRAY:
        inner = draw.choice(list(FORMS))
        return array(inner, [1] * draw.choice((0, 1, 3)))
    form = FORMS[kind]
    if form in "fd":
        return struct.pack(f"<{form}", draw.choice((0.0, -1.0, 1e30, float("nan"), float("inf"))))
    size = 8 * struct.calcsize(form)
    return (draw.choice(HOSTILE) % (1 << size)).to_bytes(size // 8, "little")


def aligned(data: bytes, draw: Draw) -> bytes:
    kind = draw.choice((4, 4, 4, 5, 10, 6, TEXT))
    size = struct.calcsize(FORMS.get(kind, "I"))
    number = draw.choice((0, 1, 2, 3, 7, 8, 16, 33, 64, 4096, 2**31, 2**32 - 1))
    packed = text(b"32") if kind == TEXT else number.to_bytes(size, "little")
    return RawGguf(data).with_value("general.alignment", kind, packed).build()


def moved(data: bytes, draw: Draw) -> bytes:
    """A tensor's data lie elsewhere: behind the file, upon another's, or not aligned."""
    file = RawGguf(data)
    each = draw.choice(file.tensors)
    elsewhere = (1, 32, len(file.data), len(file.data) - 32, each.offset + 1, *HOSTILE)
    each.offset = draw.choice(elsewhere) % 2**64
    return file.build()


def reshaped(data: bytes, draw: Draw) -> bytes:
    file = RawGguf(data)
    each = draw.choice(file.tensors)
    each.shape = list(each.shape)
    place = draw.randrange(len(each.shape) + 1)
    if place == len(each.shape):
        each.shape += [draw.choice(HOSTILE)] * draw.choice((1, 4))
    else:
        near = (each.shape[place] - 1, each.shape[place] + 1, each.shape[place] * 2)
        each.shape[place] = draw.choice((*HOSTILE, *near)) % 2**64
    return file.build()


def requantized(data: bytes, draw: Draw) -> bytes:
    file = RawGguf(data)
    draw.choice(file.tensors).kind = draw.choice((*range(45), 255, 2**31, 2**32 - 1))
    return file.build()


def renamed(data: bytes, draw: Draw) -> bytes:
    """A tensor of another's name, of none, or of one that nobody knows."""
    file = RawGguf(data)
    each, other = draw.choice(file.tensors), draw.choice(file.tensors)
    names = (other.name, b"", b"x" * 63, b"x" * 64, b"x" * 9999, b"\xff", each.name + b"\0")
    each.name = draw.choice(names)
    return file.build()


def removed(data: bytes, draw: Draw) -> bytes:
    file = RawGguf(data)
    if draw.random() < 0.5:
        del file.values[draw.choice(list(file.values))]
    else:
        file.tensors.remove(draw.choice(file.tensors))
    return file.build()


class _Twice(dict[str, tuple[int, bytes]]):
    """Values of which one more is written."""

    more: tuple[str, tuple[int, bytes]]

    def items(self) -> Any:
        return [*super().items(), self.more]

    def __len__(self) -> int:
        return super().__len__() + 1


def doubled(data: bytes, draw: Draw) -> bytes:
    """A key that stands twice, with the same value or another."""
    file = RawGguf(data)
    key = draw.choice(list(file.values))
    values = _Twice(file.values)
    kind = draw.choice([*FORMS, TEXT])
    values.more = key, draw.choice((file.values[key], (kind, _packed(kind, draw))))
    file.values = values
    return file.build()


def vocabulary(data: bytes, draw: Draw) -> bytes:
    """Tokens, their types and scores, of other lengths and contents."""
    file = RawGguf(data)
    keys = [key for key, (kind, _) in file.values.items() if kind == ARRAY]
    key = draw.choice(keys)
    packed = file.values[key][1]
    (inner,) = struct.unpack_from("<I", packed)
    if inner == TEXT:
        words = file.texts(key)
        odd = (b"", b"\xff\xff", b"\0", b"<0x41>", b"a" * 100_000, draw.choice(words), b"<|x|>")
        words[draw.randrange(len(words))] = draw.choice(odd)
        words = draw.choice((words, words[:-1], [*words, b"more"], words[:1], []))
        return file.with_value(key, ARRAY, array(TEXT, words)).build()
    form = FORMS[inner]
    (count,) = struct.unpack_from("<Q", packed, 4)
    numbers = list(struct.unpack_from(f"<{count}{form}", packed, 12))
    if numbers:
        hostile = (float("nan"), 1e30) if form in "fd" else (-1, 0, 6, 99, 2**31 - 1)
        numbers[draw.randrange(count)] = draw.choice(hostile) if form in "fdi" else 1
    numbers = draw.choice((numbers, numbers[:-1], numbers * 2, []))
    return file.with_value(key, ARRAY, array(inner, numbers)).build()


DAMAGES: Sequence[Damage] = (
    *(flipped, flipped, overwritten, overwritten, counted, cut, retyped, revalued, revalued),
    *(aligned, moved, reshaped, requantized, renamed, removed, doubled, vocabulary),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    kind: str
    stage: str
    said: str
    seconds: float
    memory: int


def serve(path: Path, at: Callable[[str], None]) -> str:
    """What a server does with a file, step by step."""
    at("header")
    refuse_no_model(path, read_model(path))
    at("digests")
    weights_digests(path, path.with_suffix(".json"))
    at("vocabulary")
    words = GgufVocabulary(path)
    words.tokenize([("".join(map(chr, range(300))), True)], add_special=True)
    for token in range(min(words.vocab_size, 400)):
        words.piece(token)
    _ = words.chat_template, words.special_tokens, words.control_pattern
    words.close()
    at(IN_TRIAL)
    trial.run(path, "plain")
    at("answer")
    spec = LlamaCppSpec("m", PathSource(path), context_length=64, threads=1, parallel=1)
    return asyncio.run(_answer(LlamaCppBackend(spec, path)))


async def _answer(backend: LlamaCppBackend) -> str:
    if not backend.abilities.writes:
        return "it embeds"
    asked = GenerationRequest("m", prompt="a b", sampling=Sampling(max_tokens=2))
    await backend.generate(asked)
    await backend.score_labels(asked, ("x", "y"))
    return "it answers"


def met(path: Path) -> Outcome:
    """How a child process fares with a file."""
    began, (read, write) = time.monotonic(), os.pipe()
    child = os.fork()
    if child == 0:
        _child(path, write)
    os.close(write)
    _, status, used = os.wait4(child, 0)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read().decode("utf-8", "replace").split("\0")
    stage = next((each[1:] for each in reversed(told) if each.startswith(">")), "")
    said, memory = told[-1], used.ru_maxrss * 1024
    seconds, ended = time.monotonic() - began, os.waitstatus_to_exitcode(status)
    kind = {0: "runs", 1: "refused", 2: RAISED}.get(ended, KILLED)
    if kind == KILLED:
        kind = SLOW if -ended == signal.SIGALRM else "ends the trial" if stage == IN_TRIAL else kind
        said = f"signal {-ended}"
    elif memory > MEMORY:
        kind = LARGE
    return Outcome(kind, stage, said, seconds, memory)


def _child(path: Path, write: int) -> None:
    """Does not return."""
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)

    def at(stage: str) -> None:
        os.write(write, f"\0>{stage}".encode())

    code, said = 2, ""
    try:
        said, code = serve(path, at), 0
    except GatewayError as error:
        said, code = f"{error}", 1
    except BaseException as error:  # noqa: BLE001 - whatever a server would not catch
        said = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        os.write(write, f"\0{said[:300]}".encode())
    os._exit(code)


def bases(folder: Path) -> Mapping[str, bytes]:
    """The models that are damaged, by name."""
    found = {name: architectures.write(name, folder).read_bytes() for name in BASES}
    return {"bytes": write_gguf(folder / "bytes.gguf")[0].read_bytes(), **found}


def damaged(whole: Mapping[str, bytes], seed: int) -> tuple[str, bytes]:
    """How the file of a seed was made, and the file."""
    draw = random.Random(seed)  # noqa: S311
    name, damage = draw.choice(list(whole)), draw.choice(DAMAGES)
    return f"{name} {damage.__name__}", damage(whole[name], draw)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("count", type=int, nargs="?", default=5000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    parser.add_argument("--keep", type=Path, help="a folder for files that did harm")
    asked = parser.parse_args()
    library.load()
    kinds: Counter[str] = Counter()
    slowest = largest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        whole = bases(Path(folder))
        for seed in range(asked.seed, asked.seed + asked.count):
            how, data = damaged(whole, seed)
            path = Path(folder) / f"m{seed}.gguf"
            path.write_bytes(data)
            found = met(path)
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
            kinds[found.kind] += 1
            slowest, largest = max(slowest, found.seconds), max(largest, found.memory)
            if found.kind in BAD:
                print(f"seed {seed}: {how}: {found.kind} at {found.stage}: {found.said}")
                if asked.keep:
                    (asked.keep / f"{seed}.gguf").write_bytes(data)
    print(f"\n{asked.count} files: " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
    print(f"slowest {slowest:.1f} s, most memory {largest / 1e6:.0f} MB")
    return int(any(kinds[kind] for kind in BAD))


if __name__ == "__main__":
    sys.exit(main())
