"""The fastest settings of llama.cpp with which a file's bytes never change on this machine.

Candidates are measured in turns, so that what else runs here slows all of them alike, and tried
from the fastest to the slowest: each is dropped at its first changed byte. The first that goes
through all plans (`gateway.backends.llama_cpp.plans`) and is certified like any model is kept.

For scoring labels tiled attention is a candidate too. It reads prompts faster, and generates a
little slower.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway.backends.llama_cpp.plans import total_rows
from gateway.backends.llama_cpp.probing import (
    NotRun,
    Probed,
    Trial,
    build_here,
    probed,
    probing,
    refuse_what_cannot_choose,
    with_other_kernels,
)
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.protocol import Able
from gateway.backends.registry import check_backend, load_backend, load_models
from gateway.core.concurrency import Work, blocking
from gateway.core.errors import BackendError, ConfigError
from gateway.determinism.certify import OnTrial, certify, in_fresh_process, load_pulled, pinned
from gateway.models.certificates import Certificate, Level, processor, save
from gateway.models.choices import (
    SPLIT_FORM,
    USUAL,
    Choice,
    Settings,
    Speed,
    Tried,
    changed_in,
    choice_for,
    rows_of,
    save_choice,
)
from gateway.models.environment import certificates_file, digest_memory
from gateway.models.locate import described_digests, locate
from gateway.models.purpose import Purpose
from gateway.models.spec import ModelSpec
from gateway.models.weights import WeightsDigests, weights_digests

CANDIDATES = (
    USUAL,
    Settings("flash"),
    Settings(repack=True),
    Settings("flash", repack=True),
    Settings(repack=True, split=True),
    Settings("flash", repack=True, split=True),
)
_TILED = (
    Settings("tiled"),
    Settings("tiled", repack=True),
    Settings("tiled", repack=True, split=True),
)
ROUNDS = 3
LONG_S = 45.0
"""A round of so many seconds is the last."""
HOPELESS = 0.8
"""How many times as fast as the usual settings what is measured once is at most."""
WORTH = 1.03
"""How many times as fast a candidate has to be: another fingerprint for less helps nobody."""
NEAR = 0.97
"""How slow it may look at one thing to be measured again: so much a measurement repeats to. What
still looks slower at anything is not taken."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What settings are compared by. Numbers are those of `Speed`."""

    candidates: tuple[Settings, ...]
    weighed: tuple[str, ...]
    """Their geometric mean orders the candidates."""
    counted: tuple[str, ...]
    """A candidate is slower at none of them."""


AIMS: dict[Purpose, Aim] = {
    "all": Aim(CANDIDATES, ("prefill", "decode_8"), ("prefill", "decode", "decode_8")),
    "labels": Aim((*CANDIDATES, *_TILED), ("prefill",), ("prefill", "decode_8")),
}
"""Labels branch behind a prompt, a few rows together: nothing is read one row a pass."""
ALL = AIMS["all"]
_SHOWN = {"prefill": "prefill", "decode": "decode x1", "decode_8": "x8"}

Begin = Callable[[str, int], Callable[[], None]]
"""Called with the name of a stage and how many steps it has; answers what is called after each."""


class Prober(Protocol):
    """Who runs candidates. Both raise NotRun where the library does not run one."""

    def speed(self, settings: Settings) -> Speed:
        """One short round."""
        ...

    def trial(self, settings: Settings, on_rows: Callable[[int], None]) -> Trial:
        """All plans, up to the first in which a byte changes."""
        ...

    def close(self) -> None:
        """Free what it has loaded; it may be asked again."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What was kept, and what certifies it."""

    choice: Choice
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Kept:
    """The candidate that nothing changed, and what became of the others."""

    settings: Settings
    digest: str
    certificate: Certificate
    tried: tuple[Tried, ...]


def unstaged(_name: str, _steps: int) -> Callable[[], None]:
    """Nobody watches."""
    return lambda: None


@blocking
def certify_fastest(
    model: str,
    *,
    models_file: Path | None = None,
    purpose: Purpose = "all",
    begin: Begin = unstaged,
    on_trial: OnTrial = lambda *_: None,
) -> Work[Found]:
    """Find the fastest settings that never change a byte, and keep them with their certificate.

    Nothing is kept before everything is known, so that it may be stopped at any time.

    Args:
        purpose: what they are to be the fastest for.

    Raises:
        ConfigError: there is no such entry, or nothing can be chosen for it.
        BackendError: even the usual settings change bytes.
        GatewayError: the model cannot be loaded.
    """
    spec = load_models(models_file).serving([model]).get(model)
    return _certify_fastest(choosing(spec), models_file, purpose, begin, on_trial)


def chosen_before(model: str, models_file: Path | None = None) -> Choice | None:
    """What was chosen for an entry on this machine; None: nothing, or nothing can be.

    Raises:
        ConfigError: there is no such entry.
        GatewayError: its file is not here.
    """
    spec = load_models(models_file).serving([model]).get(model)
    if not isinstance(spec, LlamaCppSpec) or not spec.chooses:
        return None
    file = described_digests(spec, locate(spec)).file
    adapted = spec.adapter is not None
    return choice_for(file, spec.kernels, build_here(), _rows(spec), adapted=adapted)


async def _certify_fastest(
    spec: LlamaCppSpec,
    models_file: Path | None,
    purpose: Purpose,
    begin: Begin,
    on_trial: OnTrial,
) -> Found:
    path = locate(spec)
    digests = described_digests(spec, path)
    await _refuse_what_cannot_choose(spec, path)
    certified = partial(_certified, spec, models_file, on_trial)
    of = probed(spec, path, _rows(spec))
    with probing(of) as prober:
        kept = await search(prober, _rows(spec), certified, begin, AIMS[purpose])
    choice = replace(
        _choice(spec, digests, kept), purpose=purpose, other_kernels=await _other_kernels(of)
    )
    found = Found(choice, kept.certificate)
    save(kept.certificate, certificates_file())
    save_choice(found.choice)
    return found


async def _other_kernels(of: Probed) -> Speed | None:
    """How fast the other kernels for K-quants are: worth a key of models.toml to who reads much."""
    if (other := with_other_kernels(of)) is None:
        return None
    with probing(other) as prober, suppress(NotRun):
        return await asyncio.to_thread(lambda: prober.speed(USUAL).best(prober.speed(USUAL)))
    return None


def _rows(spec: LlamaCppSpec) -> int:
    return rows_of(spec.batch_tokens, spec.parallel)


async def _certified(
    spec: LlamaCppSpec, models_file: Path | None, on_trial: OnTrial, settings: Settings
) -> Certificate:
    """As `gateway certify` does it, with these settings."""
    fresh = partial(in_fresh_process, spec.name, models_file, settings)
    return await certify(pinned(spec, settings), load_pulled, fresh, on_trial)


def _choice(spec: LlamaCppSpec, digests: WeightsDigests, kept: Kept) -> Choice:
    adapter = weights_digests(spec.adapter, digest_memory()).contents if spec.adapter else ""
    return Choice(
        model=spec.name,
        file=digests.file,
        kernels=spec.kernels,
        processor=processor(),
        build=build_here(),
        rows=_rows(spec),
        adapter=adapter,
        settings=kept.settings,
        digest=kept.digest,
        tried=kept.tried,
        split_form=SPLIT_FORM,
    )


# What nothing can be chosen for.


def choosing(spec: ModelSpec) -> LlamaCppSpec:
    """The entry, if what is chosen would hold for it.

    Raises:
        ConfigError: it would not, with the reason.
        MissingExtra: llama.cpp is not installed.
    """
    if not isinstance(spec, LlamaCppSpec):
        raise ConfigError(
            f"{spec.name} is run by {spec.backend}, which has no settings to choose among",
            hint="gateway certify without --fastest measures its level",
        )
    check_backend(spec)
    if spec.deterministic != "bitwise":
        raise ConfigError(
            f'{spec.name}: deterministic = "off": its bytes may change, whatever is chosen',
            hint='deterministic = "bitwise" in its entry, or no such line',
        )
    if not spec.chooses:
        raise ConfigError(
            f"{spec.name}: its entry says attention, repack or split, and is computed as it says",
            hint=f"leave them out of {spec.origin or 'the entry'}, and they are chosen",
        )
    return spec


async def _refuse_what_cannot_choose(spec: LlamaCppSpec, path: Path) -> None:
    """Raise ConfigError where the library or the card decides, OtherKind for what writes nothing:
    it reads each text alone, in a pass that nothing shares."""
    refuse_what_cannot_choose(spec, path)
    backend = await asyncio.to_thread(load_backend, pinned(spec, USUAL), path)
    try:
        assert isinstance(backend, Able)
        backend.abilities.check(spec.name, "generate")
    finally:
        await backend.close()


# The search.


async def search(
    prober: Prober,
    rows: int,
    certified: Callable[[Settings], Awaitable[Certificate]],
    begin: Begin = unstaged,
    aim: Aim = ALL,
) -> Kept:
    """Measure all candidates, and try them from the fastest to the slowest.

    Args:
        rows: most rows of one pass.
        certified: what `gateway certify` finds of a candidate.
        aim: what they are compared by.

    Raises:
        BackendError: the usual settings cannot be run, or change bytes too.
    """
    speeds = await asyncio.to_thread(_speeds, prober, begin, aim)
    usual = speeds[USUAL]
    if not isinstance(usual, Speed):
        raise BackendError(f"not even the usual settings can be run: {usual}")
    order = _order(speeds, usual, aim)
    left: dict[Settings, Tried] = {}
    for settings, speed in order:
        tried, digest = await asyncio.to_thread(_tried, prober, settings, speed, rows, begin)
        certificate = None if tried.left else await _certificate(prober, settings, certified)
        if certificate is not None and certificate.level is Level.BITWISE:
            left[settings] = tried
            return Kept(settings, digest, certificate, _all(speeds, left, aim))
        left[settings] = replace(tried, left=tried.left or _where(certificate))
    raise BackendError(
        f"bytes change with every one of {len(order)} settings, also with the usual ones: "
        f"{left[USUAL].left}",
        hint="gateway certify shows what changes them; nothing was chosen",
    )


def _speeds(prober: Prober, begin: Begin, aim: Aim) -> dict[Settings, Speed | str]:
    """The best of some rounds of each, in turns; of what cannot be run, why. A long round tells as
    much as several short ones."""
    done = begin("speed", ROUNDS * len(aim.candidates))
    found: dict[Settings, Speed | str] = {}
    for turn in range(ROUNDS):
        begun = time.perf_counter()
        for settings in aim.candidates:
            known = found.get(settings)
            if not isinstance(known, str) and not (turn and _is_hopeless(known, found[USUAL], aim)):
                found[settings] = _round(prober, settings, known)
            done()
        if time.perf_counter() - begun > LONG_S:
            return found
    for _ in range(ROUNDS):
        for settings in _doubtful(found, aim):
            found[settings] = _round(prober, settings, found[settings])
    return found


def _doubtful(found: Mapping[Settings, Speed | str], aim: Aim) -> list[Settings]:
    """What would be taken if it were not a little slower at one thing, and the usual settings."""
    usual = found[USUAL]
    if not isinstance(usual, Speed):
        return []
    near = [
        settings
        for settings, speed in found.items()
        if isinstance(speed, Speed)
        and gain(speed, usual, aim) >= WORTH
        and NEAR <= _least(speed, usual, aim) < 1.0
    ]
    return [USUAL, *near] if near else []


def _is_hopeless(known: Speed | None, usual: Speed | str, aim: Aim) -> bool:
    """Whether a candidate was slower in the first round than any noise tells."""
    if known is None or not isinstance(usual, Speed):
        return False
    return gain(known, usual, aim) < HOPELESS


def _round(prober: Prober, settings: Settings, known: Speed | str | None) -> Speed | str:
    try:
        speed = prober.speed(settings)
    except NotRun as why:
        return f"cannot be run: {why.message}"
    return speed.best(known) if isinstance(known, Speed) else speed


def _order(
    speeds: Mapping[Settings, Speed | str], usual: Speed, aim: Aim
) -> list[tuple[Settings, Speed]]:
    """The usual settings, and before them what is worth it, the fastest first."""
    runs = [(settings, speed) for settings, speed in speeds.items() if isinstance(speed, Speed)]
    better = [each for each in runs if each[0] != USUAL and is_faster(each[1], usual, aim)]
    better.sort(key=lambda each: gain(each[1], usual, aim), reverse=True)
    return [*better, (USUAL, usual)]


def gain(speed: Speed, usual: Speed, aim: Aim = ALL) -> float:
    """How many times as fast it is, as one number: of all at reading and at generating eight
    together, for labels at reading."""
    times = speed.times(usual)
    return statistics.geometric_mean([times[name] for name in aim.weighed])


def is_faster(speed: Speed, usual: Speed, aim: Aim = ALL) -> bool:
    """Whether it is worth another fingerprint, and slower at nothing that counts."""
    return gain(speed, usual, aim) >= WORTH and _least(speed, usual, aim) >= 1.0


def _least(speed: Speed, usual: Speed, aim: Aim) -> float:
    times = speed.times(usual)
    return min(times[name] for name in aim.counted)


def _tried(
    prober: Prober, settings: Settings, speed: Speed, rows: int, begin: Begin
) -> tuple[Tried, str]:
    done = begin(settings.name, total_rows(rows, settings))

    def fed(count: int) -> None:
        for _ in range(count):
            done()

    try:
        trial = prober.trial(settings, fed)
    except NotRun as why:
        return Tried(settings, speed, left=f"cannot be run: {why.message}"), ""
    where = changed_in(trial.plans)
    left = f"a byte changed: {where}" if where else ""
    return Tried(settings, speed, trial.plans, left), trial.digest


async def _certificate(
    prober: Prober, settings: Settings, certified: Callable[[Settings], Awaitable[Certificate]]
) -> Certificate:
    """Certified without what the prober holds in memory."""
    await asyncio.to_thread(prober.close)
    return await certified(settings)


def _where(certificate: Certificate | None) -> str:
    """What `gateway certify` found to change."""
    trials = certificate.trials if certificate else ()
    changed = [t.name for t in trials if t.texts_changed or t.logprobs_changed]
    return f"a byte changed: {', '.join(changed) or 'it is not certified'}"


def _all(
    speeds: Mapping[Settings, Speed | str], tried: Mapping[Settings, Tried], aim: Aim
) -> tuple[Tried, ...]:
    """What became of each candidate, the fastest first."""
    usual = speeds[USUAL]
    assert isinstance(usual, Speed)
    made = [
        tried.get(settings) or _untried(settings, found, usual, aim)
        for settings, found in speeds.items()
    ]
    return tuple(
        sorted(made, key=lambda each: -gain(each.speed, usual, aim) if each.speed else 0.0)
    )


def _untried(settings: Settings, found: Speed | str, usual: Speed, aim: Aim) -> Tried:
    if isinstance(found, str):
        return Tried(settings, None, left=found)
    if settings == USUAL or is_faster(found, usual, aim):
        return Tried(settings, found, left="a faster one was kept")
    return Tried(settings, found, left=_no_faster(found, usual, aim))


def _no_faster(speed: Speed, usual: Speed, aim: Aim) -> str:
    if gain(speed, usual, aim) < WORTH:
        return "no faster than the usual settings"
    times = speed.times(usual)
    slower = (_SHOWN[name] for name in aim.counted if times[name] < 1.0)
    return f"slower than the usual settings at {', '.join(slower)}"
