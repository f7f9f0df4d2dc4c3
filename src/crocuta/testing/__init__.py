"""The laws that manifolds and layers obey, for our tests and for users' own classes.

    assert_manifold(Lorentz(c=0.5), dtype=torch.float32)
    assert_layer(LorentzLinear(Lorentz(), 8, 5))

Each law raises `AssertionError` with the quantity that broke it. Inputs are drawn from a fixed seed.
"""

from crocuta.testing.layer import assert_layer
from crocuta.testing.manifold import assert_manifold, sample_points

__all__ = ["assert_layer", "assert_manifold", "sample_points"]
