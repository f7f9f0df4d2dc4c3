"""Ancestry of haplotypes: evidence of windows and blocks (floor of baselines), chains that smooth it, calibration."""
