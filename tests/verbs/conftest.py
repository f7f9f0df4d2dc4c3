"""Whether the value of every option of a verb arrives in the library: a table per verb, in `test_options_<verb>.py`."""

import inspect
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.runs.stops import command_named


class Arrived(Exception):
    """Raised in place of the library function's work."""


@pytest.fixture
def arrives(monkeypatch):
    """Checks that an option's value reaches the library function that a command line calls.

    `arrives(["lab", "graph", "train", "edges.tsv"], "crocuta.graphs.training.train_graph", ["--dim", "7"], check)`:
    the function is replaced; `check` is asked about what it was given, by the names of its parameters.
    """

    def run(command, patched, option, check):
        signature = inspect.signature(resolve_name(patched))
        received = {}

        def stand_in(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            received.update(bound.arguments)
            raise Arrived

        monkeypatch.setattr(patched, stand_in)
        result = CliRunner().invoke(app, [*map(str, command), *map(str, option)])
        assert isinstance(result.exception, Arrived), result.output
        assert check(SimpleNamespace(**received)), received

    return run


@pytest.fixture(scope="session")
def options_of():
    """The longest names of a command's options, for a test that the table forgets none."""

    def found(*words):
        command = command_named(get_command(app), list(words))
        return {max(p.opts, key=len) for p in command.params if p.param_type_name == "option"} - {"--help"}

    return found
