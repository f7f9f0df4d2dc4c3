"""Message passing on an edge index: edges sorted once by target, sums over each node's segment of them.

A sum over segments is `embedding_bag` with the nodes as table, sources as indices and segment starts as offsets: no
message is ever written to memory, and it runs wherever torch does. Forward and backward on the airport graph (40,450
edges, 16 features, one thread): 0.3 ms, where gathering and `segment_reduce` take 2.3 ms, `index_add` 2.2 ms.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NORMALISATIONS = ("row", "symmetric", "none")


class Graph:
    """Edges sorted by target, with the orders and weights that layers ask for, each made once.

    Args:
        edge_index: (2, E), sources and targets; a message goes from source to target.
        num_nodes: by default one more than the largest index.
        edge_weight: (E,), by default 1; of edges given twice the sum counts.
        self_loops: join each node with itself, at weight 1, unless it is already.
        undirected: add the opposite of each edge that lacks it.

    Raises:
        ValueError: the edge index has another shape or dtype, or an index lies outside the nodes.

    >>> graph = Graph(torch.tensor([[0, 1], [1, 2]]), undirected=True)
    >>> graph.num_nodes, graph.num_edges
    (3, 7)
    """

    def __init__(
        self,
        edge_index: Int[Tensor, "2 E"],
        num_nodes: int | None = None,
        edge_weight: Float[Tensor, " E"] | None = None,
        *,
        self_loops: bool = True,
        undirected: bool = False,
    ):
        n = _check(edge_index, num_nodes)
        weight = torch.ones_like(edge_index[0], dtype=torch.float64) if edge_weight is None else edge_weight
        if undirected:
            edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
            weight = torch.cat([weight, weight])
        if self_loops:
            alone = torch.ones(n, dtype=torch.bool, device=edge_index.device)
            alone[edge_index[0, edge_index[0] == edge_index[1]]] = False
            loops = alone.nonzero().squeeze(1)
            edge_index = torch.cat([edge_index, loops.expand(2, -1)], dim=1)
            weight = torch.cat([weight, weight.new_ones(len(loops))])
        key, place = torch.unique(edge_index[1] * n + edge_index[0], return_inverse=True)
        total = weight.new_zeros(len(key))
        if undirected and edge_weight is None:
            total.fill_(1)
        else:
            total.index_add_(0, place, weight)
        self._arrange(key % n, key // n, n)
        self.edge_weight = total
        self._cache: dict[Any, Any] = {}

    def _arrange(self, source: Tensor, target: Tensor, n: int) -> None:
        self.num_nodes, self.num_edges = n, len(source)
        self.source, self.target = source.contiguous(), target.contiguous()
        self.start = _starts(target, n)
        self.reverse = torch.argsort(source, stable=True)  # edges by source: the transposed graph
        self.reverse_target, self.reverse_start = target[self.reverse], _starts(source[self.reverse], n)
        self.edges = torch.arange(len(source), device=source.device)

    def weight(self, normalisation: str, dtype: torch.dtype = torch.float32) -> Float[Tensor, " E"]:
        """Edge weights: "row" (they sum to 1 at each target), "symmetric" (`1/sqrt(d_i d_j)`), or "none"."""
        key = (normalisation, dtype)
        if key not in self._cache:
            self._cache[key] = self._normalised(normalisation).to(dtype)
        return self._cache[key]

    def _normalised(self, normalisation: str) -> Tensor:
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation must be one of {NORMALISATIONS}, got {normalisation!r}")
        weight = self.edge_weight.double()
        degree = torch.zeros(self.num_nodes, dtype=weight.dtype, device=weight.device)
        degree = degree.index_add(0, self.target, weight).clamp_min(1e-12)
        if normalisation == "row":
            return weight / degree[self.target]
        if normalisation == "symmetric":
            return weight / (degree[self.target] * degree[self.source]).sqrt()
        return weight

    def weight_sum(self, normalisation: str, dtype: torch.dtype = torch.float32) -> Float[Tensor, "N 1"]:
        """Sum of the weights at each target."""
        key = ("sum", normalisation, dtype)
        if key not in self._cache:
            weight = self.weight(normalisation, torch.float64)
            self._cache[key] = segment_sum(weight[:, None], self).to(dtype)
        return self._cache[key]

    def copies(self, count: int) -> tuple[Graph, Tensor]:
        """`count` copies side by side, node i of copy h being `i * count + h`; and the order of `(E, count)` edges.

        Values of edges by copy, `(E, count)`, flattened and taken in that order, belong to the copies' edges.
        """
        if count not in self._cache:
            copy = torch.arange(count, device=self.source.device)
            source = (self.source[:, None] * count + copy).flatten()
            target = (self.target[:, None] * count + copy).flatten()
            order = torch.argsort(target, stable=True)
            graph = object.__new__(Graph)
            graph._arrange(source[order], target[order], self.num_nodes * count)
            self._cache[count] = graph, order
        return self._cache[count]

    def to(self, device: torch.device | str) -> Graph:
        """The same graph there; caches are made anew."""
        if self.source.device == torch.device(device):
            return self
        graph = object.__new__(Graph)
        graph._arrange(self.source.to(device), self.target.to(device), self.num_nodes)
        graph.edge_weight, graph._cache = self.edge_weight.to(device), {}
        return graph


def as_graph(data: Any, num_nodes: int | None = None, **options) -> Graph:
    """A `Graph` of what users hold: a `Graph`, an edge index (2, E), or anything with `.edge_index`.

    A `torch_geometric` `Data` object is of the last kind: its `edge_weight` and the rows of its `x` count.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(data, Graph):
        return data
    if isinstance(data, Tensor):
        return Graph(data, num_nodes, **options)
    if not isinstance(getattr(data, "edge_index", None), Tensor):
        raise ValueError(
            f"a graph must be a Graph, an edge index (2, E), or have .edge_index, got {type(data).__name__}"
        )
    x = getattr(data, "x", None)
    nodes = num_nodes if num_nodes is not None or x is None else len(x)
    return Graph(data.edge_index, nodes, getattr(data, "edge_weight", None), **options)


def propagate(x: Float[Tensor, "N D"], weight: Float[Tensor, " E"], graph: Graph) -> Float[Tensor, "N D"]:
    """Each node's sum of `weight * x` over its incoming edges; gradients flow to both."""
    return _Propagate.apply(x, weight.to(x.dtype), graph)  # type: ignore[return-value]


def segment_sum(values: Float[Tensor, "E D"], graph: Graph) -> Float[Tensor, "N D"]:
    """Each node's sum of its incoming edges' values."""
    return _Gathered.apply(values, graph, False)  # type: ignore[return-value]


def at_source(x: Float[Tensor, "N ..."], graph: Graph) -> Float[Tensor, "E ..."]:
    """Each edge's value at its source."""
    return _Gather.apply(x, graph, True)  # type: ignore[return-value]


def at_target(x: Float[Tensor, "N ..."], graph: Graph) -> Float[Tensor, "E ..."]:
    """Each edge's value at its target."""
    return _Gather.apply(x, graph, False)  # type: ignore[return-value]


def segment_softmax(scores: Float[Tensor, "E H"], graph: Graph) -> Float[Tensor, "E H"]:
    """Softmax over each node's incoming edges, for each of H heads."""
    highest = F.embedding_bag(graph.edges, scores.detach(), graph.start, mode="max")
    exponential = torch.exp(scores - highest[graph.target])
    return exponential / at_target(segment_sum(exponential, graph), graph)


class _Propagate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _bag(graph.source, x, graph.start, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        x, weight = ctx.saved_tensors
        graph, g = ctx.graph, grads[0].contiguous()
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _bag(graph.reverse_target, g, graph.reverse_start, weight[graph.reverse])
        if ctx.needs_input_grad[1]:
            grad_weight = (g[graph.target] * x[graph.source]).sum(-1)
        return grad_x, grad_weight, None


class _Gather(torch.autograd.Function):
    """`x[source]` or `x[target]`; the gradient is a sum over segments rather than a scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, graph: Graph, by_source: bool) -> Tensor:
        ctx.graph, ctx.by_source = graph, by_source
        return x[graph.source if by_source else graph.target]

    @staticmethod
    def backward(ctx, *grads):
        return _Gathered.apply(grads[0], ctx.graph, ctx.by_source), None, None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, graph: Graph, by_source: bool) -> Tensor:
        ctx.graph, ctx.by_source = graph, by_source
        order, start = (graph.reverse, graph.reverse_start) if by_source else (graph.edges, graph.start)
        flat = values.reshape(len(values), -1).contiguous()
        return F.embedding_bag(order, flat, start, mode="sum").reshape(graph.num_nodes, *values.shape[1:])

    @staticmethod
    def backward(ctx, *grads):
        return _Gather.apply(grads[0], ctx.graph, ctx.by_source), None, None


def _bag(index: Tensor, x: Tensor, start: Tensor, weight: Tensor) -> Tensor:
    """Sum over each segment of `weight * x[index]`."""
    if x.dtype != torch.float64 or x.device.type != "cpu" or not torch.backends.mkl.is_available():
        return F.embedding_bag(index, x.contiguous(), start, mode="sum", per_sample_weights=weight)
    # in float64 the bag gathers messages after all; MKL's sparse product does not, and takes a third of the time
    bounds = torch.cat([start, start.new_tensor([len(index)])])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        matrix = torch.sparse_csr_tensor(bounds, index, weight, (len(start), len(x)), check_invariants=False)
    return matrix @ x


def _starts(sorted_index: Tensor, n: int) -> Tensor:
    """Where the segment of each of n nodes begins."""
    counts = torch.bincount(sorted_index, minlength=n)
    return counts.cumsum(0) - counts


def _check(edge_index: Tensor, num_nodes: int | None) -> int:
    """The number of nodes, or a `ValueError`."""
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"edge_index must be integers of shape (2, E), got {edge_index.dtype} of shape "
            f"{tuple(edge_index.shape)}; a list of pairs (E, 2) wants .T"
        )
    low, high = (edge_index.min().item(), edge_index.max().item()) if edge_index.numel() else (0, -1)
    n = int(high) + 1 if num_nodes is None else num_nodes
    if low < 0 or high >= n:
        raise ValueError(f"edge_index must lie in 0 to {n - 1}, found {low} to {high}")
    return n
