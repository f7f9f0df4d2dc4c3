"""Sequences to vectors: `crocuta embed`, `map` and `probe`."""
