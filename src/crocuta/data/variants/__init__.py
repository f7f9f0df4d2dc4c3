"""Variants of a cohort: sites, samples, haplotypes."""

from crocuta.data.variants.panel import MISSING, Panel, Samples, Sites

__all__ = ["MISSING", "Panel", "Samples", "Sites"]
