"""Local ancestry: copying, a chain over pairs of haplotypes, and a network that smooths it."""
