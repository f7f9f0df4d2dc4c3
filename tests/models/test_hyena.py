"""HyenaDNA against the original's numbers, its checkpoints, and the manners of a transformers model."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crocuta.errors import InputError
from crocuta.nn.pool import POOLS


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForCausalLM, RELEASED, HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification
    global HyenaForTokenClassification, HyenaModel, convert
    from transformers import AutoModelForCausalLM

    from crocuta.models.hyena import (
        RELEASED,
        HyenaConfig,
        HyenaForCausalLM,
        HyenaForSequenceClassification,
        HyenaForTokenClassification,
        HyenaModel,
        convert,
    )


MODELS = ["tiny1k_d128_n2", "small4_d64_n4"]
VARIANTS = {
    "bidirectional": {"bidirectional": True, "delayed": True},
    "order3": {"hyena_order": 3},
    "nomod": {"modulate": False},
    "normalized": {"normalized": True},
    "emb33_w14": {"emb_dim": 33, "activation_freq": 14},
}
SMALL = {"d_model": 16, "n_layer": 2, "max_seq_len": 40}


def golden_config(folder, name, shift):
    sizes = json.loads((folder / "meta.json").read_text())[name]["config"]
    return HyenaConfig(max_seq_len=sizes.pop("l_max"), modulation_shift=shift, **sizes)


def load(config, state, dtype=torch.float64):
    model = HyenaForCausalLM(config)
    model.load_state_dict(convert(state))
    return model.eval().to(dtype)


@pytest.mark.parametrize("length", ["L256", "L333"])
@pytest.mark.parametrize("shift", ["0.05", "0.0"])
@pytest.mark.parametrize("name", MODELS)
def test_golden_logits_and_loss(golden, name, shift, length):
    folder = golden("hyenadna")
    arrays = np.load(folder / f"{name}.golden.npz")
    state = load_file(folder / f"{name}.state_dict.safetensors")
    model = load(golden_config(folder, name, float(shift)), state)
    ids = torch.from_numpy(arrays[f"ids.{length}"])
    output = model(ids, labels=ids)
    expected = arrays[f"shift{shift}.{length}.logits.f64"]
    np.testing.assert_allclose(output.logits.detach(), expected, rtol=0, atol=1e-10)
    meta = json.loads((folder / "meta.json").read_text())[name]
    assert output.loss.item() == pytest.approx(meta[f"shift{shift}.{length}.loss.f64"], abs=1e-10)
    single = model.float()(ids).logits.detach()
    np.testing.assert_allclose(single, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("length", ["L256", "L333"])
@pytest.mark.parametrize("name", MODELS)
def test_golden_hidden_states_filters_and_blocks(golden, name, length):
    folder = golden("hyenadna")
    arrays = np.load(folder / f"{name}.golden.npz")
    model = load(golden_config(folder, name, 0.05), load_file(folder / f"{name}.state_dict.safetensors"))
    ids = torch.from_numpy(arrays[f"ids.{length}"])
    with torch.no_grad():
        hidden = model.hyena(ids).last_hidden_state
        k = model.hyena.backbone.layers[0].mixer.filter_fn(ids.shape[1])
    np.testing.assert_allclose(hidden, arrays[f"shift0.05.{length}.hidden.f64"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(k[:, :16], arrays[f"shift0.05.{length}.filter0.f64"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_golden_gradients(golden, name):
    folder = golden("hyenadna")
    arrays = np.load(folder / f"{name}.golden.npz")
    model = load(golden_config(folder, name, 0.05), load_file(folder / f"{name}.state_dict.safetensors"))
    ids = torch.from_numpy(arrays["ids.L333"])
    model(ids, labels=ids).loss.backward()
    parameters = dict(model.named_parameters())
    prefix, checked = "grad.shift0.05.L333.", 0
    for key in arrays:
        if key.startswith(prefix):
            expected = arrays[key]
            found = parameters["hyena." + key.removeprefix(prefix)].grad.numpy()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
            checked += 1
    assert checked >= 10
    norms = json.loads((folder / "meta.json").read_text())[name]["shift0.05.L333.gradnorm.f64"]
    for key, norm in norms.items():
        assert parameters["hyena." + key].grad.norm().item() == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("length", ["L256", "L333"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_variants(golden, variant, length):
    folder = golden("hyenadna")
    arrays = np.load(folder / "variants.golden.npz")
    states = load_file(folder / "variants.state_dict.safetensors")
    state = {key.split("/", 1)[1]: value for key, value in states.items() if key.startswith(f"{variant}/")}
    sizes = {"d_model": 32, "n_layer": 2, "d_inner": 64, "max_seq_len": 402, "modulation_shift": 0.0}
    model = load(HyenaConfig(**sizes, **VARIANTS[variant]), state)
    logits = model(torch.from_numpy(arrays[f"{variant}.{length}.ids"])).logits.detach()
    np.testing.assert_allclose(logits, arrays[f"{variant}.{length}.logits.f64"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("original", "ours"), [("pool", "mean"), ("last", "last"), ("first", "first"), ("sum", "sum")]
)
def test_golden_decoders(golden, original, ours):
    arrays = np.load(golden("hyenadna") / "decoders.golden.npz")
    x, weight, bias = (torch.from_numpy(arrays[key]) for key in ("h", "W", "b"))
    pool = POOLS[ours]()
    head = lambda pooled: pooled @ weight.T + bias  # noqa: E731
    np.testing.assert_allclose(head(pool(x)), arrays[f"repo.{original}.lout0"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(head(pool.running(x, 3)), arrays[f"repo.{original}.lout3"], rtol=0, atol=1e-10)
    mask = torch.from_numpy(arrays["mask"])
    for key in (f"repo.{original}.masked(right-padding mask)", f"repo.{original}.use_lengths"):
        if key in arrays:
            np.testing.assert_allclose(head(pool(x, mask)), arrays[key], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("tiny-1k", 436_096), ("tiny-1k-d256", 1_641_088), ("small-32k", 3_277_568), ("large-1m", 6_550_528)],
)
def test_released_sizes_have_the_original_number_of_parameters(size, parameters):
    with torch.device("meta"):
        model = HyenaForCausalLM(HyenaConfig(**RELEASED[size]))
    assert model.num_parameters() == parameters


def original_buffers(length, channels):
    """Position features, time and modulation rates as the original makes them."""
    angle = 2 * math.pi * torch.linspace(0, length - 1, length)[:, None] / length
    wave = torch.exp(-1j * torch.linspace(1e-4, 1, 2) * angle)
    time = torch.linspace(0, 1, length)[:, None]
    rates = torch.linspace(math.log(1e-2) / 1.5, math.log(1e-2) / 0.3, channels)
    return {
        "pos_emb.z": torch.cat([time, wave.real, wave.imag], 1)[None],
        "pos_emb.t": time[None],
        "modulation.deltas": rates[None, None],
    }


def original_names(model):
    """A state dict as the training code of the original saved it, with checkpointing infixes and repeated buffers."""
    state = {}
    for key, value in model.state_dict().items():
        key = "model." + key.removeprefix("hyena.")
        state[key.replace(".mixer.", ".mixer.layer.").replace(".mlp.", ".mlp.layer.")] = value.clone()
        if key.endswith("implicit_filter.1.freq"):
            stem = key.removesuffix("implicit_filter.1.freq").replace(".mixer.", ".mixer.layer.")
            state |= {f"{stem}implicit_filter.{i}.freq": value.clone() for i in (3, 5)}
            state |= {stem + name: value for name, value in original_buffers(40, 16).items()}
    return state


class Stranger:
    """Stands for the configuration objects in Lightning's pickles."""

    def __init__(self):
        self.learning_rate = 6e-4


def test_convert_reads_lightning_checkpoints_without_running_them(tmp_path):
    model = HyenaForCausalLM(HyenaConfig(**SMALL)).eval()
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": original_names(model), "hyper_parameters": Stranger(), "epoch": 3}, path)
    again = HyenaForCausalLM(HyenaConfig(**SMALL)).eval()
    again.load_state_dict(convert(path))
    ids = torch.randint(7, 11, (2, 30))
    torch.testing.assert_close(again(ids).logits, model(ids).logits)


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a checkpoint ran')",))


def test_convert_runs_no_code_from_a_checkpoint(tmp_path):
    model = HyenaForCausalLM(HyenaConfig(**SMALL))
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": original_names(model), "extra": Malicious()}, path)
    convert(path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_convert_says_what_is_wrong_with_a_broken_file(tmp_path, content):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.ckpt: not a readable checkpoint"):
        convert(path)


def test_convert_refuses_other_models():
    with pytest.raises(InputError, match=r"no key of a backbone among 1 keys \(first: bert\.weight\)"):
        convert({"bert.weight": torch.zeros(1)})


def test_folder_of_the_port_loads_through_auto_model(tmp_path):
    """Config keys, names and extra buffers as the Hugging Face port saves them; no remote code."""
    model = HyenaForCausalLM(HyenaConfig(**SMALL)).eval()
    config = {
        **SMALL,
        **{
            "activation_freq": 10,
            "auto_map": {"AutoConfig": "configuration_hyena.HyenaConfig"},
            "d_inner": 64,
        },
        **{
            "architectures": ["HyenaDNAForCausalLM"],
            "checkpoint_mixer": False,
            "checkpoint_mlp": False,
            "emb_dim": 5,
        },
        **{"embed_dropout": 0.1, "filter_order": 64, "hyena_dropout": 0.0, "hyena_filter_dropout": 0.0},
        **{
            "hyena_order": 2,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "model_type": "hyenadna",
        },
        **{"num_inner_mlps": 2, "pad_token_id": 4, "pad_vocab_size_multiple": 8, "short_filter_order": 3},
        **{"tie_word_embeddings": False, "torch_dtype": "float32", "train_freq": True, "use_bias": True},
        **{"transformers_version": "4.35.0.dev0", "use_cache": False, "vocab_size": 12},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for layer in range(2):
        stem = f"hyena.backbone.layers.{layer}.mixer.filter_fn."
        state |= {stem + name: value for name, value in original_buffers(40, 16).items()}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is HyenaForCausalLM
    ids = torch.randint(7, 11, (2, 30))
    torch.testing.assert_close(loaded.eval()(ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    "kind", ["HyenaForCausalLM", "HyenaForSequenceClassification", "HyenaForTokenClassification"]
)
def test_save_and_load_round_trip(tmp_path, kind):
    kind = globals()[kind]
    model = kind(HyenaConfig(**SMALL, num_labels=3)).eval()
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path).eval()
    ids = torch.randint(7, 11, (2, 30))
    torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=0, atol=0)


def test_initialisation_scales_residual_projections_and_survives_loading(tmp_path):
    """The port forgets the residual scale; a backbone loaded into a classifier must keep its weights."""
    torch.manual_seed(0)
    config = HyenaConfig(d_model=128, n_layer=8, max_seq_len=40)
    model = HyenaModel(config)
    layer = model.backbone.layers[0]
    assert layer.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for weight in (layer.mlp.fc2.weight, layer.mixer.out_proj.weight):
        assert weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert layer.mixer.filter_fn.bias.std().item() == pytest.approx(1, rel=0.3)
    assert torch.equal(layer.mixer.filter_fn.implicit_filter["1"].freq, torch.full((1, 64), 10.0))
    HyenaForCausalLM(config).save_pretrained(tmp_path)
    classifier = HyenaForSequenceClassification.from_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")["hyena.backbone.layers.0.mlp.fc1.weight"]
    assert torch.equal(classifier.hyena.backbone.layers[0].mlp.fc1.weight, saved)
    assert torch.isfinite(classifier(torch.randint(7, 11, (2, 30))).logits).all()


def test_unknown_key_is_an_error_with_a_hint():
    with pytest.raises(ValueError, match=r"HyenaConfig has no key 'd_modle'; did you mean 'd_model'\?"):
        HyenaConfig(d_modle=16)


@pytest.mark.parametrize("bad", [{"emb_dim": 4}, {"hyena_order": 1}, {"pool": "median"}])
def test_impossible_configurations_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        HyenaConfig(**bad)


def test_input_above_the_maximum_says_by_how_much():
    """The original crashes in a broadcast."""
    with pytest.raises(ValueError, match="45 tokens is 5 longer than max_seq_len = 40"):
        HyenaModel(HyenaConfig(**SMALL))(torch.full((1, 45), 7))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pool", POOLS)
def test_prediction_does_not_depend_on_the_batch(pool, bidirectional):
    """Padding that tells nothing: a short sequence scores the same alone and beside a long one."""
    torch.manual_seed(0)
    config = HyenaConfig(**SMALL, pool=pool, bidirectional=bidirectional)
    model = HyenaForSequenceClassification(config).eval().double()
    alone = model.predict(["ACGTTGCA"]).probabilities
    together = model.predict(["ACGTTGCA", "ACGTAGGCTTACGATCGATCGATTTA"]).probabilities
    np.testing.assert_allclose(together[0], alone[0], rtol=0, atol=1e-6)


def test_multi_label_loss_and_prediction():
    config = HyenaConfig(**SMALL, num_labels=3, problem_type="multi_label_classification")
    model = HyenaForSequenceClassification(config).eval()
    ids = torch.randint(7, 11, (2, 30))
    output = model(ids, labels=torch.tensor([[1, 0, 1], [0, 0, 0]]))
    assert torch.isfinite(output.loss)
    probabilities = model.predict(["ACGT"]).probabilities
    torch.testing.assert_close(
        torch.from_numpy(probabilities), model(torch.tensor([[7, 8, 9, 10, 1]])).logits.sigmoid()
    )


def test_gradient_checkpointing_changes_no_number():
    torch.manual_seed(0)
    model = HyenaForCausalLM(HyenaConfig(**SMALL, embed_dropout=0.0)).train()
    ids = torch.randint(7, 11, (2, 30))
    model(ids, labels=ids).loss.backward()
    plain = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model.activation_checkpointing_enable()
    model(ids, labels=ids).loss.backward()
    for parameter, expected in zip(model.parameters(), plain, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
