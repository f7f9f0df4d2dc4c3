"""The points of a graph's nodes as an AnnData file, which `crocuta map`, `probe` and `hyperbolicity` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crocuta._version import __version__
from crocuta.data.graphs import GraphData
from crocuta.files import replacing_path
from crocuta.graphs.problems import Problem
from crocuta.models.graph import GraphModel, points_of


@torch.no_grad()
def write_points(path: Path, model: GraphModel, problem: Problem, data: GraphData) -> None:
    """Writes names, degrees and (if there are any) labels as `obs`, points as `X`, the manifold in `uns`."""
    import pandas
    from anndata import AnnData

    points = points_of(model.encode(problem.features, problem.graph)).cpu().numpy()
    manifold: Any = model.encoder.manifold
    columns: dict[str, Any] = {"name": data.node_names}
    columns["degree"] = np.bincount(data.edges.ravel(), minlength=data.num_nodes)
    if data.labels is not None:
        columns["label"] = pandas.Categorical(data.labels.astype(str))
    about = {
        "manifold": type(manifold).__name__.lower(),
        "curvature": float(manifold.c),
        "model": model.config.encoder,
        "crocuta": __version__,
    }
    obs = pandas.DataFrame(columns, index=pandas.Index(data.node_names))
    var = pandas.DataFrame(index=pandas.RangeIndex(points.shape[1]).astype(str))
    with replacing_path(path) as temporary:
        AnnData(points, obs=obs, var=var, uns=about).write_h5ad(temporary)
