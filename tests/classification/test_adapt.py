"""Ways to adapt a pretrained model: what moves, what is saved, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crocuta.errors import InputError

from .conftest import Kill


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global pipelines, load_classifier, CNNConfig, HyenaConfig, HyenaForCausalLM, write_report, Recipe
    global finetune, run_experiment, ADAPTATIONS, HypLora, InContext, LabelPrompt, LinearProbe, Lora
    global SoftPrompt, parse_adaptation, build, evaluate, predict
    from crocuta.classification import Recipe, finetune, pipelines, run_experiment
    from crocuta.classification.adapt import (
        ADAPTATIONS,
        HypLora,
        InContext,
        LabelPrompt,
        LinearProbe,
        Lora,
        SoftPrompt,
        parse_adaptation,
    )
    from crocuta.classification.finetuning import build
    from crocuta.classification.run import evaluate, predict
    from crocuta.models.cnn import CNNConfig
    from crocuta.models.ensemble import load_classifier
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.report import write_report


EVERY = (
    "full",
    "probe",
    "lora:2",
    "lora:2+conv",
    "hyplora:2",
    "hyplora-full:2",
    "prompt:4",
    "label-prompt:4",
    "in-context:1",
)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """A language model that knows nothing, with weights large enough for a fast start."""
    folder = tmp_path_factory.mktemp("pretrained") / "tiny"
    torch.manual_seed(0)
    config = HyenaConfig(d_model=16, n_layer=1, filter_order=16, max_seq_len=400, initializer_range=0.1)
    HyenaForCausalLM(config).save_pretrained(folder)
    return folder


def prepared(adaptation, pretrained, splits):
    model = build(pretrained, splits.train.classes, "single_label")
    return adaptation.prepare(model, splits, 0)


def trained_names(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_what_each_adaptation_trains(pretrained, splits):
    assert trained_names(prepared(LinearProbe(), pretrained, splits)) == {"score.weight", "score.bias"}
    prompt = prepared(SoftPrompt(4), pretrained, splits)
    assert trained_names(prompt) == {"prompt.weight", "score.weight", "score.bias"}
    assert trained_names(prepared(LabelPrompt(4), pretrained, splits)) == {"prompt.weight"}
    everything = prepared(InContext(1), pretrained, splits)
    assert trained_names(everything) == {name for name, _ in everything.named_parameters()}
    lora = trained_names(prepared(Lora(2), pretrained, splits))
    layers = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in lora if "lora_" in name}
    assert layers == {"in_proj", "out_proj", "fc1", "fc2"}
    one = trained_names(prepared(Lora(2, targets=("fc1",)), pretrained, splits))
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in one if "lora_" in name} == {"fc1"}


@pytest.mark.parametrize("text", EVERY)
def test_every_trained_tensor_receives_a_gradient(text, pretrained, splits):
    """A layer that reads a weight past its adapter would leave the adapter untrained, in silence."""
    model = prepared(parse_adaptation(text), pretrained, splits).train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name or name.endswith(".up"):
            torch.nn.init.ones_(parameter)  # starts at 0, which would hide A's gradient
    ids = torch.randint(7, 11, (4, 30))
    model(
        input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 1, 0, 1])
    ).loss.backward()
    without = [
        n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert without == []
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_frozen_weights_stay_and_the_rest_moves(pretrained, splits, recipe, tmp_path):
    before = load_file(pretrained / "model.safetensors")
    for text in ("probe", "prompt:4", "label-prompt:4"):
        folder = tmp_path / text.replace(":", "-")
        finetune(pretrained, splits, folder, replace(recipe, epochs=1), adaptation=parse_adaptation(text))
        after = load_file(folder / "model.safetensors")
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items() if key in after)
        assert sum(key in after for key in before) > 20
    lora = tmp_path / "lora"
    finetune(pretrained, splits, lora, replace(recipe, epochs=1), adaptation=Lora(2))
    after = load_file(lora / "model.safetensors")
    assert not any("lora" in key or "base_layer" in key for key in after)
    moved = {key.rsplit(".", 2)[-2] for key in before if not torch.equal(after[key], before[key])}
    assert moved == {"in_proj", "out_proj", "fc1", "fc2"}
    finetune(pretrained, splits, tmp_path / "conv", replace(recipe, epochs=1), adaptation=Lora(2, conv=True))
    after = load_file(tmp_path / "conv" / "model.safetensors")
    also = {key.rsplit(".", 2)[-2] for key in before if not torch.equal(after[key], before[key])} - moved
    assert also == {"short_filter", "norm1", "norm2", "ln_f"}


def test_a_frozen_network_keeps_its_running_statistics(splits, recipe, tmp_path):
    finetune(CNNConfig(max_length=40, channels=4, hidden_features=8), splits, tmp_path / "cnn", recipe)
    finetune(tmp_path / "cnn", splits, tmp_path / "probe", recipe, adaptation=LinearProbe())
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("cnn", "probe"))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"score.weight", "score.bias"}


def test_merged_weights_answer_as_the_adapter_did(pretrained, splits):
    model = prepared(Lora(2), pretrained, splits).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    ids = torch.randint(7, 11, (4, 30))
    with torch.no_grad():
        before = model(input_ids=ids).logits
        Lora(2).finish(model)
        plain = build(pretrained, splits.train.classes, "single_label")
        plain.load_state_dict(model.state_dict())
        torch.testing.assert_close(plain.eval()(input_ids=ids).logits, before)


def test_hyplora_is_saved_with_the_model_that_it_adapts(pretrained, splits, recipe, tmp_path):
    before = load_file(pretrained / "model.safetensors")
    finetune(pretrained, splits, tmp_path / "h", replace(recipe, epochs=1), adaptation=HypLora(2))
    after = load_file(tmp_path / "h" / "model.safetensors")
    plain = {key.replace("base_layer.", ""): tensor for key, tensor in after.items()}
    kept = [key for key in before if key in plain]
    assert len(kept) > 20
    assert all(torch.equal(plain[key], before[key]) for key in kept)
    assert sum(key.endswith(".up") and bool(tensor.any()) for key, tensor in after.items()) == 4
    model = load_classifier(tmp_path / "h")
    assert model.config.hyplora["form"] == "hybrid"
    ids = torch.randint(7, 11, (4, 30))
    bare = build(pretrained, splits.train.classes, "single_label").eval()
    with torch.no_grad():
        adapted = model.eval()(ids, output_hidden_states=True).hidden_states[-1]
        assert (adapted - bare(ids, output_hidden_states=True).hidden_states[-1]).abs().max() > 1e-4
        prompted = SoftPrompt(2).prepare(model, splits, 0)  # and it can be adapted further, in another way
        found, wanted = (kind.eval().hyena(ids).last_hidden_state for kind in (prompted, model))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="has HypLoRA's updates already"):
        finetune(tmp_path / "h", splits, tmp_path / "twice", recipe, adaptation=HypLora(2))


@pytest.mark.parametrize("text", ["lora:2", "hyplora:2", "in-context:1"])
def test_a_killed_adaptation_resumes_to_the_same_weights(text, pretrained, splits, recipe, tmp_path):
    options = {"adaptation": parse_adaptation(text)}
    whole = finetune(pretrained, splits, tmp_path / "whole", recipe, **options)
    with pytest.raises(KeyboardInterrupt):
        finetune(pretrained, splits, tmp_path / "cut", recipe, progress=Kill(), **options)
    resumed = finetune(pretrained, splits, tmp_path / "cut", recipe, resume=True, **options)
    assert resumed.history == whole.history
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_of_every_adaptation(pretrained, splits, table, tmp_path):
    """The whole way: train, load, evaluate, predict, report."""
    splits = replace(splits, train=splits.train.select(range(96)))
    entries = pipelines.comparison(splits, [pretrained, "cnn"], adapt=EVERY[1:], baselines=False, epochs=1)
    assert len(entries) == len(EVERY)
    run = run_experiment(entries, splits, tmp_path / "run", seeds=(0,))
    models = run.metrics["models"]
    assert models["tiny-probe"]["trained_parameters"] == 34 < models["tiny-probe"]["parameters"]
    assert models["cnn"]["trained_parameters"] == models["cnn"]["parameters"]
    assert run.config["adaptation"]["tiny-lora-2"] == {
        "name": "lora",
        "rank": 2,
        "alpha": None,
        "targets": None,
        "conv": False,
    }
    evaluated = evaluate(run.path, table, tmp_path / "evaluated")
    assert evaluated.metrics["models"].keys() == models.keys()
    for name in ("tiny-lora-2", "tiny-in-context-1", "cnn"):
        count, _ = predict(run.path, table, tmp_path / f"{name}.tsv", model=name)
        assert count == 240
    page = write_report([run.path], run.path / "report.html").read_text()
    assert "(34 trained)" in page
    assert "of which 34 trained" in page
    again = run_experiment(entries, splits, tmp_path / "run", seeds=(0,), resume=True)
    assert again.metrics == run.metrics
    others = [replace(e, adaptation=Lora(3)) if e.adaptation == Lora(2) else e for e in entries]
    with pytest.raises(InputError, match=r"it began with adaptation\.tiny-lora-2\.rank = 2, now it is 3"):
        run_experiment(others, splits, tmp_path / "run", seeds=(0,), resume=True)


def test_in_context_examples_are_not_asked_about(pretrained, splits):
    adaptation = InContext(shots=2, pool=4)
    rows = adaptation.examples(splits.train, 0)
    assert rows.shape == (2, 4)
    assert all((splits.train.labels[rows[k]] == k).all() for k in range(2))
    asked = adaptation.queries(splits, 0).train
    assert len(asked) == len(splits.train) - 8
    model = prepared(adaptation, pretrained, splits)
    shown = model.examples[1, 0]
    assert np.array_equal(shown[shown != 4].numpy(), splits.train.sequences[int(rows[1, 0])])


def test_names_and_numbers():
    assert {kind().name for kind in ADAPTATIONS.values()} == set(ADAPTATIONS)
    assert parse_adaptation("prompt:32") == SoftPrompt(32)
    assert parse_adaptation("in-context:0") == InContext(0)
    assert len({parse_adaptation(text).label for text in ("lora:1", "lora:2", "lora:2+conv")}) == 3
    for text, reason in {
        "prefix": "expected full, probe, lora",
        "prompt:0": "whole number from 1",
        "lora:x": "whole number from 1",
        "probe:3": "takes no number",
        "probe+conv": "only \\+conv can follow, after lora",
        "lora:2+norm": "only \\+conv can follow",
    }.items():
        with pytest.raises(InputError, match=reason):
            parse_adaptation(text)


def test_what_cannot_be_adapted_is_refused(pretrained, splits, tmp_path):
    with pytest.raises(InputError, match=r"`adapt` lora:2 needs pretrained weights, and cnn starts from new"):
        pipelines.comparison(splits, ["cnn"], adapt=["lora:2"])
    cnn = build(CNNConfig(max_length=40, channels=4, hidden_features=8), ("a", "b"), "single_label")
    with pytest.raises(InputError, match="a model of type 'crocuta_cnn' takes none; use `adapt` full, probe"):
        SoftPrompt(4).prepare(cnn, splits, 0)
    with pytest.raises(InputError, match=r"no linear layer is called \('fc9',\); expected some of hidden"):
        Lora(targets=("fc9",)).prepare(cnn, splits, 0)
    with pytest.raises(InputError, match=r"too few for 200 shots"):
        InContext(200).examples(splits.train, 0)
    many = replace(splits, train=replace(splits.train, labels=np.zeros((len(splits.train), 2), np.uint8)))
    model = build(pretrained, ("a", "b"), "multi_label")
    with pytest.raises(InputError, match="one class by a token"):
        LabelPrompt(4).prepare(model, many, 0)
    with pytest.raises(InputError, match="more than the model reads"):
        finetune(pretrained, splits, tmp_path / "long", Recipe(epochs=1), adaptation=SoftPrompt(390))


def test_a_finished_fit_says_what_it_trained(pretrained, splits, recipe, tmp_path):
    fit = finetune(pretrained, splits, tmp_path / "p", replace(recipe, epochs=1), adaptation=SoftPrompt(4))
    assert fit.trained_parameters == 4 * 16 + 2 * 16 + 2
    assert (
        json.loads((tmp_path / "p" / "fit.json").read_text())["trained_parameters"] == fit.trained_parameters
    )
    assert load_classifier(tmp_path / "p").num_parameters() == fit.parameters
