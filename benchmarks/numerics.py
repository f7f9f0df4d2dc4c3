"""What float32 can and cannot do in hyperbolic space: crocuta and geoopt, with the truth from mpmath.

    python benchmarks/numerics.py

Writes `docs/numerics.md`, the plot `docs/_static/numerics.svg` and `benchmarks/results/numerics.json`. Points are
float32 and the truth belongs to these very numbers; radii are r sqrt(c), dimension 16, worst of 32 pairs and of all
curvatures for crocuta, curvature 1 for geoopt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import geoopt
import matplotlib as mpl
import mpmath
import torch
from torch import Tensor

from crocuta.manifolds import Lorentz, Poincare

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "crocuta"
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).parents[1]
CURVATURES = (0.01, 0.1, 1.0, 4.0, 100.0)
COUNT, DIM = 32, 16


def directions(seed: int) -> Tensor:
    """Unit vectors in float64."""
    unit = torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return unit / unit.norm(dim=-1, keepdim=True)


def on_hyperboloid(r: float, c: float, seed: int) -> Tensor:
    """float32 points at scaled radius r, by crocuta; geoopt receives the same."""
    return Lorentz(c).expmap0((directions(seed) * r / c**0.5).float())


def nearby(x: Tensor, c: float, gap: float) -> Tensor:
    """float32 points at about the scaled distance gap from x."""
    m, wide = Lorentz(c), x.double()
    u = m.project_tangent(wide, torch.cat([torch.zeros(COUNT, 1), directions(9)], dim=-1))
    return m.expmap(wide, u * (gap / c**0.5 / m.inner(wide, u, u).sqrt())[:, None]).float()


def true_distance(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Distance of the points over these space parts, from 60 digits."""
    with mpmath.workdps(60):
        values = []
        for a, b in zip(x[:, 1:].tolist(), y[:, 1:].tolist(), strict=True):
            a, b, k = [mpmath.mpf(v) for v in a], [mpmath.mpf(v) for v in b], 1 / mpmath.mpf(c)
            times = mpmath.sqrt(mpmath.fdot(a, a) + k) * mpmath.sqrt(mpmath.fdot(b, b) + k)
            values.append(
                float(mpmath.sqrt(k) * mpmath.acosh(max((times - mpmath.fdot(a, b)) / k, mpmath.mpf(1))))
            )
    return torch.tensor(values, dtype=torch.float64)


def gap(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Scaled geodesic distance of float32 points, from float64."""
    return Lorentz(c).dist(x.double(), y.double()) * c**0.5


def worst(values: Iterable[float]) -> float:
    """The largest, NaN and infinity counting as infinite."""
    return max(value if math.isfinite(value) else math.inf for value in values)


def relative(actual: Tensor, truth: Tensor) -> float:
    """Largest relative error."""
    return worst(((actual.double() - truth).abs() / truth.abs()).flatten().tolist())


class Ours:
    """crocuta's maps under one name each."""

    def __init__(self, c: float):
        self.c, self.m, self.ball = c, Lorentz(c), Poincare(c)
        self.dist, self.expmap, self.logmap = self.m.dist, self.m.expmap, self.m.logmap
        self.normal_coordinates = self.m.normal_coordinates
        self.from_normal_coordinates = self.m.from_normal_coordinates
        self.ball_exp, self.ball_dist = self.ball.expmap0, self.ball.dist

    def round_trip(self, s: Tensor) -> Tensor:
        return self.m.logmap0(self.m.expmap0(s))

    def centroid(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.m.centroid(x, weight)


class Theirs:
    """geoopt's maps; its k is 1 / c on the hyperboloid. It has no centroid there: HyperCore's formula stands in."""

    def __init__(self, c: float):
        self.c, self.m, self.ball = c, geoopt.Lorentz(k=1 / c), geoopt.PoincareBall(c=c)
        self.dist, self.expmap, self.logmap = self.m.dist, self.m.expmap, self.m.logmap
        self.normal_coordinates, self.from_normal_coordinates = self.logmap, self.expmap
        self.ball_exp, self.ball_dist = self.ball.expmap0, self.ball.dist

    def round_trip(self, s: Tensor) -> Tensor:
        ambient = torch.cat([torch.zeros_like(s[:, :1]), s], dim=-1)
        return self.m.logmap0(self.m.expmap0(ambient))[:, 1:]

    def centroid(self, x: Tensor, weight: Tensor) -> Tensor:
        total = (weight[:, None] * x).sum(-2)
        square = -self.m.inner(total, total, keepdim=True)
        return total / (self.c**0.5 * square.clamp_min(1e-8).sqrt())


def distance_error(lib, r: float) -> float:
    x, y = on_hyperboloid(r, lib.c, 0), on_hyperboloid(0.7 * r, lib.c, 1)
    return relative(lib.dist(x, y), true_distance(x, y, lib.c))


def near_error(lib, r: float) -> float:
    x = on_hyperboloid(r, lib.c, 0)
    y = nearby(x, lib.c, 1e-2)
    return relative(lib.dist(x, y), true_distance(x, y, lib.c))


def self_distance(lib, r: float) -> float:
    x = on_hyperboloid(r, lib.c, 0)
    return worst((lib.dist(x, x).abs() * lib.c**0.5).tolist())


def self_gradient(lib, r: float) -> float:
    x = on_hyperboloid(r, lib.c, 0).requires_grad_()
    (gradient,) = torch.autograd.grad(lib.dist(x, x.detach()).sum(), x)
    return worst(gradient.abs().flatten().tolist())


def round_trip_error(lib, r: float) -> float:
    s = (directions(0) * r / lib.c**0.5).float()
    return worst(((lib.round_trip(s) - s).norm(dim=-1) / s.norm(dim=-1)).tolist())


def exp_log_error(lib, r: float) -> float:
    x, y = on_hyperboloid(r, lib.c, 0), on_hyperboloid(0.7 * r, lib.c, 1)
    reached = lib.expmap(x, lib.logmap(x, y))
    return worst((gap(reached, y, lib.c) / gap(x, y, lib.c)).tolist())


def frame_error(lib, r: float) -> float:
    x, y = on_hyperboloid(r, lib.c, 0), on_hyperboloid(0.7 * r, lib.c, 1)
    reached = lib.from_normal_coordinates(x, lib.normal_coordinates(x, y))
    return worst((gap(reached, y, lib.c) / gap(x, y, lib.c)).tolist())


def centroid_error(lib, r: float) -> float:
    x = torch.stack([on_hyperboloid(r, lib.c, seed) for seed in range(4)], dim=1)
    return worst(gap(lib.centroid(x, torch.tensor([1.0, 0, 0, 0])), x[:, 0], lib.c).tolist())


def antipodes_error(lib, r: float) -> float:
    u = (directions(0) * r / (2 * lib.c**0.5)).float()
    return relative(lib.ball_dist(lib.ball_exp(u), lib.ball_exp(-u)) * lib.c**0.5, torch.tensor(2 * r))


def gradient_state(lib, r: float) -> float:
    """0 where the gradients of dist, of log and of exp after log are finite, infinity where one is not."""
    x = on_hyperboloid(r, lib.c, 0).requires_grad_()
    y = on_hyperboloid(0.7 * r, lib.c, 1)
    parts = (lib.dist(x, y), lib.logmap(x, y), lib.expmap(x, lib.logmap(x, y)))
    for part in parts:
        scaled = part / part.detach().abs().clamp_min(1.0)
        (gradient,) = torch.autograd.grad(scaled.sum(), x, retain_graph=True)
        if not (gradient.isfinite().all() and part.isfinite().all()):
            return math.inf
    return 0.0


Measure = Callable[[object, float], float]
ROWS: tuple[tuple[str, Measure, tuple[float, ...]], ...] = (
    ("values and gradients finite (0 = yes)", gradient_state, (1, 5, 10, 20, 40)),
    ("`dist`, independent pairs, relative error", distance_error, (1, 5, 10, 20, 40)),
    ("`dist`, pairs 0.01 apart, relative error", near_error, (1, 5, 10)),
    ("`dist(x, x)` (true 0)", self_distance, (1, 5, 10, 20, 40)),
    ("its gradient (true 0)", self_gradient, (1, 5, 10, 20, 40)),
    ("`logmap0(expmap0(s))`, relative error, r = length of s", round_trip_error, (1e-6, 1e-3, 1, 10, 40)),
    ("`expmap(x, logmap(x, y))` to y, relative to d(x, y)", exp_log_error, (1, 3, 5, 8)),
    ("the same by `normal_coordinates` (geoopt lacks them: as above)", frame_error, (1, 3, 5, 8, 10)),
    ("centroid, one-hot weights, geodesic error", centroid_error, (1, 5, 10, 20)),
    ("Poincare ball, `dist` of antipodes, relative error", antipodes_error, (1, 5, 8, 10, 12, 14)),
)


def measure() -> list[dict]:
    """Every row at every radius, both libraries."""
    table = []
    for name, function, radii in ROWS:
        for r in radii:
            ours = worst(function(Ours(c), r) for c in CURVATURES)
            table.append(
                {"quantity": name, "r": r, "crocuta": ours, "geoopt": worst([function(Theirs(1.0), r)])}
            )
    return table


def show(value: float) -> str:
    """Two digits; what is not finite in words."""
    if value == 0:
        return "0"
    return f"{value:.1e}" if math.isfinite(value) else "not finite"


def plot(table: list[dict], path: Path) -> None:
    """Error against radius for the quantities that have a limit."""
    wanted = (1, 2, 6, 9)
    figure, axes = plt.subplots(1, len(wanted), figsize=(13, 3.2), sharey=True, layout="constrained")
    for axis, index in zip(axes, wanted, strict=True):
        name = ROWS[index][0]
        rows = [row for row in table if row["quantity"] == name]
        for library, colour in (("crocuta", "#0b6e4f"), ("geoopt", "#c8553d")):
            error = [min(max(row[library], 1e-9), 1e3) for row in rows]
            axis.semilogy([row["r"] for row in rows], error, marker="o", color=colour, label=library)
        axis.set_title(name.replace("`", ""), fontsize=8)
        axis.set_xlabel(r"radius $r\sqrt{c}$")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("worst error, float32")
    axes[0].legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


TEXT = """# Numbers far from the origin

Hyperbolic space grows as $e^r$, and floating point does not. This page says how accurate float32 is in
crocuta and in geoopt, and what to do where it is not enough. Errors are the worst of 32 pairs in 16 dimensions (in
crocuta, of curvatures 0.01 to 100 as well); the true values come from mpmath on the same float32 coordinates. Radii
are $r\\sqrt{{c}}$. geoopt has no centroid on the hyperboloid, so HyperCore's formula is in its column.
`python benchmarks/numerics.py` writes this page.

{table}

![Worst float32 error against radius](_static/numerics.svg)

## What float32 coordinates cannot hold

- **Points of the hyperboloid**: a coordinate's rounding moves a point sideways by $2^{{-25}} e^r$ or so: 0.3% of a unit
  at $r = 10$, a whole unit beyond $r = 17$. Distances between given points stay accurate at any radius; the points
  are what is coarse.
- **Tangents of the hyperboloid**: the radial part is $\\cosh r$ times longer in coordinates than it counts, so the
  direction of a tangent is known to about $2^{{-24}} \\cosh r$, and `expmap` stretches that by $\\sinh d$. For two
  points at $r = 5$ in opposite directions that is about 0.1% of the distance, at $r = 8$ everything. Inside,
  `expmap`, `logmap`, `transport` and `centroid` compute in float64, so the rounding of the tangent is the only error.
- **The Poincare ball**: a radius is known to about $2^{{-25}} e^r$, 5e-3 at $r = 12$. Points stop at $r = 15.9$.

## What to do about it

- Keep parameters as tangents at the origin (or space parts) and lift them in `forward`: `expmap0` and `logmap0` are
  exact to a float32 step at every length up to 40.
- Geodesics between points far out: `m.normal_coordinates(x, y)` is the same logarithm in a frame at x, and
  `m.from_normal_coordinates(x, v)` the way back: 1e-5 of the distance at $r = 5$, where an ambient tangent loses 1e-3.
- Ambient tangents far out: `m.logmap(x.double(), y.double())` and `expmap` of the result; in float64 the same limits
  stand at about $r = 18$.
- From ball coordinates near the rim change to `Lorentz` with `poincare_to_lorentz` before computing, or hold the
  points as polar or tangent vectors and use `Lorentz.expmap0`: it reaches $r = 41$.
"""


def main() -> None:
    torch.manual_seed(0)
    table = measure()
    lines = ["| quantity | r | crocuta | geoopt |", "|---|---|---|---|"]
    for row in table:
        lines.append(f"| {row['quantity']} | {row['r']:g} | {show(row['crocuta'])} | {show(row['geoopt'])} |")
    print("\n".join(lines))
    plot(table, ROOT / "docs" / "_static" / "numerics.svg")
    (ROOT / "docs" / "numerics.md").write_text(TEXT.format(table="\n".join(lines)))
    finite = [
        {
            key: show(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in table
    ]
    result = ROOT / "benchmarks" / "results" / "numerics.json"
    result.parent.mkdir(exist_ok=True)
    result.write_text(
        json.dumps({"torch": torch.__version__, "geoopt": geoopt.__version__, "table": finite}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
