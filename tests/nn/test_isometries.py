"""What moves with the points when an isometry moves them, and what does not change.

An isometry here is a rotation, a boost, a rotation: every one that keeps time's direction is of that form.
"""

import math

import pytest
import torch

from crocuta.manifolds import Lorentz, lorentz_to_poincare, poincare_to_lorentz
from crocuta.manifolds.poincare import Poincare
from crocuta.nn import (
    HyperbolicContrastiveLoss,
    LorentzAvgPool1d,
    LorentzAvgPool2d,
    LorentzBatchNorm1d,
    LorentzCentroidClassifier,
    LorentzCentroidMultiheadAttention,
    LorentzGlobalPool,
    LorentzMLR,
    LorentzResidual,
    LorentzRMSNorm,
    PoincareMLR,
)
from crocuta.nn.lorentz.attention import lorentz_attention

N = 5
CURVATURES = pytest.mark.parametrize("c", [0.1, 1.0, 2.7])


def boost(rapidity):
    matrix = torch.eye(N + 1, dtype=torch.float64)
    matrix[0, 0] = matrix[1, 1] = math.cosh(rapidity)
    matrix[0, 1] = matrix[1, 0] = math.sinh(rapidity)
    return matrix


def rotation():
    matrix = torch.eye(N + 1, dtype=torch.float64)
    matrix[1:, 1:] = torch.linalg.qr(torch.randn(N, N, dtype=torch.float64)).Q
    return matrix


@pytest.fixture(params=[0.0, 1.3, -2.5])
def isometry(request):
    torch.manual_seed(0)
    matrix = rotation() @ boost(request.param) @ rotation()
    return lambda x: x @ matrix.T


def points(c, *shape):
    torch.manual_seed(1)
    m = Lorentz(c)
    return m, m.random((*shape, N), dtype=torch.float64)


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@CURVATURES
def test_distances_stay(c, isometry):
    m, x = points(c, 7)
    same(m.dist(isometry(x)[:, None], isometry(x)), m.dist(x[:, None], x))


@CURVATURES
def test_a_contrast_of_distances_stays(c, isometry):
    m, x = points(c, 2, 7)
    loss = HyperbolicContrastiveLoss(m).double()
    same(loss(*isometry(x)), loss(*x))


@CURVATURES
def test_global_pooling_moves_along(c, isometry):
    m, x = points(c, 2, 7)
    mask = torch.tensor([[1, 1, 1, 0, 0, 1, 1], [1] * 7])
    pool = LorentzGlobalPool(m)
    same(pool(isometry(x), mask), isometry(pool(x, mask)))


@CURVATURES
def test_window_pooling_moves_along(c, isometry):
    m, x = points(c, 2, 6)
    same(LorentzAvgPool1d(m, 3, 1)(isometry(x)), isometry(LorentzAvgPool1d(m, 3, 1)(x)))
    m, x = points(c, 2, 4, 4)
    same(LorentzAvgPool2d(m, 2)(isometry(x)), isometry(LorentzAvgPool2d(m, 2)(x)))


@CURVATURES
@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True}, {"mask": torch.tensor([[1] * 7, [1] * 4 + [0] * 3])}]
)
def test_attention_moves_along(c, isometry, options):
    _, x = points(c, 3, 2, 3, 7)
    out = lorentz_attention(*x, c, 2.0, **options)
    same(lorentz_attention(*isometry(x), c, 2.0, **options), isometry(out))


@CURVATURES
def test_heads_joined_by_their_centroid_move_along(c, isometry):
    m, x = points(c, 2, 7, 3)
    join = LorentzCentroidMultiheadAttention(m, N, 3)._join
    same(join(isometry(x)), isometry(join(x)))


@CURVATURES
def test_midpoint_residual_moves_along(c, isometry):
    m, (x, y) = points(c, 2, 7)
    residual = LorentzResidual(m, 0.6).double()
    same(residual(isometry(x), isometry(y)), isometry(residual(x, y)))


@CURVATURES
def test_batch_norm_forgets_where_the_batch_was(c, isometry):
    """Moved to the origin, the batch is turned at most: distances in the result stay."""
    m, x = points(c, 9)
    norm = LorentzBatchNorm1d(m, N).double()
    before, after = norm(x), norm(isometry(x))
    same(m.dist(after[:, None], after), m.dist(before[:, None], before))
    same(m.dist0(after), m.dist0(before))


@CURVATURES
def test_classes_that_move_with_the_points_keep_their_logits(c, isometry):
    m, x = points(c, 7)
    layer = LorentzCentroidClassifier(m, N, 3).double()
    before = layer(x)
    with torch.no_grad():
        layer.weight.copy_(isometry(m.lift(layer.weight))[:, 1:])
    same(layer(isometry(x)), before)


@CURVATURES
def test_hyperplanes_that_move_with_the_points_keep_their_logits(c, isometry):
    """A hyperplane of unit Lorentz normal w moves to that of the moved w = [sinh a, cosh a z/|z|]."""
    m, x = points(c, 7)
    layer = LorentzMLR(m, N, 3).double()
    before = layer(x)
    with torch.no_grad():
        size, a = layer.weight.norm(dim=-1, keepdim=True), math.sqrt(c) * layer.offset[:, None]
        normal = torch.cat([torch.sinh(a), torch.cosh(a) * layer.weight / size], dim=-1)
        moved = isometry(normal)
        layer.offset.copy_(torch.asinh(moved[:, 0]) / math.sqrt(c))
        layer.weight.copy_(size * moved[:, 1:] / moved[:, 1:].norm(dim=-1, keepdim=True))
    same(layer(isometry(x)), before)


@CURVATURES
def test_the_ball_sees_the_same_isometries(c, isometry):
    """Distance, centroid and hyperplanes of the ball are those of the hyperboloid."""
    m, x = points(c, 2, 7)
    ball = Poincare(c)
    y, moved = lorentz_to_poincare(x, c), lorentz_to_poincare(isometry(x), c)
    same(ball.dist(moved[0], moved[1]), ball.dist(y[0], y[1]))
    same(poincare_to_lorentz(ball.centroid(moved), c), isometry(m.centroid(x)))
    layer = PoincareMLR(ball, N, 3).double()  # offset 0: hyperplanes through the origin, which rotations turn
    turn = rotation()
    before = layer(y)
    layer.weight.data = layer.weight.data @ turn[1:, 1:].T
    same(layer(y @ turn[1:, 1:].T), before)


@CURVATURES
def test_root_mean_square_norm_turns_along(c):
    m, x = points(c, 7)
    norm, turn = LorentzRMSNorm(m, N).double(), rotation()
    same(norm(x @ turn.T), norm(x) @ turn.T)
