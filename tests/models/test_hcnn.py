"""The hyperbolic CNNs against the original's numbers, and what the original gets wrong."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from crocuta import optim


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForSequenceClassification, HCNNConfig, HCNNForSequenceClassification, convert
    from transformers import AutoModelForSequenceClassification

    from crocuta.models.hcnn import HCNNConfig, HCNNForSequenceClassification, convert


ORIGINAL_SYMBOLS = torch.tensor([7, 8, 10, 9, 11])  # A, C, T, G, N as our token ids
KINDS = {"S": "single", "M": "multiple"}


def small(**options):
    torch.manual_seed(0)
    return HCNNForSequenceClassification(
        HCNNConfig(**{"max_length": 20, "channels": 7, "hidden_features": 15} | options)
    )


@pytest.fixture(params=["HCNN-S_fc48", "HCNN-M_fc48", "HCNN-S_full"])
def original(golden, request):
    folder, name = golden("hge"), request.param
    config = HCNNConfig(
        max_length=20,
        hidden_features=47 if "fc48" in name else 527,
        pool=None,
        curvatures=KINDS[name[5]],
    )
    if "fc48" in name:
        state = load_file(folder / f"{name}.state.safetensors")
    else:
        arrays = np.load(folder / f"{name}.state.npz")
        state = {key: torch.from_numpy(arrays[key]) for key in arrays if key != "meta"}
    model = HCNNForSequenceClassification(config)
    model.load_state_dict(convert(state, config))
    return model.double(), np.load(folder / f"{name}.io.npz")


def close(actual, expected):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=1e-9 * scale)


def test_golden_logits_before_and_after_a_pass(original):
    model, arrays = original
    inputs = {
        "input_ids": ORIGINAL_SYMBOLS[torch.from_numpy(arrays["in.token_ids"])],
        "labels": torch.from_numpy(arrays["in.labels"]),
    }
    close(model.eval()(**inputs).logits, arrays["out.eval_logits_initial_stats"])
    training = model.train()(**inputs)
    close(training.logits, arrays["out.train_logits"])
    close(training.loss, arrays["out.train_loss"])
    close(model.eval()(**inputs).logits, arrays["out.eval_logits_after_1"])


def test_golden_gradients(original):
    model, arrays = original
    ids = ORIGINAL_SYMBOLS[torch.from_numpy(arrays["in.token_ids"])]
    model.train()(ids, labels=torch.from_numpy(arrays["in.labels"])).loss.backward()
    if "grad.train_loss.mlr.z" in arrays:
        close(model.score.weight.grad, arrays["grad.train_loss.mlr.z"])
    else:
        close(model.score.weight.grad.norm(), arrays["grad.train_loss.mlr.z.frobenius"])
    close(model.score.offset.grad, arrays["grad.train_loss.mlr.a"])
    for i, block in enumerate(model.blocks):
        prefix = f"grad.train_loss.conv_layers.{i}"
        close(block.conv1.bias.grad, arrays[f"{prefix}.0.linearized_kernel.weight.bias"][1:])
        close(block.norm2.beta.grad, arrays[f"{prefix}.4.beta.space_chart"])
        close(block.norm2.gamma.grad, arrays[f"{prefix}.4.gamma"].squeeze())
    for i, manifold in enumerate(model.manifolds):  # d/dk at k = 1 is -d/d log c
        close(-manifold.log_c.grad, arrays[f"grad.train_loss.manifolds.{i}.k.consistent"])


@pytest.mark.parametrize(
    ("length", "curvatures", "theirs"),
    [
        (70, "single", 1_194_542),
        (70, "multiple", 1_194_545),
        (300, "single", 4_959_182),
        (300, "multiple", 4_959_185),
    ],
)
def test_original_number_of_parameters(length, curvatures, theirs):
    """The original also counts seven unused scales, beta's times, and rows of results that it throws away."""
    config = HCNNConfig(max_length=length, pool=None, curvatures=curvatures)
    thrown_away = 6 + (5 * 9 + 2) + 5 * (31 * 9 + 2) + (31 * length + 2)
    assert HCNNForSequenceClassification(config).num_parameters() + thrown_away + 7 == theirs


@pytest.mark.parametrize("c", [0.1, pytest.param(1.0, marks=pytest.mark.slow), 10.0])
@pytest.mark.parametrize("curvatures", ["single", "multiple"])
def test_training_with_a_fast_curvature_is_stable(curvatures, c):
    """The original diverges with this learning rate, and gives NaN at once where c is not 1 (k = 0.4)."""
    model = small(c=c, curvatures=curvatures, pool=None).train()
    groups = optim.parameter_groups(model, 1e-3, curvature_lr=1e-2, weight_decay=0.1)
    assert [group["name"] for group in groups][-1] == "curvature"
    optimizer = torch.optim.AdamW(groups)
    ids = torch.randint(7, 11, (8, 20))
    labels = (ids[:, 3] == ids[:, 9]).long()
    for _ in range(100):
        optimizer.zero_grad()
        loss = model(ids, labels=labels).loss
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    for manifold in model.manifolds:
        assert 0.1 * c <= manifold.c.item() <= 10 * c
        assert abs(manifold.c.item() / c - 1) > 0.02  # it learns


@pytest.mark.parametrize("c", [0.4, 2.5])
def test_flatten_is_right_at_every_curvature(c):
    """The original subtracts (n - 1)/k for (n - 1)k and leaves the manifold."""
    model = small(c=c, pool=None)
    manifold = model.manifolds[0]
    x = manifold.random((3, 20, 7))
    manifold.check(model.pool(x))


def test_single_and_multiple_are_what_they_say():
    """The original's flag (type=bool) runs the multi-curvature model for both."""
    assert len({id(block.manifold) for block in small(curvatures="single").blocks}) == 1
    multiple = small(curvatures="multiple")
    homes = [*(block.manifold for block in multiple.blocks), multiple.score.manifold_in]
    assert len({id(manifold) for manifold in homes}) == 4


@pytest.mark.parametrize("options", [{"pool": None}, {}, {"pool": "max"}, {"curvatures": "multiple"}])
def test_padding_tells_nothing(options):
    model = small(**options).eval()
    for manifold in model.manifolds:
        torch.nn.init.constant_(manifold.log_c, math.log(1.3))
    alone = model.predict(["ACGTTGCATT"]).probabilities[0]
    longest = "ACGTACGTACGTACGTACGT" if options == {"pool": None} else "ACGTACGTACGT" * 3
    beside = model.predict(["ACGTTGCATT", longest]).probabilities[0]
    np.testing.assert_allclose(beside, alone, atol=1e-6)


def test_padding_does_not_move_batch_statistics():
    model = small().train()
    ids, mask = torch.randint(7, 11, (4, 12)), torch.ones(4, 12, dtype=torch.long)
    model(ids, attention_mask=mask)
    alone = model.blocks[1].norm2.running_dispersion.clone()
    again = small().train()
    again(F.pad(ids, (0, 9), value=4), attention_mask=F.pad(mask, (0, 9)))
    torch.testing.assert_close(again.blocks[1].norm2.running_dispersion, alone)


@pytest.mark.parametrize("options", [{"curvatures": "single"}, {"curvatures": "multiple", "pool": None}])
def test_round_trip_through_auto_model(tmp_path, options):
    model = small(c=0.7, num_labels=3, lift="exponential", **options).eval()
    torch.nn.init.constant_(model.manifolds[0].log_c, math.log(0.9))
    names = [name for name in model.state_dict() if name.endswith("log_c")]
    assert names == [f"manifolds.{i}.log_c" for i in range(len(model.manifolds))]
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.randint(7, 12, (2, 20))
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert again.blocks[0].conv1.manifold is again.manifolds[0]
    again.load_state_dict(model.state_dict())


def test_lifts_differ_and_unknown_options_are_refused():
    ids = torch.randint(7, 11, (2, 20))
    outputs = [small(lift=lift).eval()(ids).logits for lift in ("time", "exponential")]
    assert not torch.allclose(*outputs)
    for options in ({"lift": "log"}, {"curvatures": "both"}, {"pool": "sum"}):
        with pytest.raises(ValueError, match="must be one of"):
            HCNNConfig(**options)
    with pytest.raises(ValueError, match="5 longer than max_length = 20"):
        small(pool=None)(torch.full((1, 25), 7))


def test_bfloat16_autocast_is_finite():
    model = small().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.randint(7, 11, (4, 20)), labels=torch.tensor([0, 1, 0, 1]))
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
