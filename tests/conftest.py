"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_folder(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not beside this checkout (../shared)")
    return path


@pytest.fixture(scope="session")
def golden():
    """Folder of numeric oracles by name; skips where the oracles are absent."""
    return lambda name: shared_folder("golden", name)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data by name; skips where the data are absent."""
    return lambda *parts: shared_folder("data", *parts)
