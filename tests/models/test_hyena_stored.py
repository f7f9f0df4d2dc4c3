"""Position features, time and modulation rates that a checkpoint holds, and that are not what the formula gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from crocuta.nn.hyena.position_features import decay_rates, position_features
from crocuta.nn.hyena.smooth_convolution import panel_values


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModelForCausalLM, hyena_lean, HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification
    global HyenaModel, convert
    from transformers import AutoModelForCausalLM

    from crocuta.models.hyena import (
        HyenaConfig,
        HyenaForCausalLM,
        HyenaForSequenceClassification,
        HyenaModel,
        convert,
    )
    from crocuta.models.hyena import chunked as hyena_lean


SMALL = {"d_model": 16, "n_layer": 2, "max_seq_len": 40}
IDS = torch.randint(7, 11, (2, 30), generator=torch.Generator().manual_seed(0))
STEM = "hyena.backbone.layers.{}.mixer.filter_fn."


@pytest.fixture
def model():
    torch.manual_seed(0)
    return HyenaForCausalLM(HyenaConfig(**SMALL)).eval()


def trained(model, size=0.05):
    """Its state dict with other position features and rates in its first layer, those of the formula in the second."""
    generator = torch.Generator().manual_seed(1)
    rows = model.config.max_seq_len
    z = position_features(rows, rows, 5, torch.device("cpu"))[None]
    rates = decay_rates(16, torch.device("cpu"))[None, None]
    first, second = (STEM.format(layer) for layer in (0, 1))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state |= {
        f"{second}pos_emb.z": z,
        f"{second}pos_emb.t": z[..., :1].clone(),
        f"{second}modulation.deltas": rates,
    }
    moved = {
        "pos_emb.z": z + size * torch.randn(z.shape, generator=generator),
        "pos_emb.t": z[..., :1] * (1 + size),
        "modulation.deltas": rates * (1 + size),
    }
    return state | {first + key: value for key, value in moved.items()}


def by_hand(model, state):
    """The first layer's filters of 30 positions by the original's equations."""
    held = {
        key.removeprefix(STEM.format(0)): value
        for key, value in state.items()
        if key.startswith(STEM.format(0))
    }
    h, frequency = held["pos_emb.z"][0, :30], held["implicit_filter.1.freq"]
    for layer in (0, 2, 4):
        h = torch.sin(
            frequency
            * (h @ held[f"implicit_filter.{layer}.weight"].T + held[f"implicit_filter.{layer}.bias"])
        )
    h = h @ held["implicit_filter.6.weight"].T
    decay = torch.exp(-held["pos_emb.t"][0, :30] * held["modulation.deltas"][0].abs())
    return h * (decay + model.config.modulation_shift)


def filters(model):
    return model.hyena.backbone.layers[0].mixer.filter_fn


def write(folder, model, state):
    model.config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def test_a_state_dict_s_own_are_read(model):
    state = trained(model)
    kept = convert(state)
    assert {key for key in kept if "pos_emb" in key or "deltas" in key} == {
        STEM.format(0) + name for name in ("pos_emb.z", "pos_emb.t", "modulation.deltas")
    }
    for given in (kept, state):  # converted or not
        again = HyenaForCausalLM(HyenaConfig(**SMALL)).eval()
        again.load_state_dict(given)
        torch.testing.assert_close(filters(again)(30), by_hand(model, state))
        torch.testing.assert_close(filters(again).by_channel(30), by_hand(model, state).T)
        assert (again(IDS).logits - model(IDS).logits).abs().max() > 1e-4
        assert set(again.state_dict()) == set(kept)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("kind", ["HyenaForCausalLM", "HyenaForSequenceClassification", "HyenaModel"])
def test_a_folder_s_own_are_read_and_saved_again(tmp_path, model, kind, binary):
    kind = globals()[kind]
    state = trained(model)
    write(tmp_path, model, state)
    if binary:
        (tmp_path / "model.safetensors").unlink()
        torch.save(state, tmp_path / "pytorch_model.bin")
    loaded = kind.from_pretrained(tmp_path).eval()
    backbone = loaded if kind is HyenaModel else loaded.hyena
    filter = backbone.backbone.layers[0].mixer.filter_fn
    torch.testing.assert_close(filter(30), by_hand(model, state))
    assert not dict(backbone.backbone.layers[1].mixer.filter_fn.named_buffers())
    loaded.save_pretrained(tmp_path / "again")
    again = kind.from_pretrained(tmp_path / "again").eval()
    assert torch.equal(again(IDS)[0], loaded(IDS)[0])


def test_16_bits_keep_them_in_float32(tmp_path, model):
    state = trained(model)
    write(tmp_path, model, state)
    expected = state[STEM.format(0) + "pos_emb.z"]
    for half in (
        AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16),
        AutoModelForCausalLM.from_pretrained(tmp_path).bfloat16(),
        AutoModelForCausalLM.from_pretrained(tmp_path).half().bfloat16(),
    ):
        assert torch.equal(filters(half).stored("pos_emb.z"), expected)
        assert filters(half).bias.dtype == torch.bfloat16
        assert filters(half)(30).dtype == torch.float32
    assert (
        filters(AutoModelForCausalLM.from_pretrained(tmp_path).double()).stored("pos_emb.z").dtype
        == torch.float64
    )


@pytest.mark.parametrize("size", [0.05, 1e-8])
def test_long_sequences_read_them_too(monkeypatch, size):
    """In chunks; by polynomials between a few positions only where the features are the formula's up to rounding."""
    torch.manual_seed(0)
    model = HyenaForCausalLM(HyenaConfig(**SMALL | {"max_seq_len": 1000})).eval()
    ids = torch.randint(7, 11, (1, 900))
    with torch.no_grad():
        before = model(ids).logits
        model.load_state_dict(trained(model, size))
        plain = model(ids).logits
        monkeypatch.setattr(hyena_lean, "LEAN_FROM", 8)
        torch.testing.assert_close(model(ids).logits, plain, rtol=1e-4, atol=2e-6)
    filter = filters(model)
    assert filter.stored("pos_emb.z") is not None
    assert filter.evaluates_anywhere == (panel_values(filter, 900) is not None) == (size < 1e-6)
    assert ((plain - before).abs().max() > 1e-4) == (size > 1e-6)


def test_features_of_another_length_are_refused(tmp_path, model):
    state = trained(model)
    for key in list(state):
        if "pos_emb" in key:
            state[key] = state[key][:, :38].contiguous()
    with pytest.raises(RuntimeError, match=r"size mismatch for .*pos_emb\.z"):
        model.load_state_dict(state)
    write(tmp_path, model, state)
    with pytest.raises(RuntimeError, match="mismatch"):
        HyenaForCausalLM.from_pretrained(tmp_path)


def test_first_weights_and_folders_without_them_follow_the_formula(tmp_path, model):
    model.save_pretrained(tmp_path)
    assert not [key for key in load_file(tmp_path / "model.safetensors") if "pos_emb" in key]
    again = HyenaForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    with torch.device("meta"):
        empty = HyenaForCausalLM(HyenaConfig(**SMALL))
    empty.load_state_dict(model.state_dict(), assign=True)
    empty.tie_weights()
    assert torch.equal(empty.eval()(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("capability", ["default", pytest.param("avx2", marks=pytest.mark.slow)])
def test_golden_numbers_hold_with_fewer_vector_instructions(golden, capability):
    golden("hyenadna")
    tests = Path(__file__).parent / "test_hyena.py"
    command = [sys.executable, "-m", "pytest", str(tests), "-q", "-k", "golden", "-p", "no:cacheprovider"]
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-3000:]
