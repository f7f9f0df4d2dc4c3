"""From a VCF to painted chromosomes: `crocuta ancestry`."""
