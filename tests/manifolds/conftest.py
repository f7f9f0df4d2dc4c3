"""The mpmath oracle's files."""

import numpy as np
import pytest


@pytest.fixture
def oracle(golden):
    """Loads `oracle_<model>_<precision>.npz`."""

    def load(model: str, precision: str) -> dict[str, np.ndarray]:
        with np.load(golden("manifolds") / f"oracle_{model}_{precision}.npz") as archive:
            return dict(archive)

    return load
