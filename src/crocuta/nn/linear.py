"""Linear layers."""

from torch import nn


class ResidualLinear(nn.Linear):
    """A linear layer that ends a residual branch: models of n layers draw its weights 1/sqrt(2 n) times smaller.

    From GPT-2 (Radford et al. 2019); a class of its own so that initialisation can tell it from other layers.
    """
