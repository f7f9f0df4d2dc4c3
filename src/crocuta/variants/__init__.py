"""Variants of a cohort: sites, samples, haplotypes; read from VCF and BCF, stored, sampled, matched."""

from crocuta.variants.blocks import Counts, Policy
from crocuta.variants.build import Built, build_store
from crocuta.variants.cache import PackedCohort, PanelCohort, pack
from crocuta.variants.genetic_map import GeneticMap, read_genetic_map
from crocuta.variants.matching import Match, match
from crocuta.variants.panel import MISSING, Panel, Samples, Sites
from crocuta.variants.reading import read_panel
from crocuta.variants.samples import check_populations, read_samples
from crocuta.variants.sampling import (
    CarriedSampler,
    IndividualSplit,
    VariantWindow,
    WindowSampler,
    split_individuals,
)
from crocuta.variants.store import Cohort, Haplotypes
from crocuta.variants.truth import Truth, read_truth
from crocuta.variants.vcf import VariantFile

__all__ = [
    "MISSING", "Built", "CarriedSampler", "Cohort", "Counts", "GeneticMap", "Haplotypes", "Match", "PackedCohort",
    "IndividualSplit", "Panel", "PanelCohort", "Policy", "Samples", "Sites", "Truth", "VariantFile", "VariantWindow",
    "WindowSampler",
    "build_store", "check_populations", "match", "pack", "read_genetic_map", "read_panel", "read_samples", "read_truth",
    "split_individuals",
]  # fmt: skip
