"""Golden cases of the two reference systems (their k is the squared radius: our c = 1/k)."""

import json
import math

import numpy as np
import pytest
import torch

from crocuta.manifolds import Lorentz
from crocuta.nn.graph import Graph


class Case:
    """One golden case: its arrays, and how to put them into a layer and compare."""

    def __init__(self, arrays: dict, k: float):
        self.meta = json.loads(str(arrays.pop("meta")))
        self.arrays = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.k = k

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.arrays[name]

    def manifold(self, kind=Lorentz, c: float | None = None, learnable: bool = True):
        """A manifold of the case's curvature, learnable and exact in float64."""
        m = kind(1 / self.k if c is None else c, learnable=learnable).double()
        if learnable:
            m.log_c.data.fill_(math.log(m.initial_c))
        return m

    def point(self, manifold, name: str):
        """The named input as a point that follows its space part and the curvature, and that space part."""
        s = self[name][..., 1:].clone().requires_grad_()
        return manifold.lift(s), s

    @staticmethod
    def put(layer, **values) -> None:
        """Copy arrays into parameters and buffers."""
        named = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
        with torch.no_grad():
            for name, value in values.items():
                named[name].copy_(value.reshape(named[name].shape))

    @staticmethod
    def close(actual, expected, tolerance: float = 1e-9) -> None:
        """Agreement to the tolerance, relative to the expected array's largest entry (at least 1)."""
        assert actual.shape == expected.shape, (actual.shape, expected.shape)
        error = (actual - expected).abs().max().item() / max(1.0, expected.abs().max().item())
        assert error <= tolerance, error

    @staticmethod
    def by_k(manifold) -> torch.Tensor:
        """Derivative with respect to k, from that with respect to `log_c`: k = exp(-log_c)."""
        return -manifold.initial_c * manifold.log_c.grad


@pytest.fixture(scope="session")
def golden_case(golden):
    """Loads a case: `golden_case("hge", "fc", 0.5)`."""

    def load(system: str, name: str, k: float, letter: str = "k") -> Case:
        prefix = f"{name}/{letter}{k:g}/"
        with np.load(golden(system) / "layers.npz") as file:
            arrays = {key[len(prefix) :]: file[key] for key in file.files if key.startswith(prefix)}
        assert arrays, prefix
        return Case(arrays, k)

    return load


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Each test compiles from an empty cache: dynamo gives up after eight versions of a function."""
    torch.compiler.reset()


@pytest.fixture(scope="session")
def small_graph():
    """Makes a cycle of four nodes with a chord and a leaf; node 5 has no edge but its own."""
    edges = torch.tensor([[0, 1, 2, 3, 0, 1], [1, 2, 3, 0, 2, 4]])
    return lambda: Graph(edges, 6, undirected=True)


@pytest.fixture(scope="session")
def dense():
    """Writes edge weights as the matrix A of `(A x)_i = sum_j w_ij x_j`."""

    def matrix(graph: Graph, weight: torch.Tensor) -> torch.Tensor:
        empty = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=weight.dtype)
        return empty.index_put((graph.target, graph.source), weight)

    return matrix
