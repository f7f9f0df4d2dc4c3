"""Variants of a cohort: sites, samples, haplotypes; read from VCF and BCF, stored, sampled, matched."""

from crocuta.data.variants.blocks import Counts, Policy
from crocuta.data.variants.build import Built, build_store
from crocuta.data.variants.cache import PackedCohort, PanelCohort, pack
from crocuta.data.variants.genetic_map import GeneticMap, read_genetic_map
from crocuta.data.variants.matching import Match, match
from crocuta.data.variants.panel import MISSING, Panel, Samples, Sites
from crocuta.data.variants.reading import read_panel
from crocuta.data.variants.samples import check_populations, read_samples
from crocuta.data.variants.sampling import CarriedSampler, Split, Window, WindowSampler, split_people
from crocuta.data.variants.store import Cohort, Haplotypes
from crocuta.data.variants.vcf import VariantFile

__all__ = [
    "MISSING", "Built", "CarriedSampler", "Cohort", "Counts", "GeneticMap", "Haplotypes", "Match", "PackedCohort",
    "Panel", "PanelCohort", "Policy", "Samples", "Sites", "Split", "VariantFile", "Window", "WindowSampler",
    "build_store", "check_populations", "match", "pack", "read_genetic_map", "read_panel", "read_samples",
    "split_people",
]  # fmt: skip
