"""Verbs of the command line that have modules of their own; `crocuta.cli` takes them in."""
