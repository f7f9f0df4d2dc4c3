"""Trees and alignments: real ones read from Newick, Nexus and FASTA, synthetic ones simulated."""

from crocuta.data.phylogeny.alignment import Alignment, read_alignment, write_fasta
from crocuta.data.phylogeny.newick import read_tree, read_trees, to_newick, write_trees
from crocuta.data.phylogeny.scenarios import Example, Scenario, simulate_scenario, write_scenario
from crocuta.data.phylogeny.simulate import birth_death_tree, evolve
from crocuta.data.phylogeny.substitution import GTR, HKY, SubstitutionModel
from crocuta.data.phylogeny.tree import Tree

__all__ = [
    "GTR",
    "HKY",
    "Alignment",
    "Example",
    "Scenario",
    "SubstitutionModel",
    "Tree",
    "birth_death_tree",
    "evolve",
    "read_alignment",
    "read_tree",
    "read_trees",
    "simulate_scenario",
    "to_newick",
    "write_fasta",
    "write_scenario",
    "write_trees",
]
