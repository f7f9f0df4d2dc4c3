"""HypLoRA as a tuner of peft: what the base model, several adapters, heads, files and long sequences see of it."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crocuta.manifolds import Lorentz
from crocuta.nn import LorentzLayerNorm, LorentzLinear
from crocuta.optim import parameter_groups


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global PeftModel, get_peft_model, AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel
    global LlamaConfig, LlamaForCausalLM, hyena_lean, CNNConfig, CNNForSequenceClassification, HyenaConfig
    global HyenaForCausalLM, HyenaForSequenceClassification, HyenaModel, HypLoraConfig, HypLoraLayer
    global build_in, is_built_in
    from peft import PeftModel, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
    )

    from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification, HyenaModel
    from crocuta.models.hyena import chunked as hyena_lean
    from crocuta.models.hyplora import HypLoraConfig, HypLoraLayer, build_in, is_built_in


pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # peft's
)
IDS = torch.randint(0, 8, (2, 12), generator=torch.Generator().manual_seed(0)) % 4 + 7
SMALL = {"d_model": 16, "n_layer": 1, "filter_order": 16, "max_seq_len": 80, "initializer_range": 0.2}
FORMS = ("hybrid", "full")


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=16, n_positions=32, resid_pdrop=0.0)
    )


def llama():
    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, vocab_size=16
    )
    return LlamaForCausalLM(config)


def hyena():
    return HyenaForCausalLM(HyenaConfig(**SMALL))


def make(build):
    torch.manual_seed(0)
    return build().eval()


def draw(model, size=0.3):
    """Updates that are not 0, and curvatures that are not what they were."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(".up"):
            nn.init.normal_(parameter, std=size)
        if name.endswith(".log_c"):
            nn.init.constant_(parameter, 1.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("build", [hyena, gpt2, llama])
def test_a_causal_model(build, form, tmp_path):
    """Starts as the base model, trains its own weights alone, goes to a file and back, and off again."""
    base, model = make(build), make(build)
    plain = base(IDS).logits
    model = get_peft_model(model, HypLoraConfig(r=3, form=form, learnable_curvature=True)).eval()
    assert torch.equal(model(IDS).logits, plain)
    assert sum(isinstance(module, HypLoraLayer) for module in model.modules()) >= 1
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if "hyplora_map" in name}
    draw(model)
    model(IDS, labels=IDS).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters() if p.requires_grad)
    adapted = model(IDS).logits
    assert (adapted - plain).abs().max() > 1e-3
    with model.disable_adapter():
        assert torch.equal(model(IDS).logits, plain)
    model.save_pretrained(tmp_path)
    assert len(load_file(tmp_path / "adapter_model.safetensors")) == len(trained)
    parameters = dict(model.named_parameters())
    loaded = PeftModel.from_pretrained(base, tmp_path, adapter_name="other").eval()
    assert loaded.peft_config["other"].form == form
    assert all(
        torch.equal(p, parameters[n.replace(".other", ".default")]) for n, p in loaded.named_parameters()
    )
    torch.testing.assert_close(loaded(IDS).logits, adapted, rtol=1e-5, atol=1e-6)
    assert torch.equal(model.unload()(IDS).logits, plain)


def test_transformers_loads_an_adapter_too(tmp_path):
    """`load_adapter` of a model, without peft's wrapper."""
    model = get_peft_model(make(llama), HypLoraConfig(r=2, learnable_curvature=True)).eval()
    draw(model)
    model.save_pretrained(tmp_path)
    loaded = make(llama)
    loaded.load_adapter(tmp_path)
    wanted = {key.removeprefix("base_model.model."): tensor for key, tensor in model.state_dict().items()}
    assert loaded.state_dict().keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in loaded.state_dict().items())


@pytest.mark.parametrize("form", FORMS)
def test_gradient_at_the_start_through_a_whole_model(form):
    """Float64 against finite differences, float32 against float64."""
    model = get_peft_model(make(hyena).double(), HypLoraConfig(r=2, form=form))
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model(IDS, labels=IDS).loss.backward()
    for name, parameter in parameters.items():
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            ends = []
            for step in (1e-5, -1e-5):
                parameter.add_(step * direction)
                ends.append(model(IDS, labels=IDS).loss.item())
                parameter.sub_(step * direction)
        numeric, exact = (ends[0] - ends[1]) / 2e-5, (parameter.grad * direction).sum().item()
        assert exact == pytest.approx(numeric, rel=1e-4, abs=1e-8), name
        assert not name.endswith(".up") or parameter.grad.abs().max() > 1e-5, name
    exact = {name: parameter.grad.clone() for name, parameter in parameters.items()}
    model.float().zero_grad()
    model(IDS, labels=IDS).loss.backward()
    for name, parameter in parameters.items():
        # sums of float32 round by the size of what they sum: an entry's error goes with the largest, not with its own
        error = (parameter.grad.double() - exact[name]).abs().max()
        assert error <= 3e-5 * exact[name].abs().max(), name


def test_modules_to_save_are_trained_and_saved(tmp_path):
    classifier = lambda: HyenaForSequenceClassification(HyenaConfig(**SMALL))  # noqa: E731
    model = get_peft_model(make(classifier), HypLoraConfig(r=2, modules_to_save=["score"])).eval()
    head = [n for n, p in model.named_parameters() if p.requires_grad and "hyplora" not in n]
    assert sorted(name.rsplit(".", 1)[1] for name in head) == ["bias", "weight"]
    assert all("score.modules_to_save" in name for name in head)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    before = model.base_model.model.score.modules_to_save["default"].weight.clone()
    model(IDS, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    assert not torch.equal(model.base_model.model.score.modules_to_save["default"].weight, before)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(make(classifier), tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, rtol=1e-5, atol=1e-6)


def test_several_adapters():
    model = get_peft_model(make(hyena), HypLoraConfig(r=2), adapter_name="one").eval()
    plain = model(IDS).logits
    model.add_adapter("two", HypLoraConfig(r=3, form="full", target_modules=["fc1"], c=0.5))
    draw(model)
    first = model(IDS).logits
    model.set_adapter("two")
    second = model(IDS).logits
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".two." in name for name in trained)
    model.base_model.set_adapter(["one", "two"])
    both = model(IDS).logits
    for a, b in ((plain, first), (plain, second), (first, second), (first, both), (second, both)):
        assert (a - b).abs().max() > 1e-4
    model.delete_adapter("two")
    assert torch.equal(model(IDS).logits, first)


def test_merging_is_refused_and_changes_nothing():
    model = get_peft_model(make(hyena), HypLoraConfig(r=2)).eval()
    draw(model)
    before = model(IDS).logits
    layer = next(module for module in model.modules() if isinstance(module, HypLoraLayer))
    for merge in (model.merge_and_unload, model.merge_adapter, layer.merge):
        with pytest.raises(ValueError, match=r"cannot be merged.*save_pretrained.*unload\(\).*LoRA"):
            merge()
    assert torch.equal(model(IDS).logits, before)


class Hyperbolic(nn.Module):
    """Two layers on the hyperboloid."""

    def __init__(self):
        super().__init__()
        m = Lorentz(0.7)
        self.first, self.norm, self.second = (
            LorentzLinear(m, 6, 8),
            LorentzLayerNorm(m, 8),
            LorentzLinear(m, 8, 4),
        )

    def forward(self, x):
        return self.second(self.norm(self.first(x)))


@pytest.mark.parametrize("form", FORMS)
def test_layers_of_points(form):
    model = make(Hyperbolic)
    x = Lorentz(0.7).random((3, 6))
    plain = model(x)
    model = get_peft_model(model, HypLoraConfig(r=2, form=form, target_modules=["first", "second"]))
    assert torch.equal(model(x), plain)
    draw(model)
    moved = model(x)
    assert (moved - plain).abs().max() > 1e-2
    assert Lorentz(0.7).violation(moved).max() < 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_long_sequences(form, monkeypatch):
    """Blocks in chunks hear the updates as the plain equations do, gradients too."""
    monkeypatch.setitem(hyena_lean.TOKENS, "cpu", 48)
    config = HyenaConfig(**SMALL | {"max_seq_len": 402})
    model = get_peft_model(make(lambda: HyenaForCausalLM(config)).double(), HypLoraConfig(r=2, form=form))
    draw(model)
    ids, found = torch.randint(7, 11, (2, 400)), []
    for start in (4096, 1):
        monkeypatch.setattr(hyena_lean, "LEAN_FROM", start)
        model.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.requires_grad)])
    assert not all(torch.equal(plain, lean) for plain, lean in zip(*found, strict=True))
    for plain, lean in zip(*found, strict=True):
        torch.testing.assert_close(lean, plain, rtol=1e-8, atol=1e-10)


def test_sixteen_bits():
    model = get_peft_model(make(hyena).bfloat16(), HypLoraConfig(r=2, learnable_curvature=True)).eval()
    draw(model)
    maps = [p for name, p in model.named_parameters() if "hyplora_map" in name]
    assert {p.dtype for p in maps} == {torch.float32}
    out = model(IDS)
    assert out.logits.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        loss = get_peft_model(make(hyena), HypLoraConfig(r=2))(IDS, labels=IDS).loss
    loss.backward()
    assert out.logits.isfinite().all()


def test_dropout_is_heard_in_training_only():
    model = get_peft_model(make(hyena), HypLoraConfig(r=2, hyplora_dropout=0.5))
    draw(model)
    layer = next(module for module in model.modules() if isinstance(module, HypLoraLayer))
    x = torch.randn(3, layer.in_features)
    assert not torch.equal(layer.train()(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_learnable_curvatures_are_a_group_of_their_own():
    model = get_peft_model(make(hyena), HypLoraConfig(r=2, learnable_curvature=True))
    groups = {group["name"]: group for group in parameter_groups(model, lr=1e-3, curvature_lr=1e-2)}
    assert len(groups["curvature"]["params"]) == 4
    assert groups["curvature"]["lr"] == 1e-2


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "build",
    [
        lambda: HyenaForSequenceClassification(HyenaConfig(**SMALL)),
        lambda: CNNForSequenceClassification(CNNConfig(max_length=12, channels=4, hidden_features=8)),
    ],
)
def test_part_of_a_model_of_crocuta(build, frozen, tmp_path):
    """Saved with the model and loaded with it, by name of the class or not."""
    model = make(build).requires_grad_(not frozen)
    names = ["fc1", "in_proj"] if isinstance(model, HyenaForSequenceClassification) else ["hidden"]
    plain = model(IDS).logits
    build_in(model, {"r": 2, "form": "full", "target_modules": names})
    assert torch.equal(model(IDS).logits, plain)
    assert all(p.requires_grad != frozen for n, p in model.named_parameters() if "hyplora" not in n)
    draw(model)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert all(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, rtol=1e-5, atol=1e-6)
    if isinstance(model, HyenaForSequenceClassification):
        backbone = HyenaModel.from_pretrained(tmp_path).eval()
        assert is_built_in(backbone)
        wanted = model.hyena(IDS).last_hidden_state
        torch.testing.assert_close(backbone(IDS).last_hidden_state, wanted, rtol=1e-5, atol=1e-5)


def test_what_is_refused():
    with pytest.raises(ValueError, match="form must be one of hybrid, full, got 'flat'"):
        HypLoraConfig(form="flat")
    with pytest.raises(ValueError, match="c must be positive, got 0"):
        HypLoraConfig(c=0)
    with pytest.raises(ValueError, match=r"updates nn\.Linear.*not Embedding; name other layers"):
        get_peft_model(make(hyena), HypLoraConfig(target_modules=["word_embeddings"]))
    model = get_peft_model(make(hyena), HypLoraConfig(r=2))
    assert not any("filter" in name for name, m in model.named_modules() if isinstance(m, HypLoraLayer))
