"""LViT against HyperCore's numbers; its geometry, saving and loading."""

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
    global AutoModel, AutoModelForImageClassification, LViTConfig, LViTForImageClassification, LViTModel
    from transformers import AutoModel, AutoModelForImageClassification

    from crocuta.models.vision.lvit import LViTConfig, LViTForImageClassification, LViTModel


SMALL = {"image_size": 8, "patch_size": 4, "num_channels": 3, "hidden_size": 16, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}


def small(**options):
    torch.manual_seed(0)
    return LViTForImageClassification(LViTConfig(**SMALL | options))


def images(batch=2, **options):
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(1), **options)


def from_hypercore(state):
    """HyperCore's parameters under our names; its residuals scale by 27.5, which its state dict does not hold."""
    patches = "patch_embedding.projection.linearized_kernel.linear"
    ours = {
        "lvit.embeddings.patches.projection.weight_time": state[f"{patches}.weight"][:, 0],
        "lvit.embeddings.patches.projection.weight": state[f"{patches}.weight"][:, 1:]
        .unflatten(1, (4, 4, 3))
        .permute(0, 3, 1, 2),
        "lvit.embeddings.patches.projection.bias": state[f"{patches}.bias"],
        "lvit.embeddings.position.weight": state["pe"][0, :, 1:],
        "lvit.embeddings.position.residual.log_weight": state["add_pos.w_y"].log(),
        "classifier.weight": state["classifier.z"],
        "classifier.offset": state["classifier.a"],
    }
    linear = {"Wq": "q_proj", "Wk": "k_proj", "Wv": "v_proj", "final_linear": "out_proj"}
    for i in range(2):
        theirs, prefix = f"encoder.blocks.{i}", f"lvit.layers.{i}"
        for part in ("weight", "bias"):
            for their_name, name in linear.items():
                ours[f"{prefix}.attention.{name}.{part}"] = state[f"{theirs}.attention.{their_name}.{part}"]
            for j, name in ((1, "up_proj"), (2, "down_proj")):
                ours[f"{prefix}.feed_forward.{name}.{part}"] = state[f"{theirs}.mlp.dense_{j}.linear.{part}"]
            for j, name in ((1, "attention_norm"), (2, "feed_forward_norm")):
                ours[f"{prefix}.{name}.{part}"] = state[f"{theirs}.layernorm_{j}.layer.{part}"]
        for j, name in ((1, "attention_residual"), (2, "feed_forward_residual")):
            ours[f"{prefix}.{name}.log_weight"] = state[f"{theirs}.residual_{j}.w_y"].log()
            ours[f"{prefix}.{name}.log_scale"] = torch.tensor(27.5, dtype=torch.float64).log()
        ours[f"{prefix}.attention.log_scale"] = state[f"{theirs}.attention.scale"].squeeze().log()
    return ours


def test_parts_against_hypercore(golden):
    """Its first norm of a block also replaces the block's input, and it ends without a norm; the parts are ours."""
    folder = golden("hypercore")
    arrays = np.load(folder / "lvit_k1.io.npz")
    sizes = {"hidden_size": 17, "num_attention_heads": 3, "head_dim": 5, "intermediate_size": 19}
    model = small(**sizes, num_labels=4).double().eval()
    state = from_hypercore(load_file(folder / "lvit_k1.state.safetensors"))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.split(".")[1] for name in missing} == {"norm"}
    pixels = torch.from_numpy(arrays["in.image"]).requires_grad_()
    x = model.lvit.embeddings(pixels)
    for layer in model.lvit.layers:
        x = layer.attention_norm(x)
        x = layer.attention_residual(x, layer.attention(x))
        x = layer.feed_forward_residual(x, layer.feed_forward(layer.feed_forward_norm(x)))
    logits = model.classifier(model.lvit.pool(x))
    torch.testing.assert_close(logits, torch.from_numpy(arrays["out"]), rtol=1e-9, atol=1e-9)
    (logits * torch.from_numpy(arrays["functional.w"])).sum().backward()
    torch.testing.assert_close(pixels.grad, torch.from_numpy(arrays["grad.in.image"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("pool", "residual"), [("centroid", "addition"), ("token", "midpoint")])
@pytest.mark.parametrize("c", [0.1, 1.0, [2.7, 0.4]])
def test_outputs_are_points(c, pool, residual):
    model = small(c=c, pool=pool, residual=residual).lvit.double()
    outputs = model(images(dtype=torch.float64), output_hidden_states=True)
    tokens = 4 + (pool == "token")
    assert outputs.last_hidden_state.shape == (2, tokens, 17)
    assert outputs.pooler_output.shape == (2, 17)
    assert len(outputs.hidden_states) == 3
    for x in (outputs.last_hidden_state, outputs.pooler_output, outputs.hidden_states[-1]):
        assert model.manifold.violation(x).max() < 1e-12
    assert model.embeddings.manifold.violation(outputs.hidden_states[0]).max() < 1e-12


def test_patches_without_positions_have_no_order():
    """A turn of the patches turns the hidden states along, and leaves the pooled point."""
    model = small(position_std=0.0).lvit.double().eval()
    pixels = images(dtype=torch.float64)
    turned = pixels.roll(4, dims=-1)  # swaps patches 0 and 1, and 2 and 3
    expected = model(pixels).last_hidden_state[:, [1, 0, 3, 2]]
    torch.testing.assert_close(model(turned).last_hidden_state, expected)
    torch.testing.assert_close(model(turned).pooler_output, model(pixels).pooler_output)
    assert model.manifold.dist(model(turned).last_hidden_state, model(pixels).last_hidden_state).max() > 0.01


def test_shared_and_own_curvatures():
    assert len(small().lvit.manifolds) == 1
    own = small(per_layer=True, learnable=True)
    assert len({id(layer.manifold) for layer in own.lvit.layers}) == 2
    assert own.classifier.manifold_in is own.lvit.layers[-1].manifold is own.lvit.manifolds[-1]
    assert [m.c for m in small(c=[0.5, 2.0]).lvit.manifolds] == [0.5, 2.0]
    groups = optim.parameter_groups(own, 1e-3, curvature_lr=1e-2, weight_decay=0.1)
    assert len(next(group for group in groups if group["name"] == "curvature")["params"]) == 2


def test_gradients_of_curvatures_are_finite_differences():
    model = small(per_layer=True, learnable=True, pool="token").double()
    pixels, labels = images(dtype=torch.float64), torch.tensor([0, 2])
    model(pixels, labels=labels).loss.backward()
    for manifold in model.lvit.manifolds:
        losses = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                manifold.log_c.add_(step)
                losses.append(model(pixels, labels=labels).loss.item())
                manifold.log_c.sub_(step)
        difference = (losses[0] - losses[1]) / 2e-5
        assert manifold.log_c.grad.item() == pytest.approx(difference, rel=1e-5)


OPTIONS = [
    {},
    {"learnable": True},
    {"learnable": True, "per_layer": True, "pool": "token"},
    {"c": [0.5, 2.0]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_round_trip_through_auto_models(tmp_path, options):
    model = small(**options).eval()
    if options.get("learnable"):
        torch.nn.init.constant_(model.lvit.manifolds[0].log_c, math.log(0.9))
    names = [name for name in model.state_dict() if name.endswith("log_c")]
    learned = len(model.lvit.manifolds) if options.get("learnable") else 0
    assert names == [f"lvit.manifolds.{i}.log_c" for i in range(learned)]
    model.save_pretrained(tmp_path / "classifier")
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "classifier").eval()
    assert torch.equal(again(images()).logits, model(images()).logits)
    assert again.lvit.layers[0].attention.manifold is again.lvit.manifolds[0]
    again.load_state_dict(model.state_dict())
    model.lvit.save_pretrained(tmp_path / "backbone")
    backbone = AutoModel.from_pretrained(tmp_path / "backbone").eval()
    assert isinstance(backbone, LViTModel)
    assert torch.equal(backbone(images()).pooler_output, model.lvit(images()).pooler_output)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable.:FutureWarning")
def test_checkpointing_changes_no_gradient():
    model, labels = small(learnable=True).train(), torch.tensor([0, 2])
    model(images(), labels=labels).loss.backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing_enable()
    assert model.lvit.layers[0].gradient_checkpointing
    model(images(), labels=labels).loss.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, plain[name])


def test_training_with_a_fast_curvature_learns():
    model = small(learnable=True, pool="token", dropout=0.1).train()
    optimizer = torch.optim.AdamW(optim.parameter_groups(model, 3e-3, curvature_lr=1e-2, weight_decay=0.1))
    pixels = images(32)
    labels = (pixels[:, 0, :4, :4].mean((1, 2)) > pixels[:, 0, 4:, 4:].mean((1, 2))).long()
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(pixels, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    assert abs(model.lvit.manifolds[0].c.item() - 1) > 0.02


def test_bfloat16_autocast_is_finite():
    model = small().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images(), labels=torch.tensor([0, 2]))
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_wrong_sizes_and_options_are_named():
    with pytest.raises(ValueError, match="must be 8 x 8 pixels, got 12 x 8"):
        small()(F.pad(images(), (0, 0, 2, 2)))
    with pytest.raises(ValueError, match="multiple of patch_size = 4"):
        LViTConfig(image_size=10, patch_size=4)
    with pytest.raises(ValueError, match="pool must be one of"):
        LViTConfig(pool="max")
    with pytest.raises(ValueError, match="residual must be one of midpoint, addition"):
        LViTConfig(residual="sum")
    with pytest.raises(ValueError, match="one per layer"):
        LViTConfig(c=[1.0, 2.0])
    with pytest.raises(ValueError, match="did you mean 'patch_size'"):
        LViTConfig(patch_sise=4)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft asks for it
def test_trains_under_trainer_and_peft(tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    model = small()
    before = model.lvit.layers[0].attention.q_proj.weight.clone()
    adapted = get_peft_model(
        model, LoraConfig(target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    )
    rows = [{"pixel_values": pixels, "labels": i % 3} for i, pixels in enumerate(images(8))]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, learning_rate=0.1, report_to=[], disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(adapted, arguments, train_dataset=rows).train()
    adapted.eval()
    expected = adapted(pixel_values=images()).logits
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(images()).logits, expected)
    assert not torch.equal(merged.lvit.layers[0].attention.q_proj.weight, before)
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(again(images()).logits, expected)
