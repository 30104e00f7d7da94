"""One file computed in two ways: said wherever two answers of it are compared."""

from collections.abc import Iterator, Mapping

_SAME = ("weights", "backend")
_BUILT = ("version", "build")


def other_settings(
    a: Mapping[str, str], b: Mapping[str, str], names: tuple[str, str]
) -> Iterator[str]:
    """A sentence where two identities are of the same weights, computed in two ways.

    `gateway certify --fastest` chooses by the file, the processor and the library, so that one
    entry may be computed otherwise on two machines.
    """
    if not a.get("weights") or any(a.get(part) != b.get(part) for part in _SAME):
        return
    both = f"{names[0]} and {names[1]} are the same weights"
    ours, theirs = a.get("settings", ""), b.get("settings", "")
    if ours != theirs:
        yield f"{both}, computed with other settings, so that bytes may differ: {ours}; {theirs}"
    elif any(a.get(part) != b.get(part) for part in _BUILT):
        yield f"{both}, computed by two builds of the library, so that bytes may differ"


def recorded_identity(settings: Mapping[str, str], model: str) -> dict[str, str]:
    """A model's identity as the settings of a run's report have it; empty: they do not."""
    prefix = f"{model} "
    own = {key: value for key, value in settings.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in own.items()}
