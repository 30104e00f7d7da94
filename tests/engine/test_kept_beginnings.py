"""Beginnings of prompts that lie on disk: what they save, and that they change no answer."""

import logging
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.core.kept import BEGINNING, KeptFiles
from gateway.engine import kept_beginnings
from gateway.engine.context import Adapter, Logits, Memory, PassRow
from gateway.engine.engine import Done, Engine
from gateway.engine.jobs import Job, Read, Step
from gateway.engine.kept_beginnings import KeptBeginnings
from gateway.engine.prefixes import Prefixes
from gateway.engine.shared_beginnings import SharedBeginnings

MODEL = "a" * 64
FIXED = [n % 97 for n in range(300)]
"""What all prompts begin with."""


class Remembering:
    """A context whose logits are a function of all tokens of a sequence and of their adapters. It
    copies when the next pass begins, as llama.cpp does."""

    mixes_adapters = False
    length, batch_tokens = 1000, 100
    memory = Memory(cache=1000, scratch=0)

    def __init__(self, sequences: int = 2, *, goes_back: bool = True) -> None:
        self.sequences, self.goes_back = sequences, goes_back
        self.held: list[list[int]] = [[] for _ in range(sequences)]
        self.memories: list[list[int]] = [[] for _ in range(sequences)]
        """What was computed; `held` says how much of it counts."""
        self.copies: list[tuple[int, int]] = []
        self.forwarded = 0

    def decode(self, rows: Sequence[PassRow]) -> list[Logits]:
        found = []
        for source, target in self.copies:
            self.memories[target] = list(self.memories[source])
        self.copies.clear()
        for row in rows:
            held, memory = self.held[row.sequence], self.memories[row.sequence]
            assert row.position == len(held), "a pass goes on where the sequence ends"
            held.append(row.token + 1000 * (row.adapter is not None))
            memory[row.position :] = held[row.position :]
            if row.output:
                drawn = np.random.default_rng(memory).normal(size=8)
                found.append(drawn.astype(np.float32))
        self.forwarded += len(rows)
        return found

    def truncate(self, sequence: int, length: int) -> bool:
        if 0 < length < len(self.held[sequence]) and not self.goes_back:
            return False
        del self.held[sequence][length:]
        return True

    def save(self, sequence: int) -> bytes:
        return self.state_of(sequence, 0)

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        return self.put_state(sequence, length, saved, None)

    def copy(self, source: int, target: int) -> None:
        self.held[target] = list(self.held[source])
        self.copies.append((source, target))

    def state_of(self, sequence: int, length: int) -> bytes:
        assert length in (0, len(self.held[sequence]))
        held = len(self.held[sequence])
        return np.array(self.memories[sequence][:held], dtype="<i4").tobytes()

    def put_state(
        self,
        sequence: int,
        length: int,
        state: bytes | bytearray | memoryview,
        adapter: Adapter | None,
    ) -> bool:
        del adapter
        self.held[sequence] = [int(n) for n in np.frombuffer(state, dtype="<i4")]
        self.memories[sequence] = list(self.held[sequence])
        return len(self.held[sequence]) == length

    def close(self) -> None: ...


def last_row(prompt: list[int]) -> Job:
    (row,) = yield Step(0, prompt)
    return Read(tuple(map(float, row)), prompt_done=0.0)


@pytest.fixture(autouse=True)
def all_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_beginnings, "WORTH", 0)


@pytest.fixture
def files(tmp_path: Path) -> KeptFiles:
    return KeptFiles(tmp_path / "cache", 10**6)


def on_disk(files: KeptFiles) -> list[Path]:
    return sorted(files.folder.glob(f"*{BEGINNING}"))


@contextmanager
def process(
    files: KeptFiles | None,
    *,
    model: str = MODEL,
    sequences: int = 2,
    goes_back: bool = True,
    serial: bool = False,
) -> Iterator[Callable[..., Done]]:
    """An engine as another process would have one; asks it one prompt after another."""
    context = Remembering(sequences, goes_back=goes_back)
    kept = KeptBeginnings(files, model) if files else None
    engine = Engine(context, kept=kept, serial=serial)
    engine.announce(FIXED)

    def ask(*behind: int, fixed: list[int] = FIXED, adapter: Adapter | None = None) -> Done:
        prompt = [*fixed, *behind]
        return engine.submit(prompt, last_row(prompt), adapter).result(timeout=10)

    yield ask
    engine.close()


def test_another_process_reads_a_beginning_and_answers_the_same(files: KeptFiles) -> None:
    with process(None) as ask:
        expected = [ask(1, 2).answer, ask(3).answer]
    with process(files) as ask:
        assert ask(1, 2).timings.cached_tokens == 0
    assert len(on_disk(files)) == 1
    with process(files) as ask:
        asked = [ask(3), ask(1, 2)]
    assert [done.answer.logprobs for done in reversed(asked)] == [
        each.logprobs for each in expected
    ]
    assert [done.timings.cached_tokens for done in asked] == [len(FIXED)] * 2


def test_a_sequence_that_cannot_be_cut_goes_on_from_the_beginning_too(files: KeptFiles) -> None:
    with process(None, goes_back=False) as ask:
        expected = ask(7, 8).answer
        assert ask(9).timings.cached_tokens == len(FIXED), "also within one process"
    for cached in (0, len(FIXED)):
        with process(files, goes_back=False, sequences=1) as ask:
            assert ask(5, 6).timings.cached_tokens == cached
            assert ask(7, 8).answer == expected


def test_in_pieces_only_whole_ones_are_kept(files: KeptFiles) -> None:
    odd = FIXED[:-30]
    with process(files, serial=True) as ask:
        asked = [ask(word, word, fixed=odd) for word in (1, 2, 3)]
    assert [done.timings.cached_tokens for done in asked] == [0, 200, 200]
    assert len(on_disk(files)) == 1
    with process(files, serial=True) as ask:
        assert ask(4, fixed=odd).timings.cached_tokens == 200
    with process(None, serial=True) as ask:
        assert ask(3, 3, fixed=odd).answer == asked[-1].answer


def test_what_prompts_begin_with_unannounced_is_kept_once_three_have_it(files: KeptFiles) -> None:
    other = [n % 89 for n in range(200)]
    with process(files) as ask:
        ask(1, fixed=other)
        ask(2, fixed=other)
        assert not on_disk(files)
        ask(3, fixed=other)
    assert len(on_disk(files)) == 1
    with process(files) as ask:
        assert ask(4, fixed=other).timings.cached_tokens == len(other)


def computed(context: Remembering, prefixes: Prefixes, sequence: int, tokens: list[int]) -> None:
    start = prefixes.length(sequence)
    context.decode(
        [PassRow(sequence, start + n, token, False) for n, token in enumerate(tokens[start:])]
    )
    prefixes.add(sequence, tokens[start:])


def test_what_is_being_copied_is_kept_once_it_is_there(files: KeptFiles) -> None:
    context, kept = Remembering(), KeptBeginnings(files, MODEL)
    prefixes = Prefixes(context, kept=kept)
    first, _ = prefixes.claim([*FIXED, 1], None, set())
    computed(context, prefixes, first, [*FIXED, 1])
    place = len(FIXED)
    second, cached = prefixes.claim([*FIXED, 2], None, {first}, place)
    assert cached == place - 1, "so that a pass comes before the state is read"
    prefixes.keep_beginning(second, 1.0)
    computed(context, prefixes, second, FIXED)
    prefixes.keep_beginning(second, 1.0)
    kept.close()
    _, found = KeptBeginnings(files, MODEL).longest([*FIXED, 3], None, cut=True)
    assert found is not None
    assert np.frombuffer(kept.read(found) or b"", "<i4").tolist() == FIXED


def test_what_is_being_copied_from_is_not_overwritten_from_disk(files: KeptFiles) -> None:
    with process(files) as ask:
        ask(1)
    long = [n % 83 for n in range(700)]
    context = Remembering()
    prefixes = Prefixes(context, kept=KeptBeginnings(files, MODEL))
    computed(context, prefixes, prefixes.claim(long, None, set())[0], long)
    branch = [*long[:100], 5]
    target, cached = prefixes.claim(branch, None, set())
    assert (context.copies, cached) == ([(1 - target, target)], 100)
    prefixes.claim([*FIXED, 1], None, {target})
    computed(context, prefixes, target, branch)
    assert context.memories[target] == branch


def test_a_conversation_that_goes_on_is_not_kept() -> None:
    beginnings, said = SharedBeginnings(), list(range(200))
    for turn in range(6):
        said = [*said, turn, turn]
        assert beginnings.place(said, None) == 0


def test_beginnings_that_prompts_part_behind_are_told_apart_from_chance() -> None:
    beginnings = SharedBeginnings()
    shared = list(range(200))
    found = [beginnings.place([*shared, *behind], None) for behind in ([1], [2], [1, 5], [3])]
    assert found[-1] == len(shared)
    assert beginnings.place([*shared, 9], "an adapter") == 0
    assert beginnings.place([*shared[:100], 8], None) == 0, "too short to be worth it"


@pytest.mark.parametrize(
    "made", [("b" * 64, None), (MODEL, "tuned"), (MODEL[:40] + "c" * 24, None)]
)
def test_it_is_of_one_model_and_one_adapter(
    files: KeptFiles, made: tuple[str, Adapter | None]
) -> None:
    with process(files) as ask:
        ask(1)
    with process(files, model=made[0]) as ask:
        assert ask(1, adapter=made[1]).timings.cached_tokens == 0


def flipped(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-50]),
    "empty": lambda file: file.write_bytes(b""),
    "a bit of its magic": lambda file: flipped(file, 3),
    "a bit of its head": lambda file: flipped(file, 40),
    "a bit of its tokens": lambda file: flipped(file, 200),
    "a bit of its state": lambda file: flipped(file, -100),
    "a bit of its digest": lambda file: flipped(file, -1),
    "something else": lambda file: file.write_bytes(b"\0" * 5000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_said_and_computed_again(
    files: KeptFiles, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with process(files) as ask:
        expected = ask(1).answer
    (file,) = on_disk(files)
    DAMAGES[damage](file)
    with process(files) as ask, caplog.at_level(logging.WARNING, "gateway.engine"):
        done = ask(1)
    assert (done.answer, done.timings.cached_tokens) == (expected, 0)
    assert f"{file} is not used, and removed" in caplog.text
    caplog.clear()
    with process(files) as ask:
        assert ask(1).timings.cached_tokens == len(FIXED), "it was written again"
    assert not caplog.text


def test_what_the_memory_does_not_take_is_refused_and_computed_again(
    files: KeptFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with process(files) as ask:
        expected = ask(1).answer
    monkeypatch.setattr(Remembering, "put_state", lambda *_: False)
    with process(files) as ask:
        assert ask(1).answer == expected
    assert "does not take it" in caplog.text


def test_one_that_another_process_removes_is_computed_again_without_a_word(
    files: KeptFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with process(files) as ask:
        ask(1)
    found = KeptBeginnings(files, MODEL)
    usable, kept = found.longest([*FIXED, 1], None, cut=True)
    assert kept is not None
    assert usable == len(FIXED)
    files.clear()
    assert found.read(kept) is None
    assert found.longest([*FIXED, 1], None, cut=True) == (0, None)
    assert not caplog.text


def test_a_full_disk_costs_time_and_is_said(
    files: KeptFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with process(files) as ask:
        assert ask(1).timings.cached_tokens == 0
    assert "No space left on device" in caplog.text
    assert not list(files.folder.iterdir())


def test_only_its_owner_reads_it(files: KeptFiles) -> None:
    with process(files) as ask:
        ask(1)
    (file,) = on_disk(files)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700


def test_what_is_computed_quickly_is_not_kept(
    files: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_beginnings, "WORTH", 1e9)
    with process(files) as ask:
        ask(1)
    assert not on_disk(files)
