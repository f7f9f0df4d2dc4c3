"""Sequences and the words about them: `crocuta words`."""
