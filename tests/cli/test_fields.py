"""Options that are made of a dataclass."""

from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.fields import docstrings, fields_as_options
from gateway.tuning.recipe import Recipe


@dataclass(frozen=True)
class Cake:
    eggs: int = 3
    """How many,
    of any size."""
    icing: str = "none"
    """none, or a colour."""


def test_every_field_has_an_option_with_its_default_and_its_docstring() -> None:
    app = typer.Typer()
    baked: list[tuple[str, Cake]] = []

    @app.command()
    @fields_as_options("cake", Cake, {}, panel="Cake")
    def bake(name: str, cake: Cake = Cake(), quiet: bool = False) -> None:
        baked.append((name, cake))

    run = CliRunner().invoke
    assert run(app, ["mine"]).exit_code == run(app, ["own", "--icing", "red"]).exit_code == 0
    assert baked == [("mine", Cake()), ("own", Cake(3, "red"))]
    shown = run(app, ["--help"]).output
    assert "How many, of any size." in shown
    assert run(app, ["mine", "--eggs", "many"]).exit_code == 2


@pytest.mark.parametrize("field", Recipe.__dataclass_fields__)
def test_every_choice_of_a_training_is_explained(field: str) -> None:
    assert docstrings(Recipe)[field].endswith(".")
