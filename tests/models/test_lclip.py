"""L-CLIP: points, gradients, partners, retrieval, round trips, and two processes that give one's numbers."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global AutoModel, HyenaConfig, ClipModel, LClipModel, LorentzTransformerConfig
    from transformers import AutoModel

    from crocuta.models.clip.lclip import ClipModel, LClipModel
    from crocuta.models.hyena import HyenaConfig
    from crocuta.models.lorentz_language import LorentzTransformerConfig


WORKER = Path(__file__).with_name("clip_processes.py")
LORENTZ = {"d_model": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.2}
CONTENT = {
    "hyena": lambda: HyenaConfig(d_model=16, n_layer=1, max_seq_len=64, embed_dropout=0.0),
    "lorentz": lambda: LorentzTransformerConfig(**LORENTZ),
}
KINDS = ("LClipModel", "ClipModel")


def build(kind="LClipModel", content="lorentz", **options):
    torch.manual_seed(0)
    kind, text = globals()[kind], LorentzTransformerConfig(vocab_size=9, **LORENTZ)
    config = kind.config_class(
        content_config=CONTENT[content](), text_config=text, projection_dim=8, **options
    )
    return kind(config).eval()


def batch(rows=6):
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(7, 11, (rows, 20), generator=generator),
        "text_ids": torch.randint(1, 9, (rows, 5), generator=generator),
    }


@pytest.mark.parametrize("content", CONTENT)
def test_both_sides_are_points_and_everything_gets_a_gradient(content):
    model = build(content=content).train()
    output = model(**batch())
    for points in (output.content, output.text):
        model.manifold.check(points)
        assert points.shape == (6, 9)
    assert output.loss == output.contrastive_loss + 0.2 * output.entailment_loss
    output.loss.backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert still <= {
        name for name, _ in model.named_parameters() if name.startswith("content_encoder.manifold")
    }
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_learns_pairs_and_retrieves_them(kind):
    model, data = build(kind).train(), batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model(**data).loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        text, content = model.encode_text(data["text_ids"]), model.encode_sequence(data["input_ids"])
    right = torch.arange(6)
    assert torch.equal(model.retrieve(text, content, 3).indices[:, 0], right)
    assert torch.equal(model.retrieve(content, text, 3).indices[:, 0], right)
    assert torch.equal(model.classify(content, text[:, None]).argmax(1), right)
    if kind == "LClipModel":  # words are more general than what they describe
        assert model.entailment.excess(text, content).mean() < 0.1


def test_an_item_near_to_everything_yields_to_one_that_is_near_to_the_query_alone():
    model = build("LClipModel").eval()
    exp, plane = model.manifold.expmap0, torch.eye(2, model.config.projection_dim)
    queries = exp(torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0]]) @ plane)
    items = exp(torch.tensor([[0.4, 0.4], [3.0, -1.5]]) @ plane)  # a hub, and one out beside the first query
    plain, judged = (
        model.retrieve(queries[:1], items, 2, rivals).indices[0, 0] for rivals in (None, queries)
    )
    assert (int(plain), int(judged)) == (0, 1)


def test_padding_changes_nothing():
    model, data = build(), batch(1)
    mask = torch.cat([torch.ones(1, 5), torch.zeros(1, 3)], 1)
    longer = torch.nn.functional.pad(data["text_ids"], (0, 3))
    torch.testing.assert_close(model.encode_text(longer, mask), model.encode_text(data["text_ids"]))


def test_rows_of_one_group_are_partners_of_each_other():
    model = build()
    x, y = model.manifold.random((2, 4, 8)).detach()
    group = torch.tensor([5, 5, 2, 7])
    logits = model.similarity(x, y)
    there, back = -logits.log_softmax(1), -logits.mT.log_softmax(1)
    target = torch.tensor([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    expected = ((there + back) * target).sum() / 8
    torch.testing.assert_close(model.contrast(x, y, group), expected)
    torch.testing.assert_close(model.contrast(x, y, torch.arange(4)), model.contrast(x, y))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", CONTENT)
def test_round_trip(kind, content, tmp_path):
    model = build(kind, content)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert type(again) is type(model)
    assert type(again.config.content_config) is type(model.config.content_config)
    data = batch()
    torch.testing.assert_close(again(**data).to_tuple(), model(**data).to_tuple(), rtol=0, atol=0)


def test_a_class_is_the_centroid_of_its_prompts():
    model = build()
    content, prompts = model.manifold.random((4, 8)), model.manifold.random((3, 2, 8))
    found = model.classify(content, prompts)
    distance = model.manifold.dist(content[:, None], model.manifold.centroid(prompts))
    torch.testing.assert_close(found, (-distance / 0.07).softmax(1))


def test_curvature_and_temperature_stay_in_their_range():
    model = build()
    model.manifold.log_c.data.fill_(50.0)
    model.contrast.log_temperature.data.fill_(-50.0)
    assert model.manifold.c.item() <= 10
    assert model.contrast.temperature.item() == pytest.approx(0.01)


def test_what_is_refused():
    model, data = build(), batch()
    with pytest.raises(ValueError, match="either pixel_values or input_ids"):
        model(text_ids=data["text_ids"])


@pytest.mark.distributed
def test_two_processes_are_one(run_together):
    assert run_together(WORKER, 2) == [0, 0]
