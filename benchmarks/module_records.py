"""One record per module of HyperCore and HGE, for `modules.py`."""

from __future__ import annotations

from typing import NamedTuple


class Module(NamedTuple):
    """The original's name, our classes, where the formula comes from, what holds it, and what theirs costs."""

    original: str
    classes: tuple[str, ...]
    source: str
    oracle: str
    tests: tuple[str, ...]
    theirs: str = ""
    note: str = ""


LAWS, GOLDEN = "laws", "golden"
CHEN = "Chen et al. 2022, arXiv 2105.14686"
BDEIR = "Bdeir et al. 2023, arXiv 2303.15919"
GANEA = "Ganea et al. 2018, arXiv 1805.09112"
HNNPP = "Shimizu et al. 2021, arXiv 2006.08210"
HE = "He et al. 2024, arXiv 2412.14695"
YANG = "Yang et al. 2024, arXiv 2407.01290"
HYPLORA = "Yang et al. 2025, arXiv 2410.04010"
MERU = "Desai et al. 2023, arXiv 2304.09172"

_LINEAR, _CONV = "tests/nn/test_lorentz_linear.py::", "tests/nn/test_lorentz_conv.py::"
_NORM, _POINT = "tests/nn/test_lorentz_norm.py::", "tests/nn/test_lorentz_pointwise.py::"
_ATTENTION, _BLOCK = "tests/nn/test_lorentz_attention.py::", "tests/nn/test_lorentz_transformer.py::"
_HEADS, _BALL = "tests/nn/test_hyperbolic_heads.py::", "tests/nn/test_poincare_layers.py::"
_EMBED, _POSITION = "tests/nn/test_hyperbolic_embedding.py::", "tests/nn/test_position.py::"
_POOL, _RESNET = "tests/nn/test_lorentz_pool.py::", "tests/nn/test_lorentz_resnet.py::"
_LOSS, _MAPS = "tests/nn/test_hyperbolic_loss.py::", "tests/manifolds/test_maps.py::"
_SPACE, _KNOWN = "tests/manifolds/test_laws.py::", "tests/manifolds/test_known_failures.py::"
_CURVATURE, _OPTIM = "tests/manifolds/test_curvature.py::", "tests/optim/test_descent.py::"
_EVERY = "tests/nn/test_every_layer.py::"
_LOW_RANK, _PEFT = "tests/nn/test_low_rank.py::", "tests/models/test_hyplora.py::"
_TANGENT = "tests/nn/test_tangent.py::"
_GRAPH, _PASS = "tests/nn/test_graph_hyperbolic.py::", "tests/nn/test_graph.py::"
_LANGUAGE, _LCLIP = "tests/models/test_lorentz_language.py::", "tests/models/test_lclip.py::"
_LVIT, _RESNETS = "tests/models/test_lvit.py::", "tests/models/test_lorentz_resnet.py::"
_INDEX, _TREES = "tests/retrieval/test_index.py::", "tests/retrieval/test_subgraph.py::"
_RAG = "tests/retrieval/test_graph_rag.py::"
_MODEL, _TRAIN = "tests/models/test_graph.py::", "tests/graphs/test_training.py::"
GIL = "Zhu et al. 2020, arXiv 2010.12135"
HGCN = "Chami et al. 2019, arXiv 1910.12933"

GROUPS: dict[str, tuple[Module, ...]] = {
    "Manifolds": (
        Module(
            "Lorentz", ("Lorentz",), "Nickel & Kiela 2018, arXiv 1806.03417; centroid Law et al. 2019, eq. 14",
            "70-digit oracle, 1e-9 in float64", ("tests/manifolds/test_oracle.py::test_float64_within_1e9",),
        ),
        Module(
            "PoincareBall", ("Poincare",), f"{GANEA}, eqs. 4 to 11; gyromidpoint Ungar 2010, eq. 3.90",
            "70-digit oracle, 1e-9 in float64", ("tests/manifolds/test_oracle.py::test_float64_within_1e9",),
        ),
        Module(
            "PseudoHyperboloid", ("PseudoHyperboloid",), "Xiong et al. 2022, arXiv 2106.03134, theorem 1 and eq. 7",
            f"{LAWS}; Lorentz at one time dimension",
            (f"{_SPACE}test_pseudo_hyperboloid", f"{_SPACE}test_one_time_dimension_is_lorentz"),
        ),
        Module("Euclidean", ("Euclidean",), "-", LAWS, (f"{_SPACE}test_euclidean",)),
        Module(
            "Stiefel", (), "-", "torch's own tests", (),
            note="none: `torch.nn.utils.parametrizations.orthogonal`",
        ),
        Module(
            "`manifold_out`; HGE's switch of curvature", ("Rescale", "Remap"),
            "similarity `sqrt(c_in / c_out) x`; `exp0(log0(x))`", "definitions, 1e-6",
            (f"{_MAPS}test_rescale_is_a_similarity", f"{_MAPS}test_remap_keeps_distances_from_the_origin"),
        ),
        Module(
            "Lorentz to ball and back", ("lorentz_to_poincare", "poincare_to_lorentz"), "isometry",
            "70-digit oracle",
            ("tests/manifolds/test_oracle.py::test_models_hold_the_same_points", f"{_MAPS}test_models_are_isometric"),
        ),
        Module(
            "entailment cones", ("EntailmentConeLoss",),
            f"{MERU}, eqs. 4 to 6; Ganea et al. 2018 (cones), arXiv 1804.01882, eq. 33", "70-digit oracle, 1e-9",
            (f"{_LOSS}test_cone_excess_against_the_oracle",),
        ),
    ),
    "Linear layers and embeddings": (
        Module(
            "LorentzLinear; HGE's fully connected layer", ("LorentzLinear",), f"{CHEN}, eq. 3; {YANG}",
            GOLDEN, (f"{_LINEAR}test_linear_against_hypercore", f"{_LINEAR}test_linear_against_hge"),
        ),
        Module(
            "HyboNetLinear", ("LorentzBoostLinear",), f"{CHEN}, eq. 5", GOLDEN,
            (f"{_LINEAR}test_boost_linear_against_hybonet",),
        ),
        Module(
            "tangent-space linear, HNNLayer", ("TangentLinear",), f"{GANEA}, eqs. 27 and 28", GOLDEN,
            (f"{_LINEAR}test_tangent_linear_against_hypercore",
             f"{_TANGENT}test_a_hyperbolic_neural_network_of_two_layers_learns"),
            "HNNLayer crashes",
        ),
        Module(
            "pseudo-hyperbolic linear", ("PseudoHyperboloidLinear",),
            "Xiong et al. 2022, arXiv 2106.03134, section 4.2", "the diffeomorphism by hand; one time: `TangentLinear`",
            (f"{_TANGENT}test_pseudo_hyperboloid_linear_turns_the_sphere_and_boosts_space",
             f"{_TANGENT}test_pseudo_hyperboloid_linear_with_one_time_is_the_lorentz_one"),
        ),
        Module(
            "LorentzCLS", ("LorentzCentroidClassifier",), "Law et al. 2019, squared Lorentzian distance", GOLDEN,
            (f"{_LINEAR}test_centroid_classifier_against_hypercore",),
        ),
        Module(
            "Poincare linear", ("PoincareLinear",), f"{HNNPP}, eqs. 6 and 7", "the published formula, 1e-12",
            (f"{_BALL}test_linear_is_the_published_formula",), "crashes",
        ),
        Module(
            "word + position embeddings", ("LorentzEmbedding", "PoincareEmbedding", "LorentzPositionalEmbedding"),
            "Nickel & Kiela 2017, arXiv 1705.08039; Nickel & Kiela 2018, arXiv 1806.03417",
            GOLDEN,
            (f"{_EMBED}test_plain_embedding_against_hypercore", f"{_EMBED}test_points_are_placed_and_stay",
             f"{_EMBED}test_word_and_position_against_hypercore"),
        ),
        Module(
            "patch embedding", ("LorentzPatchEmbedding",), f"{BDEIR}, eq. 4", GOLDEN,
            (f"{_EMBED}test_patches_against_hypercore",),
        ),
    ),
    "Convolution": (
        Module(
            "Conv1d; HGE's convolution", ("LorentzConv1d",), f"{BDEIR}, eq. 4", GOLDEN,
            (f"{_CONV}test_conv1d_against_hge",
             f"{_CONV}test_conv1d_is_a_linear_layer_on_concatenated_windows"),
            "HyperCore crashes",
        ),
        Module(
            "Conv2d", ("LorentzConv2d",), f"{BDEIR}, eq. 4", GOLDEN,
            (f"{_CONV}test_conv2d_against_hypercore",), "memory 5.2",
        ),
        Module(
            "ConvTranspose2d", ("LorentzConvTranspose1d", "LorentzConvTranspose2d"), f"{BDEIR}, eq. 4",
            "a convolution of points with origins between them, 1e-12",
            (f"{_CONV}test_transposed_conv_is_a_conv_of_points_with_origins_between_them",), "crashes",
        ),
        Module(
            "Poincare convolution", ("PoincareConv1d", "PoincareConv2d"), f"{HNNPP}, section 3.3",
            "the published linear layer on beta-concatenated windows, 1e-11",
            (f"{_BALL}test_conv_is_the_published_linear_on_beta_concatenated_windows",), "crashes",
        ),
    ),
    "Normalisation": (
        Module(
            "BatchNorm 1d, 2d; HGE's batch norm", ("LorentzBatchNorm1d", "LorentzBatchNorm2d"),
            f"{BDEIR}, section 4.2", f"{GOLDEN}, running statistics too",
            (f"{_NORM}test_batch_norm_against_hypercore", f"{_NORM}test_batch_norm_steps_against_hge",
             f"{_NORM}test_batch_norm_gradients_against_hge"),
            "2d memory 11, 1d crashes",
        ),
        Module(
            "LayerNorm", ("LorentzLayerNorm",), f"{YANG}, section 3", GOLDEN,
            (f"{_NORM}test_layer_norm_against_hypercore",),
        ),
        Module(
            "RMSNorm", ("LorentzRMSNorm",), "Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4, lifted", GOLDEN,
            (f"{_NORM}test_rms_norm_against_hypercore",),
        ),
        Module(
            "Normalization", ("LorentzNormalize",), "space part over its length, lifted", "definition",
            (f"{_NORM}test_normalize_brings_space_parts_to_length_one",),
        ),
        Module(
            "Poincare batch norm", ("PoincareBatchNorm1d", "PoincareBatchNorm2d"),
            f"{BDEIR}, section 4.2, through the isometry", "gyrotranslation by the midpoint, 1e-10",
            (f"{_BALL}test_batch_norm_centres_on_the_gyromidpoint",), "crashes",
        ),
    ),
    "Pointwise layers, residuals, blocks": (
        Module(
            "Activation", ("LorentzActivation",), "acts on the space part, lifted",
            GOLDEN, (f"{_POINT}test_activation_against_hypercore", f"{_POINT}test_activation_against_hge"),
        ),
        Module(
            "tangent-space activation", ("TangentActivation",), f"{GANEA}, section 3.2", "definition, 1e-12",
            (f"{_TANGENT}test_activation_of_three_axes_stays_on_the_manifold",
             f"{_TANGENT}test_activation_to_another_manifold_keeps_distances_from_the_origin"),
            "off the manifold",
        ),
        Module(
            "Dropout", ("LorentzDropout",), "acts on the space part, lifted", "definition",
            (f"{_POINT}test_dropout_drops_in_training_only",),
        ),
        Module(
            "LResNet", ("LorentzResidual", "LorentzScaledResidual"), f"{HE}, eq. 4 and section 4.2", GOLDEN,
            (f"{_POINT}test_residual_against_hypercore",),
        ),
        Module(
            "HGE's residual", ("LorentzSpaceAddition",), f"{BDEIR}, section 4.4",
            LAWS, (f"{_EVERY}test_laws",),
        ),
        Module(
            "HypResidual", ("TangentResidual",), "`exp0(log0(x) + log0(y))`", "definition",
            (f"{_TANGENT}test_residual_adds_at_the_origin",), "crashes",
        ),
        Module(
            "Mobius addition", ("PoincareResidual",), f"{GANEA}, eq. 4", "70-digit oracle of the gyro-addition; laws",
            (f"{_EVERY}test_laws", "tests/manifolds/test_oracle.py::test_mobius_addition"),
        ),
        Module(
            "concatenation; HGE's flatten", ("LorentzFlatten", "concatenate", "split"),
            "Qu & Zou 2022, arXiv 2206.03213, eq. 9", f"{GOLDEN} (k = 1); definition at every c",
            (f"{_POINT}test_flatten_against_hge", f"{_POINT}test_flatten_is_right_at_every_curvature",
             f"{_POINT}test_concatenate_and_split_are_inverse"),
        ),
        Module(
            "residual blocks (input, basic, bottleneck)",
            ("LorentzInputBlock", "LorentzBasicBlock", "LorentzBottleneckBlock"),
            f"He et al. 2016, arXiv 1512.03385, fig. 5; {BDEIR}", "its parts; a stack learns",
            (f"{_RESNET}test_block_is_its_parts", f"{_RESNET}test_a_stack_learns"), "crashes",
        ),
        Module(
            "feed-forward (MLP, SwiGLU)", ("LorentzFeedForward", "LorentzSwiGLU"),
            f"{CHEN}, section 3.3; Shazeer 2020, arXiv 2002.05202, eq. 6, lifted", "their parts",
            (f"{_BLOCK}test_feed_forward_is_two_linear_layers_and_an_activation",
             f"{_BLOCK}test_swiglu_is_its_formula"),
        ),
        Module(
            "Lorentz transformer block", ("LorentzTransformerBlock",), f"pre-norm; residuals {HE}, section 4.2",
            GOLDEN, (f"{_BLOCK}test_block_against_hypercore",), "LViT, 6 layers: 1.65",
        ),
    ),
    "Attention and positions": (
        Module(
            "multi-head attention, `full`, `flash`", ("LorentzMultiheadAttention", "LorentzCentroidMultiheadAttention"),
            f"{CHEN}, eqs. 6 and 7", f"{GOLDEN}: masks, causality, cross attention; moves with isometries",
            (f"{_ATTENTION}test_against_hypercore", f"{_ATTENTION}test_cross_attention_against_hypercore",
             "tests/nn/test_isometries.py::test_attention_moves_along",
             f"{_ATTENTION}test_memory_is_linear_in_the_length"),
            "4.8 (11.5) at length 2048",
        ),
        Module(
            "`linear_focused`", ("LorentzFocusedAttention",), f"{YANG}, eqs. 9 to 12", "definition",
            (f"{_ATTENTION}test_focused_attention_is_its_definition",), "crashes",
        ),
        Module(
            "Poincare attention", ("PoincareMultiheadAttention",),
            "Gulcehre et al. 2019, arXiv 1805.09786, section 3; Shimizu et al. 2021, arXiv 2006.08210, section 3.5",
            "Lorentz attention through the isometry; definition",
            ("tests/nn/test_poincare_attention.py::test_is_lorentz_attention_seen_in_the_ball",
             "tests/nn/test_poincare_attention.py::test_weights_follow_the_distance_and_values_meet_in_the_gyromidpoint"),
            "crashes",
        ),
        Module(
            "rotary positions", ("Rotary",), "Su et al. 2021, arXiv 2104.09864, eq. 15",
            f"{GOLDEN} (theirs rotates in float32: 1e-6 there)",
            (f"{_ATTENTION}test_rotary_against_hypercore",
             f"{_POSITION}test_rotary_keeps_its_digits_at_a_million_in_float32"),
        ),
        Module(
            "relative positional encoding", ("LorentzRelativePosition",), f"{YANG}, section 4.3", LAWS,
            (f"{_POSITION}test_relative_position_of_weight_zero_is_the_point", f"{_EVERY}test_laws"),
        ),
        Module(
            "learned and sinusoidal positions", ("LorentzLearnedPosition", "LorentzSinusoidalPosition"),
            "midpoint residual; Vaswani et al. 2017, arXiv 1706.03762, section 3.5, lifted", f"definition; {LAWS}",
            (f"{_POSITION}test_learned_position_is_the_weighted_midpoint", f"{_EVERY}test_laws"),
        ),
    ),
    "Pooling, heads, losses, optimisers": (
        Module(
            "global average pool", ("LorentzGlobalPool", "LorentzAvgPool1d", "LorentzAvgPool2d"),
            "Law et al. 2019, eq. 14", f"{GOLDEN}; windows by definition",
            (f"{_POOL}test_global_pool_against_hypercore", f"{_POOL}test_masked_points_do_not_count"),
        ),
        Module(
            "LorentzMLR; HGE's", ("LorentzMLR",), f"{BDEIR}, eq. 10", GOLDEN,
            (f"{_HEADS}test_lorentz_mlr_against_hypercore", f"{_HEADS}test_lorentz_mlr_against_hge",
             f"{_HEADS}test_logit_is_the_distance_to_the_hyperplane"),
        ),
        Module(
            "Poincare MLR", ("PoincareMLR",), f"{HNNPP}, eq. 6", f"{GANEA}, eq. 25, 1e-10",
            (f"{_HEADS}test_poincare_mlr_has_the_conformal_factor_the_right_way_up",
             f"{_HEADS}test_both_heads_are_one"),
        ),
        Module(
            "contrastive loss of L-CLIP; CLIP's", ("HyperbolicContrastiveLoss", "CosineContrastiveLoss"),
            f"{MERU}, section 3.2",
            "cross entropy of distances, 1e-6", (f"{_LOSS}test_contrast_is_cross_entropy_of_distances",),
        ),
        Module(
            "Riemannian SGD", ("RiemannianSGD",), "Bonnabel 2013, arXiv 1111.5280", "exponential map of the gradient",
            (f"{_OPTIM}test_sgd_step_is_the_exponential_map_of_the_gradient",),
        ),
        Module(
            "Riemannian Adam", ("RiemannianAdam",), "Becigneul & Ganea 2019, arXiv 1810.00760, algorithm 1",
            "torch's update on flat parameters; descent to the midpoint",
            (f"{_OPTIM}test_flat_parameters_take_torchs_update", f"{_OPTIM}test_descent_reaches_the_midpoint"),
        ),
    ),
    "Graphs": (
        Module(
            "GCN, GAT", ("GCNConv", "GATConv"),
            "Kipf & Welling 2017, arXiv 1609.02907, eq. 2; Velickovic et al. 2018, arXiv 1710.10903, eqs. 1 to 6",
            "definition on dense matrices, 1e-6",
            (f"{_PASS}test_gcn_is_its_formula", f"{_PASS}test_gat_is_its_formula",
             f"{_PASS}test_propagate_is_the_dense_product_with_both_gradients"),
        ),
        Module(
            "HGCN", ("HGCNConv",), f"{HGCN}, eqs. 6 to 10",
            f"{GOLDEN} (ball); both models agree; attention by definition",
            (f"{_GRAPH}test_hgcn_against_hypercore", f"{_GRAPH}test_hgcn_is_the_same_network_on_both_models",
             f"{_GRAPH}test_hgcn_with_attention_averages_in_each_nodes_own_tangent_space"),
        ),
        Module(
            "HGNN", ("HGNNConv",), "Liu et al. 2019, arXiv 1910.12892, eqs. 4 and 5", GOLDEN,
            (f"{_GRAPH}test_hgnn_against_hypercore",),
        ),
        Module(
            "HyboNet", ("HyboNetConv", "LorentzAggregation"), f"{CHEN}, eqs. 5 and 9",
            f"{GOLDEN}, local attention at k = 1",
            (f"{_GRAPH}test_hybonet_against_hypercore", f"{_GRAPH}test_hybonet_attention_against_hypercore",
             f"{_GRAPH}test_aggregation_against_hypercore", f"{_GRAPH}test_aggregation_far_out_in_float32"),
        ),
        Module(
            "LGCN", ("LGCNConv",), "Zhang et al. 2021, arXiv 2104.07477, eqs. 8 to 12", GOLDEN,
            (f"{_GRAPH}test_lgcn_against_hypercore",),
        ),
        Module(
            "HGAT", ("HGATConv",), f"Zhang et al. 2019, arXiv 1912.03046; {GIL}, eq. 3", "definition, 1e-9",
            (f"{_GRAPH}test_hgat_is_its_formula",), "crashes",
        ),
        Module(
            "GIL", ("GILConv", "DualDecoder"), f"{GIL}, eqs. 4 and 5", "Mobius operations written out, 1e-9",
            (f"{_GRAPH}test_gil_fuses_both_spaces_by_its_formula",
             f"{_GRAPH}test_dual_decoder_lies_between_its_two_sides"), "crashes",
        ),
        Module(
            "H2H-GCN", ("H2HGCNConv",), "Dai et al. 2021, arXiv 2104.06942, eqs. 8 to 11",
            "Einstein midpoints in Klein coordinates, 1e-9", (f"{_GRAPH}test_h2h_gcn_is_its_formula",), "crashes",
        ),
        Module(
            "Q-GCN", ("QGCNConv",), "Xiong et al. 2022, arXiv 2106.03134, section 4",
            f"HGCN at one time dimension; {LAWS}",
            (f"{_GRAPH}test_q_gcn_with_one_time_dimension_is_hgcn",
             f"{_GRAPH}test_q_gcn_keeps_angles_on_the_sphere"), "crashes",
        ),
        Module(
            "decoders: linear, Lorentz, Fermi-Dirac",
            ("TangentDecoder", "LorentzCentroidClassifier", "FermiDiracDecoder"),
            f"{HGCN}, section 4.4", GOLDEN,
            (f"{_GRAPH}test_linear_decoder_against_hypercore",
             f"{_GRAPH}test_linear_decoder_of_the_ball_against_hypercore",
             f"{_GRAPH}test_lorentz_decoder_against_hypercore", f"{_GRAPH}test_fermi_dirac_against_hypercore",
             f"{_GRAPH}test_fermi_dirac_of_the_ball_against_hypercore"),
        ),
        Module(
            "centroid-distance readout; H2H decoder", ("CentroidDistance", "CentroidDistanceClassifier"),
            "Liu et al. 2019, arXiv 1910.12892, eq. 6", f"definition; {LAWS}",
            (f"{_GRAPH}test_centroid_distance_is_the_distance", f"{_EVERY}test_laws"),
        ),
        Module(
            "task models NC, LP, MD", (), "-", "every encoder on every task; scores by hand",
            (f"{_MODEL}test_every_encoder_does_every_task_and_reloads",
             f"{_TRAIN}test_reconstruction_scores_by_hand", f"{_GRAPH}test_distortion_of_true_distances_is_zero"),
            note="`crocuta.models.graph.heads`; [](graphs.md)",
        ),
    ),
    "Adaptation of trained models": (
        Module(
            "LoRA", (), "Hu et al. 2021, arXiv 2106.09685", "peft's own",
            ("tests/classification/test_adapt.py::test_what_each_adaptation_trains",
             "tests/classification/test_adapt.py::test_merged_weights_answer_as_the_adapter_did"),
            note="`peft.LoraConfig`; `--adapt lora:8`",
        ),
        Module(
            "HypLoRA, hybrid", ("TangentLowRank",), HYPLORA, f"LorentzLinear and maps composed, 1e-11; {LAWS}",
            (f"{_LOW_RANK}test_the_equations",
             f"{_LOW_RANK}test_gradient_at_the_start_is_that_of_finite_differences",
             f"{_PEFT}test_a_causal_model", f"{_PEFT}test_several_adapters", f"{_PEFT}test_long_sequences"),
            note="`HypLoraConfig`; `--adapt hyplora:8`; [](hyplora.md)",
        ),
        Module(
            "HypLoRA, fully hyperbolic", ("LorentzLowRank",), HYPLORA, f"LorentzLinear composed, 1e-12; {LAWS}",
            (f"{_LOW_RANK}test_the_equations", f"{_PEFT}test_layers_of_points"),
            note='`HypLoraConfig(form="full")`; `--adapt hyplora-full:8`',
        ),
    ),
    "Vision": (
        Module(
            "LViT", (), f"He et al. 2025, arXiv 2504.08912, section 5; residuals {HE}, section 4.2",
            f"{GOLDEN} (k = 1): HyperCore's network from our parts; {LAWS}; reload",
            (f"{_LVIT}test_parts_against_hypercore", f"{_LVIT}test_outputs_are_points",
             f"{_LVIT}test_gradients_of_curvatures_are_finite_differences",
             f"{_LVIT}test_round_trip_through_auto_models"),
            "6 layers: 1.65", "`crocuta.models.vision.lvit`; cost: [](vision.md)",
        ),
        Module(
            "Lorentz ResNet 18 to 152", (), BDEIR, f"its blocks; layers counted; {LAWS}; reload",
            (f"{_RESNETS}test_layers_are_as_many_as_the_name_says", f"{_RESNETS}test_outputs_are_points",
             f"{_RESNETS}test_a_small_network_learns", f"{_RESNETS}test_round_trip_through_auto_models"),
            "crashes", "`crocuta.models.vision.resnet`; [](vision.md)",
        ),
    ),
    "Retrieval": (
        Module(
            "graph retriever (GraphRAG)", ("GraphRAG", "GraphPrompt", "Retriever"),
            "He et al. 2024 (G-Retriever), arXiv 2402.07630, section 5",
            "facts of entities that training never names; GPT-2, Llama, HyenaDNA",
            (f"{_RAG}test_retrieval_tells_what_the_language_model_cannot_know", f"{_RAG}test_any_causal_language_model",
             f"{_RAG}test_saved_and_loaded", f"{_TREES}test_prize_collecting_tree_against_brute_force"),
            note="[](retrieval.md)",
        ),
        Module(
            "index of hyperbolic points", ("HyperbolicIndex",),
            "inner product, time negated; error bound Higham 2002, eq. 3.5",
            "brute force in float64, radius 0.01 to 14",
            (f"{_INDEX}test_nearest_are_those_of_brute_force", f"{_INDEX}test_inner_products_alone_would_not_do",
             f"{_INDEX}test_the_ball_is_searched_through_its_isometry"),
            note="[](retrieval.md)",
        ),
    ),
    "Language, and words": (
        Module(
            "Lorentz transformer encoder and decoder", (),
            f"{CHEN}, sections 3.2 and 3.3; residuals {BDEIR}, section 4.4",
            "points; padding; cache against the whole; reload",
            (f"{_LANGUAGE}test_states_are_points_and_gradients_finite", f"{_LANGUAGE}test_padding_changes_nothing",
             f"{_LANGUAGE}test_the_cache_gives_the_same_logits_letter_by_letter_and_in_pieces",
             f"{_LANGUAGE}test_round_trip_saves_the_curvature_once"),
            note="`crocuta.models.lorentz_language`; cost: [](lorentz_language.md)",
        ),
        Module(
            "L-CLIP", (), f"{MERU}, sections 3.1 and 3.2", "points; partners by hand; two processes are one; reload",
            (f"{_LCLIP}test_both_sides_are_points_and_everything_gets_a_gradient",
             f"{_LCLIP}test_rows_of_one_group_are_partners_of_each_other", f"{_LCLIP}test_two_processes_are_one",
             f"{_LCLIP}test_round_trip"),
            note="`crocuta.models.clip.lclip`; [](lclip.md)",
        ),
    ),
}  # fmt: skip
