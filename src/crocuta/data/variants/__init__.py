"""Variants of a cohort: sites, samples, haplotypes; read from VCF and BCF."""

from crocuta.data.variants.blocks import Counts, Policy
from crocuta.data.variants.genetic_map import GeneticMap, read_genetic_map
from crocuta.data.variants.panel import MISSING, Panel, Samples, Sites
from crocuta.data.variants.reading import read_panel
from crocuta.data.variants.samples import check_populations, read_samples
from crocuta.data.variants.vcf import VariantFile

__all__ = [
    "MISSING", "Counts", "GeneticMap", "Panel", "Policy", "Samples", "Sites", "VariantFile", "check_populations",
    "read_genetic_map", "read_panel", "read_samples",
]  # fmt: skip
