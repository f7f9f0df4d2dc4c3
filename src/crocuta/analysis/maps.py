"""Maps of embeddings on a plane: PCA, t-SNE, UMAP, and for hyperbolic ones the Poincaré disk."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from crocuta.analysis.embeddings import Embeddings
from crocuta.errors import InputError

METHODS = ("pca", "disk", "tsne", "umap")
MOST_COMPONENTS = 50  # t-SNE and UMAP of flat embeddings start from this many principal components


class Map(NamedTuple):
    """Points (n, 2) on a plane.

    axes: what the two coordinates are; `caption` says how the map was made and what it keeps.
    """

    method: str
    title: str
    points: np.ndarray
    axes: tuple[str, str]
    caption: str


def make_map(embeddings: Embeddings, method: str | None = None, seed: int = 0) -> Map:
    """Projects embeddings to a plane.

    Args:
        embeddings: in flat or hyperbolic space.
        method: "pca" (hyperbolic: of tangent vectors at the centroid), "disk" (hyperbolic embeddings only), "tsne" or
            "umap" (hyperbolic: from geodesic distances). None: the disk if they are hyperbolic, else PCA.
        seed: of t-SNE and UMAP.

    Raises:
        InputError: no such method, a disk of flat embeddings, or umap-learn is not installed.
    """
    method = method or ("disk" if embeddings.hyperbolic else "pca")
    if method not in METHODS:
        raise InputError(f"method {method!r}, expected {', '.join(METHODS)}")
    if method == "disk" and not embeddings.hyperbolic:
        raise InputError(
            f"{embeddings.name}: the Poincaré disk shows hyperbolic embeddings, these are"
            f" {embeddings.manifold}; use pca, tsne or umap"
        )
    if method == "pca":
        return pca(embeddings)
    if method == "disk":
        return disk(embeddings)
    return tsne(embeddings, seed) if method == "tsne" else umap(embeddings, seed)


def principal(x: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, components) along the principal directions of x (n, d) through 0, and their shares of its square.

    Signs are such that the coordinate of largest size is positive. Directions that x lacks have coordinates 0.
    """
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    u, s = u[:, :components], s
    shares = s**2 / max(float((s**2).sum()), np.finfo(float).tiny)
    kept = u * s[:components]
    kept = kept * np.where(kept[np.abs(kept).argmax(0), np.arange(kept.shape[1])] < 0, -1.0, 1.0)
    missing = max(0, components - kept.shape[1])
    return np.pad(kept, ((0, 0), (0, missing))), np.pad(shares[:components], (0, missing))


def pca(embeddings: Embeddings) -> Map:
    """The two principal components."""
    tangents = embeddings.tangents()
    points, shares = principal(tangents - tangents.mean(0), 2)
    where = " of tangent vectors at the centroid" if embeddings.hyperbolic else ""
    first, second = (f"component {i} ({share:.0%})" for i, share in enumerate(shares, 1))
    return Map(
        "pca",
        "PCA",
        points,
        (first, second),
        f"Principal components{where}; in brackets the share of the variance.",
    )


def disk(embeddings: Embeddings) -> Map:
    """The Poincaré disk: the two principal tangent directions at the centroid, which lies in the middle.

    Distances from the middle along these directions are those of the embedding; curvature is scaled to -1, so the
    rim is at radius 1. (Tangent PCA: Fletcher et al. 2004.)
    """
    tangents = embeddings.tangents() * embeddings.c**0.5
    flat, shares = principal(tangents, 2)
    radius = np.linalg.norm(flat, axis=1, keepdims=True)
    points = flat * np.tanh(radius / 2) / np.maximum(radius, np.finfo(float).tiny)
    caption = (
        "Poincaré disk: the middle is the centroid, the two principal directions there keep"
        f" {shares.sum():.0%} of the squared distances to it. Rings: distances from it; the furthest point lies at"
        f" {radius.max():.3g}. Towards the rim equal steps on the page are ever longer."
    )
    return Map("disk", "Poincaré disk", points, ("", ""), caption)


def tsne(embeddings: Embeddings, seed: int = 0) -> Map:
    """t-SNE of the distances."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    options = {"perplexity": perplexity, "random_state": seed, "init": "random"}
    if embeddings.hyperbolic:
        points = TSNE(metric="precomputed", **options).fit_transform(distances(embeddings))
    else:
        x, _ = principal(embeddings.tangents(), min(MOST_COMPONENTS, embeddings.x.shape[1]))
        options["init"] = x[:, :2] / max(float(x[:, 0].std()), np.finfo(float).tiny) * 1e-4
        points = TSNE(**options).fit_transform(x)
    caption = (
        f"t-SNE{_by_distances(embeddings)}, perplexity {perplexity:.0f}: who is near whom is kept, sizes of"
        " groups and gaps between them are not."
    )
    return Map("tsne", "t-SNE", np.asarray(points, np.float64), ("t-SNE 1", "t-SNE 2"), caption)


def umap(embeddings: Embeddings, seed: int = 0) -> Map:
    """UMAP of the distances."""
    try:
        from umap import UMAP  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            "UMAP needs umap-learn, which is not installed: pip install 'crocuta[map]', or use tsne"
        ) from None
    neighbours = min(15, len(embeddings) - 1)
    options: dict[str, Any] = {"n_neighbors": neighbours, "random_state": seed, "n_jobs": 1}
    if embeddings.hyperbolic:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "using precomputed metric")  # which takes away what is not used
            points = UMAP(metric="precomputed", **options).fit_transform(distances(embeddings))
    else:
        x, _ = principal(embeddings.tangents(), min(MOST_COMPONENTS, embeddings.x.shape[1]))
        points = UMAP(**options).fit_transform(x)
    caption = (
        f"UMAP{_by_distances(embeddings)}, {neighbours} neighbours: who is near whom is kept, sizes of groups"
        " and gaps between them are not."
    )
    return Map("umap", "UMAP", np.asarray(points, np.float64), ("UMAP 1", "UMAP 2"), caption)


def distances(embeddings: Embeddings) -> np.ndarray:
    """Geodesic distances (n, n) of hyperbolic embeddings."""
    return embeddings.points().matrix(np.arange(len(embeddings)))


def _by_distances(embeddings: Embeddings) -> str:
    return " by hyperbolic distance" if embeddings.hyperbolic else ""
