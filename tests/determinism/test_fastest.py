"""The fastest candidate that nothing changes is kept, and nothing is before all is known."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec
from gateway.backends.llama_cpp.probing import NotRun, Trial
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import BackendError, ConfigError
from gateway.determinism.fastest import AIMS, CANDIDATES, ROUNDS, Kept, choosing, search
from gateway.models.certificates import Certificate, Level
from gateway.models.choices import USUAL, Choice, PlanTrial, Settings, Speed, Tried
from gateway.models.purpose import Purpose
from gateway.models.spec import ModelSpec, PathSource
from gateway.report.pages.fastest import said, section
from tests.models.test_choices import MADE

FLASH, REPACKED, BOTH = CANDIDATES[1:4]
SPEEDS = {USUAL: 1.0, FLASH: 1.2, REPACKED: 1.5, BOTH: 1.9}


def speed(times: float, *, one: float | None = None) -> Speed:
    return Speed(100.0 * times, 50.0 * (times if one is None else one), 80.0 * times)


@dataclass
class FakeProber:
    """Runs candidates that are as fast as it is told, and change bytes where it is told."""

    speeds: Mapping[Settings, Speed]
    changing: frozenset[Settings] = frozenset()
    ending: frozenset[Settings] = frozenset()
    """They can be measured, and end the process when they are tried."""
    tried: list[Settings] = field(default_factory=list)
    measured: list[Settings] = field(default_factory=list)

    def speed(self, settings: Settings) -> Speed:
        self.measured.append(settings)
        if settings not in self.speeds:
            raise NotRun("no such kernel")
        return self.speeds[settings]

    def trial(self, settings: Settings, on_rows: Callable[[int], None]) -> Trial:
        on_rows(1)
        self.tried.append(settings)
        if settings in self.ending:
            raise NotRun("it ended the process (signal 11)")
        return Trial((PlanTrial("together", 3, int(settings in self.changing)),), settings.name)

    def close(self) -> None:
        pass


def certificate(level: Level) -> Certificate:
    return Certificate("m", "f" * 64, "here", level, ())


def certifying(
    refused: frozenset[Settings] = frozenset(),
) -> Callable[[Settings], Awaitable[Certificate]]:
    async def certified(settings: Settings) -> Certificate:
        return certificate(Level.REPEATABLE if settings in refused else Level.BITWISE)

    return certified


def found(
    prober: FakeProber,
    refused: frozenset[Settings] = frozenset(),
    purpose: Purpose = "all",
) -> Kept:
    return asyncio.run(search(prober, 32, certifying(refused), aim=AIMS[purpose]))


NONE: frozenset[Settings] = frozenset()


def fake(changing: frozenset[Settings] = NONE, ending: frozenset[Settings] = NONE) -> FakeProber:
    speeds = {settings: speed(times) for settings, times in SPEEDS.items()}
    return FakeProber(speeds, changing, ending)


def left(kept: Kept) -> dict[str, str]:
    return {each.settings.name: each.left for each in kept.tried}


def test_the_fastest_is_kept_and_slower_ones_are_not_tried() -> None:
    prober = fake()
    kept = found(prober)
    assert (kept.settings, prober.tried) == (BOTH, [BOTH])
    assert kept.digest == BOTH.name
    assert [each.settings for each in kept.tried][:4] == [BOTH, REPACKED, FLASH, USUAL]
    assert left(kept)["repacked"] == "a faster one was kept"


def test_a_candidate_that_changes_a_byte_is_dropped_for_the_next() -> None:
    prober = fake(changing=frozenset({BOTH, REPACKED}))
    kept = found(prober)
    assert (kept.settings, prober.tried) == (FLASH, [BOTH, REPACKED, FLASH])
    assert left(kept)["repacked, flash"] == "a byte changed: together"


def test_a_candidate_that_ends_the_process_is_dropped() -> None:
    kept = found(fake(ending=frozenset({BOTH})))
    assert kept.settings == REPACKED
    assert "signal 11" in left(kept)["repacked, flash"]


def test_a_candidate_that_no_certificate_is_made_for_is_dropped() -> None:
    kept = found(fake(), frozenset({BOTH}))
    assert kept.settings == REPACKED
    assert kept.certificate.level is Level.BITWISE


def test_what_the_library_does_not_run_is_told_and_tried_no_more() -> None:
    prober = FakeProber({USUAL: speed(1.0), REPACKED: speed(2.0)})
    kept = found(prober)
    assert kept.settings == REPACKED
    assert left(kept)["flash"] == "cannot be run: no such kernel"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(speed(1.02), id="hardly faster"),
        pytest.param(speed(1.5, one=0.9), id="slower one at a time"),
        pytest.param(speed(1.5, one=0.99), id="a little slower one at a time"),
        pytest.param(Speed(99.0, 60.0, 160.0), id="a little slower at reading"),
        pytest.param(Speed(200.0, 60.0, 79.0), id="a little slower at eight"),
        pytest.param(speed(0.5), id="slower"),
    ],
)
def test_the_usual_settings_stay_where_another_is_not_faster_at_all(other: Speed) -> None:
    prober = FakeProber({USUAL: speed(1.0), FLASH: other})
    assert found(prober).settings == USUAL
    assert prober.tried == [USUAL]


def test_it_is_told_at_what_a_candidate_is_slower() -> None:
    kept = found(FakeProber({USUAL: speed(1.0), FLASH: speed(1.5, one=0.99)}))
    assert left(kept)["flash"] == "slower than the usual settings at decode x1"


TILED = Settings("tiled", repack=True)


def for_labels(tiled: Speed, purpose: Purpose = "labels") -> Kept:
    """Flash attention generates faster than this."""
    speeds = {USUAL: speed(1.0), BOTH: Speed(190.0, 90.0, 150.0), TILED: tiled}
    return found(FakeProber(speeds), purpose=purpose)


def test_for_labels_what_reads_fastest_is_kept_though_it_generates_slower() -> None:
    tiled = Speed(200.0, 45.0, 81.0)
    assert for_labels(tiled).settings == TILED
    assert for_labels(tiled, "all").settings == BOTH
    assert "repacked, tiled" not in left(for_labels(tiled, "all")), "it is not even measured"


def test_for_labels_nothing_is_slower_at_reading_or_at_eight() -> None:
    kept = for_labels(Speed(200.0, 60.0, 79.0))
    assert kept.settings == BOTH
    assert left(kept)["repacked, tiled"] == "slower than the usual settings at x8"


def test_what_was_chosen_for_labels_is_said_so() -> None:
    taken = Tried(TILED, Speed(200.0, 45.0, 81.0))
    usual = Tried(USUAL, speed(1.0))
    made = replace(MADE, settings=TILED, tried=(taken, usual))
    assert "tiled attention, chosen for labels (times" in said(replace(made, purpose="labels"))
    assert "chosen for labels" not in said(made)


@dataclass
class SteadyingProber(FakeProber):
    """Flash attention looks slower at one sequence until it has been measured some times."""

    after: int = ROUNDS

    def speed(self, settings: Settings) -> Speed:
        seen = FakeProber.speed(self, settings)
        early = self.measured.count(settings) <= self.after
        return replace(seen, decode=seen.decode * 0.98) if settings == FLASH and early else seen


@pytest.mark.parametrize(("after", "kept"), [(ROUNDS, FLASH), (2 * ROUNDS, USUAL)])
def test_what_looks_a_little_slower_at_one_thing_is_measured_again(
    after: int, kept: Settings
) -> None:
    speeds = {USUAL: speed(1.0), FLASH: speed(1.5, one=1.0), REPACKED: speed(0.9)}
    prober = SteadyingProber(speeds, after=after)
    assert found(prober).settings == kept
    counted = {settings: prober.measured.count(settings) for settings in speeds}
    more = 1 if kept == FLASH else ROUNDS
    assert counted == {USUAL: ROUNDS + more, FLASH: ROUNDS + more, REPACKED: ROUNDS}


def test_what_is_much_slower_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {USUAL: speed(1.0), FLASH: speed(0.5), REPACKED: speed(1.5)}
    prober = FakeProber(speeds)
    assert found(prober).settings == REPACKED
    counted = {settings: prober.measured.count(settings) for settings in speeds}
    assert counted == {USUAL: ROUNDS, FLASH: 1, REPACKED: ROUNDS}
    monkeypatch.setattr("gateway.determinism.fastest.LONG_S", 0.0)
    prober = FakeProber(speeds)
    assert found(prober).settings == REPACKED
    assert prober.measured.count(REPACKED) == 1, "a long round is the last"


def test_other_kernels_are_told_of_where_they_gain() -> None:
    usual = Tried(USUAL, Speed(100.0, 50.0, 80.0), (PlanTrial("together", 3, 0),))
    choice = Choice("m", "f", "decode", "here", "b", 128, "", USUAL, "d" * 64, (usual,))
    assert "kernels" not in " ".join(section(choice).lines)
    assert "kernels" not in " ".join(section(replace(choice, other_kernels=usual.speed)).lines)
    other = Speed(200.0, 10.0, 88.0)
    said = " ".join(section(replace(choice, other_kernels=other)).lines)
    assert 'kernels = "prefill" in models.toml' in said
    assert "prefill 2.00, decode 0.20, of eight 1.10 times the usual" in said


def test_nothing_is_kept_where_even_the_usual_settings_change() -> None:
    with pytest.raises(BackendError, match="also with the usual ones: a byte changed: together"):
        found(fake(changing=frozenset(CANDIDATES)))


def test_nothing_is_kept_where_the_usual_settings_cannot_be_run() -> None:
    with pytest.raises(BackendError, match="no such kernel"):
        found(FakeProber({FLASH: speed(1.0)}))


ENTRY = LlamaCppSpec("m", PathSource(Path("m.gguf")), origin="models.toml")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (replace(ENTRY, attention="plain"), "says attention, repack or split"),
        (replace(ENTRY, split=False), "says attention, repack or split"),
        (replace(ENTRY, repack=True), "says attention, repack or split"),
        (replace(ENTRY, deterministic="off"), "its bytes may change"),
        (FakeSpec("f", PathSource(Path())), "has no settings to choose among"),
    ],
)
@pytest.mark.needs("llama_cpp")
def test_an_entry_that_nothing_can_be_chosen_for_is_refused(spec: ModelSpec, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        choosing(spec)
