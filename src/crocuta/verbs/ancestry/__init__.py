"""The verbs `ancestry ...`: from a VCF and a table of samples to painted chromosomes."""

import typer

from crocuta.verbs.ancestry.build import build
from crocuta.verbs.ancestry.figures import figures
from crocuta.verbs.ancestry.infer import infer
from crocuta.verbs.ancestry.paint import paint
from crocuta.verbs.ancestry.train import train

ancestry = typer.Typer(
    no_args_is_help=True, help="Ancestry from variants: build a cohort, train, infer, paint."
)
ancestry.command("build")(build)
ancestry.command("train")(train)
ancestry.command("infer")(infer)
ancestry.command("paint")(paint)
ancestry.command("figures")(figures)
