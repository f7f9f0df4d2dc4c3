"""The mpmath oracle's files, which live beside the project."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "manifolds"


@pytest.fixture
def oracle():
    """Load `oracle_<model>_<precision>.npz`, or skip where the golden folder is absent."""

    def load(model: str, precision: str) -> dict[str, np.ndarray]:
        path = GOLDEN / f"oracle_{model}_{precision}.npz"
        if not path.exists():
            pytest.skip(f"golden numbers are absent: {path}")
        with np.load(path) as archive:
            return dict(archive)

    return load
