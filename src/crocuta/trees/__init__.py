"""How tree-like data are, and simulated trees: `crocuta tree`."""
