"""The answer to one text, for a person or a program."""

from dataclasses import asdict

from rich.console import Console

from gateway.core.digests import canonical_json
from gateway.evaluation.classify import Classified, shown
from gateway.report.table import print_facts, say
from gateway.scoring.results import Status


def show(found: Classified, console: Console, *, as_json: bool) -> None:
    """Print the answer for a person, or as one line of JSON."""
    if as_json:
        console.file.write(canonical_json(asdict(found)) + "\n")
        return
    if found.status is not Status.OK:
        say(console, f"[{found.status.value}] {found.reason}")
        return
    say(console, shown(found.answer), "bold")
    if found.probabilities:
        shares = sorted(found.probabilities.items(), key=lambda p: -p[1])
        print_facts(((f"{share:.3f}", label) for label, share in shares), console)
    if not found.exact:
        say(console, "≈ some of these rest on bounds or approximations")
