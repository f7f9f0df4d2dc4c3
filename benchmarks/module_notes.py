"""What goes wrong in HyperCore and HGE, and why our costs exceed those of the Euclidean twins, for `modules.py`."""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """What goes wrong in the original, measured, and the tests that show ours right."""

    where: str
    what: str
    tests: tuple[str, ...]


_CURVATURE = "tests/manifolds/test_curvature.py::"
_HEADS = "tests/nn/test_hyperbolic_heads.py::"
_KNOWN = "tests/manifolds/test_known_failures.py::"
_LAYERS = "tests/nn/test_reference_failures.py::"
_LINEAR = "tests/nn/test_lorentz_linear.py::"
_LOSS = "tests/nn/test_hyperbolic_loss.py::"
_POINT = "tests/nn/test_lorentz_pointwise.py::"

FAILURES: tuple[Failure, ...] = (
    Failure(
        "HyperCore Poincare MLR", "conformal factor inverted: logits 0.04 to 0.10 of the true value at norm 0.9",
        (f"{_HEADS}test_poincare_mlr_has_the_conformal_factor_the_right_way_up",),
    ),
    Failure(
        "HyperCore HypLoRA", "gradient at the start 4,472 times too large",
        ("tests/nn/test_low_rank.py::test_the_originals_gradient_at_the_start_is_4472_times_too_large",
         "tests/models/test_hyplora.py::test_gradient_at_the_start_through_a_whole_model"),
    ),
    Failure(
        "HyperCore LoRA's `modules_to_save`", "ignored: the new classifier stays frozen",
        ("tests/models/test_hyplora.py::test_modules_to_save_are_trained_and_saved",),
    ),
    Failure(
        "HyperCore `induced_distance`", "sign lost: constant 0.00138 where 4 to 7 is right",
        (f"{_KNOWN}test_distance_has_its_full_size",),
    ),
    Failure(
        "HyperCore oxy angle", "drops a coordinate, returns batch x batch, 3.14 where 2.88 is right",
        (f"{_KNOWN}test_exterior_angle_keeps_every_coordinate_and_one_value_per_pair",
         f"{_LOSS}test_cone_excess_against_the_oracle"),
    ),
    Failure(
        "HyperCore half-aperture at c != 1", "4 times too small",
        (f"{_KNOWN}test_half_aperture_away_from_unit_curvature",),
    ),
    Failure(
        "HyperCore Lorentz to ball at c != 1", "62% lost in a round trip",
        (f"{_KNOWN}test_conversion_away_from_unit_curvature",),
    ),
    Failure(
        "HyperCore tangent activation", "3-D input leaves the manifold by 2.27",
        ("tests/nn/test_tangent.py::test_activation_of_three_axes_stays_on_the_manifold",),
    ),
    Failure("HyperCore `random_normal`", "`std` ignored", (f"{_KNOWN}test_random_obeys_its_std",)),
    Failure(
        "HyperCore and HGE learnable curvature", "unbounded: negative after 4 steps, or NaN",
        (f"{_CURVATURE}test_learnable_curvature_is_bounded_and_smooth",
         f"{_CURVATURE}test_descent_on_the_curvature_stays_positive"),
    ),
    Failure(
        "HGE curvature's parameter group", "empty: curvature keeps weight decay and the weights' learning rate",
        ("tests/optim/test_groups.py::test_curvature_is_found_by_type_not_by_name",),
    ),
    Failure(
        "HyperCore centroid in 16 bits", "KeyError; `.half()` on one layer converts the shared manifold",
        (f"{_KNOWN}test_centroid_of_16_bit_points", f"{_CURVATURE}test_half_precision_spares_the_curvature"),
    ),
    Failure(
        "HyperCore state dict", "82 of 128 keys of a 2-layer LViT repeat curvatures",
        (f"{_LAYERS}test_curvatures_do_not_fill_the_state_dict",
         f"{_LAYERS}test_a_shared_curvature_is_written_once"),
    ),
    Failure(
        "HyperCore, any input",
        "crash: HNNLayer, HypResidual, Poincare linear, convolution, norm, attention; Conv1d, ConvTranspose2d, "
        "BatchNorm1d, residual blocks; `linear_focused`; `bias=False`",
        (f"{_LAYERS}test_what_crashes_on_any_input_runs", f"{_LAYERS}test_residual_through_the_tangent_space_runs",
         "tests/nn/test_tangent.py::test_a_hyperbolic_neural_network_of_two_layers_learns"),
    ),
    Failure(
        "HyperCore graph layers", "HGAT, GIL, H2H-GCN and Q-GCN crash on any input",
        ("tests/models/test_graph.py::test_every_encoder_does_every_task_and_reloads",),
    ),
    Failure(
        "airport node classification in hgcn, HyboNet, HyperCore", "225 of 506 test nodes are trained on",
        ("tests/data/test_graphs.py::test_the_original_airport_split_leaks",
         "tests/data/test_graphs.py::test_clean_node_split_is_disjoint_and_stratified"),
    ),
    Failure(
        "HyperCore import", "fails without torchvision, torch_scatter, loguru, ftfy, torch_geometric",
        ("tests/optim/test_ecosystem.py::test_import_is_light",),
    ),
    Failure(
        "HyboNet linear", "leaves the manifold at r = 10 (its scale is clamped)",
        (f"{_LINEAR}test_boost_linear_stays_on_the_manifold_far_out",),
    ),
    Failure(
        "HyperCore LorentzMLR", "NaN in float32 at a / sqrt(k) = 10",
        (f"{_HEADS}test_hyperplanes_far_out_are_finite_and_right",),
    ),
    Failure(
        "HGE flatten", "right only at k = 1: subtracts (n - 1)/k; NaN at k = 0.4",
        (f"{_POINT}test_flatten_is_right_at_every_curvature",
         f"{_LAYERS}test_flatten_then_classify_learns_at_every_curvature"),
    ),
    Failure(
        "HGE batch norm", "beta, a point, leaves the manifold when the curvature moves",
        (f"{_LAYERS}test_batch_norm_stays_on_a_manifold_whose_curvature_moves_fast",),
    ),
    Failure(
        "float32 in HyperCore, HGE, geoopt",
        "dist(x, x) 0.044 at r = 5, its gradient 3e3; log then exp NaN from r = 10; one-hot centroid off by 6.9",
        (f"{_KNOWN}test_the_float32_table", "tests/manifolds/test_float32.py::test_one_hot_centroid"),
    ),
    Failure(
        "geoopt's ball in float32", "saturates at r = 6.21; 16.6 for a distance of 20",
        (f"{_KNOWN}test_ball_does_not_saturate_at_six",),
    ),
)  # fmt: skip

_LIFT = "one pass over the result for its squared length, and one back"
_BALL_FLOOR = (
    "the way to the hyperboloid and back, step by step: each step is a pass, and autograd keeps what it read. "
    "A fused gradient is left to write"
)
FLOOR: dict[str, str] = {
    "LorentzLinear": f"the product has one column more; {_LIFT}.",
    "LorentzBoostLinear": "the product has a row and a column more; a sigmoid, and two passes that "
    "give the space part the "
    "length that time asks for.",
    "TangentLinear": "log and exp at the origin and, for the bias, transport and exp at every "
    "point, in float64. "
    "`LorentzLinear` does the same work without them.",
    "TangentLowRank": "twin: LoRA by `peft`; a norm of each input and of each output, and the logarithm's factor "
    "on the outputs.",
    "LorentzLowRank": "twin: LoRA by `peft`; a norm of each input, whose gradient is a second pass over it.",
    "TangentActivation": "log and exp at the origin: a norm and a transcendental function per point, each way.",
    "TangentResidual": "two logs and an exp at the origin, where the twin adds.",
    "PseudoHyperboloidLinear": "log and exp at the origin: sines and hyperbolic sines of two norms per point.",
    "Rescale": "a second pass each way for time; the twin is a product.",
    "Remap": "log and exp at the origin; the twin is a product.",
    "LorentzNormalize": "a second pass each way for time, as in the layer norm.",
    "LorentzInputBlock": "its batch norm; the convolution takes the time of its twin.",
    "LorentzCentroidClassifier": "class points are lifted, logits clamped.",
    "PoincareLinear": f"an asinh and a sinh per coordinate, which the formula asks for, and {_BALL_FLOOR}.",
    "LorentzEmbedding": "rows are lifted after the look-up, so that they follow a moving curvature; "
    "the look-up itself is "
    "almost free.",
    "PoincareEmbedding": "as `LorentzEmbedding`; the projection is not fused.",
    "LorentzPositionalEmbedding": "rows are lifted after the look-up and joined by a midpoint, where the twin adds.",
    "LorentzPatchEmbedding": "as the convolution, on few channels.",
    "LorentzConv1d": f"one more input channel, the windows' joint time; {_LIFT}.",
    "LorentzConv2d": f"one more input channel, the windows' joint time; {_LIFT}.",
    "LorentzConvTranspose1d": f"one more input channel, the windows' joint time; {_LIFT}.",
    "LorentzConvTranspose2d": f"one more input channel, the windows' joint time; {_LIFT}.",
    "PoincareConv1d": f"log at the origin, an asinh and a sinh per coordinate, and {_BALL_FLOOR}.",
    "PoincareConv2d": f"log at the origin, an asinh and a sinh per coordinate, and {_BALL_FLOOR}.",
    "LorentzBatchNorm1d": "two dot products and a rank-2 update per point (the boost to the "
    "centroid and on to beta), the "
    "mean distance, and centroids summed in float64; the twin is one fused kernel of a subtraction "
    "and a product.",
    "LorentzBatchNorm2d": "as `LorentzBatchNorm1d`.",
    "PoincareBatchNorm1d": f"`LorentzBatchNorm1d`, and {_BALL_FLOOR}.",
    "PoincareBatchNorm2d": f"`LorentzBatchNorm2d`, and {_BALL_FLOOR}.",
    "LorentzLayerNorm": "the twin is one fused kernel, bound by memory; ours goes over the points once for the mean, "
    "once for the length, once to scale and shift, once for time.",
    "LorentzRMSNorm": "a second pass each way, for time; torch's own RMSNorm is less fused than its layer norm.",
    "LorentzActivation": "a copy into points and its squared length, where the twin is one pass.",
    "LorentzDropout": "a copy into points and its squared length, where the twin is one pass.",
    "LorentzResidual": "the twin reads two and writes one; ours also needs the sum's Lorentz length "
    "before it can scale, "
    "and hand-written gradients of both.",
    "LorentzScaledResidual": "as `LorentzResidual`.",
    "LorentzSpaceAddition": "the sum's squared length: a second pass each way.",
    "PoincareResidual": "the gyro-addition, arranged not to cancel, step by step, where the twin adds; a fused "
    "gradient is left to write.",
    "LorentzFlatten": "the twin is a view: ours sums squares and writes a new point.",
    "LorentzBasicBlock": "batch norms and residual; the convolutions take the time of their twins.",
    "LorentzBottleneckBlock": "batch norms and residual on wide images; the convolutions take the time of their twins.",
    "LorentzFeedForward": f"{_LIFT}, twice.",
    "LorentzSwiGLU": f"{_LIFT}, twice.",
    "LorentzTransformerBlock": "lifted queries, keys and values, the centroid's length, norms and "
    "residuals; the products, "
    "nearly all of the work, are the twin's.",
    "LorentzMultiheadAttention": "queries, keys and values are lifted (a head has n + 1 "
    "coordinates) and each head's sum is "
    "brought back to the hyperboloid; scores and sums are torch's one kernel.",
    "LorentzCentroidMultiheadAttention": "heads as wide as the model, by default.",
    "LorentzFocusedAttention": "the feature map: two norms and a power per head.",
    "PoincareMultiheadAttention": f"Lorentz attention, and {_BALL_FLOOR}.",
    "Rotary": "angles in float64, so that a million positions keep their digits, made anew in each pass; the twin has "
    "them at hand.",
    "LorentzRelativePosition": "a midpoint, where the twin adds.",
    "LorentzLearnedPosition": "a midpoint, where the twin adds.",
    "LorentzSinusoidalPosition": "a midpoint, where the twin adds.",
    "LorentzGlobalPool": "the centroid looks at each point twice, in float64, so that it has digits at any radius; the "
    "twin is a mean.",
    "LorentzAvgPool1d": "windows are summed in float64 and divided by their Lorentz length; the "
    "twin is a mean.",
    "LorentzAvgPool2d": "windows are summed in float64 and divided by their Lorentz length; the "
    "twin is a mean.",
    "LorentzMLR": "an asinh per logit; unit normals are rebuilt in every pass.",
    "PoincareMLR": f"an asinh per logit, and {_BALL_FLOOR}.",
    "EntailmentConeLoss": "two angles of each pair, by steps of autograd, where the twin is a cosine.",
    "HyperbolicContrastiveLoss": "products in float64, an inverse hyperbolic sine for each pair, and once more those "
    "pairs that nearly agree; the twin is one product in float32.",
    "CentroidDistance": "the same distances; the twin, a linear layer, is one product in float32.",
    "CentroidDistanceClassifier": "as `CentroidDistance`.",
    "FermiDiracDecoder": "a distance that keeps its digits, where the twin is an inner product.",
    "TangentDecoder": "a logarithm at the origin before the twin's product.",
    "lorentz_to_poincare": "a norm and a division by steps of autograd, held inside the ball; the twin is a product.",
    "poincare_to_lorentz": "how near the rim is, in float64, and a lift; the twin is a product.",
}
