"""Names of 0.1, of modules and of commands, work for one release more and say what they are now."""

import importlib
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from crocuta import _moved
from crocuta.cli import app


@pytest.mark.parametrize("old", sorted(_moved.TABLE))
def test_every_new_name_is_there(old):
    assert importlib.util.find_spec(f"crocuta.{_moved.TABLE[old]}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data.variants.vcf", "variants.vcf"),
        ("train.run", "classification.run"),
        ("train.local_ancestry_network", "ancestry.local.network"),
        ("nn.lorentz_linear", "nn.lorentz.linear"),
        ("models.hyena_lean", "models.hyena.chunked"),
    ],
)
def test_an_old_name_gives_the_same_module_and_says_so_once(old, new):
    sys.modules.pop(f"crocuta.{old}", None)
    with pytest.warns(FutureWarning) as said:  # of its package too, the first time
        found = importlib.import_module(f"crocuta.{old}")
    assert f"crocuta.{old} is now crocuta.{new};" in " ".join(str(each.message) for each in said)
    assert found is importlib.import_module(f"crocuta.{new}")
    assert (
        importlib.import_module(f"crocuta.{old}") is found
    )  # no second warning, which would be an error here


@pytest.mark.filterwarnings("ignore:.*is now crocuta:FutureWarning")  # of the package, where it comes first
def test_other_names_are_still_unknown():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("crocuta.train.nonsense")


@pytest.mark.parametrize(
    ("old", "new"),
    [("hyperbolicity", "tree delta"), ("simulate tree", "tree simulate"), ("graph train", "lab graph"),
     ("image train", "lab image")],
)  # fmt: skip
def test_old_commands_work_and_say_their_name(old, new):
    found = CliRunner().invoke(app, [*old.split(), "--help"])
    assert found.exit_code == 0
    assert f"is now `crocuta {new}" in " ".join(found.stderr.split())
    assert get_command(app).commands[old.split()[0]].hidden
