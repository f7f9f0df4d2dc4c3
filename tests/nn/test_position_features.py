"""Position features: the original's own numbers, on any processor."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crocuta.nn.hyena.implicit_filter import follows_formula
from crocuta.nn.hyena.position_features import (
    decay_rates,
    features_at,
    linspace,
    position_features,
    sine_and_cosine,
)

CPU = torch.device("cpu")
CASES = ((1, 3), (2, 5), (402, 33), (1026, 5), (4000, 65), (32_770, 5))


@pytest.mark.parametrize("name", ["tiny1k_d128_n2", "small4_d64_n4"])
def test_they_are_those_of_the_original_s_checkpoints_to_the_last_bit(golden, name):
    state = load_file(golden("hyenadna") / f"{name}.state_dict.safetensors")
    stem = "model.backbone.layers.0.mixer.filter_fn."
    z, deltas = state[f"{stem}pos_emb.z"], state[f"{stem}modulation.deltas"]
    computed = position_features(z.shape[1], z.shape[1], z.shape[2], CPU)
    assert torch.equal(computed[None], z)
    assert torch.equal(computed[None, :, :1], state[f"{stem}pos_emb.t"])
    assert torch.equal(decay_rates(deltas.shape[-1], CPU).abs(), deltas.flatten().abs())
    held = {key.removeprefix(stem): value for key, value in state.items() if key.startswith(stem)}
    for key in ("pos_emb.z", "pos_emb.t", "modulation.deltas"):
        assert follows_formula(key, held[key])
        assert follows_formula(key, held[key].bfloat16())
        assert not follows_formula(key, torch.nextafter(held[key], held[key] + 1))
        assert follows_formula(key, torch.nextafter(held[key], held[key] + 1), 1e-6)
        assert not follows_formula(key, held[key][0])
        assert not follows_formula(key, torch.cat([held[key]] * 2))


def digest() -> str:
    """Of the bytes of features and rates."""
    tensors = [position_features(length, length, features, CPU) for length, features in CASES]
    tensors += [decay_rates(channels, CPU) for channels in (1, 16, 128, 257)]
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_they_are_the_same_with_all_vector_instructions(capability):
    """Torch takes less than a processor has when told so; what it has not is ignored."""
    code = f"import runpy; print(runpy.run_path({__file__!r})['digest']())"
    environment = os.environ | {
        "ATEN_CPU_CAPABILITY": capability,
        "NPY_DISABLE_CPU_FEATURES": disabled(capability),
    }
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == digest()


def disabled(capability: str) -> str:
    """Vector instructions that numpy is to leave alone, of those it would choose among here."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    beyond = {"default": ("AVX", "FMA", "X86_V3", "X86_V4"), "avx2": ("AVX512", "X86_V4")}.get(capability, ())
    return " ".join(
        name
        for name in __cpu_dispatch__
        if __cpu_features__.get(name) and name.startswith(tuple(beyond) or "-")
    )


def test_sines_and_cosines_are_nearly_correctly_rounded():
    """Within 0.57 units of the last place, beyond the angles of the polynomials as well."""
    angle = np.concatenate(
        [np.linspace(0, 7, 50_000), np.linspace(7, 119.9, 50_000), np.linspace(120, 1e6, 9)]
    )
    angle = angle.astype(np.float32)
    for found, exact in zip(
        sine_and_cosine(angle), (np.sin(angle.astype(float)), np.cos(angle.astype(float))), strict=True
    ):
        assert found.dtype == np.float32
        unit = np.spacing(np.abs(exact).astype(np.float32)).astype(float)
        assert (np.abs(found - exact) / unit).max() <= 0.57


def test_linspace_ends_where_it_should():
    for count in (2, 3, 10, 1001):
        found = linspace(-3.07, -15.35, count)
        assert (found[0], found[-1]) == (np.float32(-3.07), np.float32(-15.35))
        np.testing.assert_allclose(found, np.linspace(-3.07, -15.35, count), rtol=1e-6)
    assert linspace(2, 3, 1) == [2]
    assert len(linspace(2, 3, 0)) == 0


def test_features_keep_their_values_when_a_caller_cuts_or_converts_them():
    whole = position_features(100, 100, 5, CPU)
    part = position_features(10, 100, 5, CPU)
    assert torch.equal(part, whole[:10])
    part.double().mul_(2)
    assert torch.equal(position_features(10, 100, 5, CPU), whole[:10])
    at = features_at(torch.arange(100).double(), 100, 5)
    torch.testing.assert_close(at.float(), whole, rtol=0, atol=1e-6)
    assert math.isclose(whole[-1, 0], 1)


def test_compiled_models_have_the_same():
    compiled = torch.compile(
        lambda x: (x + position_features(50, 60, 5, CPU), decay_rates(16, CPU)),
        backend="aot_eager",
        fullgraph=True,
    )
    found, rates = compiled(torch.zeros(50, 5))
    assert torch.equal(found, position_features(50, 60, 5, CPU))
    assert torch.equal(rates, decay_rates(16, CPU))
