"""The verbs `ancestry ...`: from a VCF and a table of samples to painted chromosomes."""

import typer

from crocuta.ancestry.verbs.build import build
from crocuta.ancestry.verbs.figures import figures
from crocuta.ancestry.verbs.infer import infer
from crocuta.ancestry.verbs.paint import paint
from crocuta.ancestry.verbs.simulate import simulate
from crocuta.ancestry.verbs.train import train

ancestry = typer.Typer(
    no_args_is_help=True, help="Ancestry from variants: build a cohort, train, infer, paint."
)
ancestry.command("build")(build)
ancestry.command("train")(train)
ancestry.command("infer")(infer)
ancestry.command("paint")(paint)
ancestry.command("figures")(figures)
ancestry.command("simulate")(simulate)
