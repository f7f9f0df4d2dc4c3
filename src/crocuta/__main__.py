"""`python -m crocuta`."""

from crocuta.cli import app

app()
