"""Ancestry models: who sees whom, missing sites, naive Bayes at the start, reloading, both backbones."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global VOCABULARY, AncestryConfig, AncestryForSiteClassification, AncestryForSNPPrediction
    global AncestryForWindowClassification
    from crocuta.models.ancestry import (
        VOCABULARY,
        AncestryConfig,
        AncestryForSiteClassification,
        AncestryForSNPPrediction,
        AncestryForWindowClassification,
    )


POPULATIONS = {0: "AFR", 1: "EUR", 2: "EAS"}
SITES = 24


def config(**fields):
    standard = {
        "d_model": 16,
        "n_layer": 2,
        "n_head": 2,
        "filter_order": 8,
        "emb_dim": 5,
        "max_sites": 64,
        "initializer_range": 0.3,
    }
    standard |= {"id2label": POPULATIONS, "chromosomes": ["1", "2"], "chromosome_lengths": [10_000, 5_000]}
    return AncestryConfig(**standard | fields)


def build(kind, **fields):
    torch.manual_seed(0)
    model = kind(config(**fields)).eval()
    for name, parameter in model.named_parameters():
        if "table" in name or "head" in name:  # both begin at zero
            torch.nn.init.normal_(parameter)
    return model


def windows(seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    position = torch.randint(1, 5_000, (batch, SITES), generator=generator).sort().values
    return {
        "input_ids": torch.randint(0, 2, (batch, SITES), generator=generator),
        "position": position,
        "chromosome": torch.arange(batch) % 2,
    }


@pytest.mark.parametrize("backbone", ["hyena", "transformer"])
def test_bidirectional_sites_see_both_sides(backbone):
    model = build(AncestryForSiteClassification, backbone=backbone, bidirectional=True)
    batch = windows()
    before = model(**batch).logits
    batch["input_ids"][:, 12] = 1 - batch["input_ids"][:, 12]
    changed = (model(**batch).logits - before).abs().amax((0, 2))
    assert changed[0] > 1e-6
    assert changed[-1] > 1e-6


@pytest.mark.parametrize("backbone", ["hyena", "transformer"])
def test_causal_prediction_sees_only_what_lies_before(backbone):
    model = build(AncestryForSNPPrediction, backbone=backbone, bidirectional=False)
    batch = windows()
    before = model(**batch).logits
    assert before.shape == (2, SITES - 1, 2)
    batch["input_ids"][:, 12] = 1 - batch["input_ids"][:, 12]
    changed = (model(**batch).logits - before).abs().amax((0, 2))
    assert changed[:12].max() < 1e-5  # logits[:, i] are about site i + 1, from sites up to i
    assert changed[12:].min() > 1e-6


def test_prediction_refuses_to_look_ahead():
    with pytest.raises(ValueError, match="bidirectional=False"):
        build(AncestryForSNPPrediction, bidirectional=True)


def test_prediction_reads_the_position_of_the_next_site():
    model = build(AncestryForSNPPrediction, bidirectional=False, alpha=1)
    batch = windows()
    before = model(**batch).logits
    batch["position"] = batch["position"].clone()
    batch["position"][:, -1] += 37
    changed = (model(**batch).logits - before).abs().amax((0, 2))
    assert changed[-1] > 1e-6
    assert changed[:-1].max() < 1e-5


@pytest.mark.parametrize("backbone", ["hyena", "transformer"])
@pytest.mark.parametrize("kind", ["AncestryForWindowClassification", "AncestryForSiteClassification"])
def test_missing_sites_tell_nothing(backbone, kind):
    model = build(globals()[kind], backbone=backbone)
    batch = windows()
    missing, mask = (VOCABULARY["haplotype"].index(token) for token in ("MISS", "MASK"))
    batch["input_ids"][:, [3, 4, 20]] = missing
    before = model(**batch).logits
    batch["input_ids"][:, [3, 4, 20]] = mask
    batch["position"] = batch["position"].clone()
    batch["position"][:, 4] = batch["position"][:, 5]
    after = model(**batch).logits
    if kind == "AncestryForSiteClassification":
        others = [i for i in range(SITES) if i not in (3, 4, 20)]
        before, after = before[:, others], after[:, others]
    torch.testing.assert_close(before, after)


def test_padding_changes_nothing_in_front_of_it():
    model = build(AncestryForWindowClassification)
    batch = windows()
    before = model(**batch).logits
    pad = model.config.pad_id
    batch["input_ids"] = torch.nn.functional.pad(batch["input_ids"], (0, 6), value=pad)
    batch["position"] = torch.nn.functional.pad(batch["position"], (0, 6))
    torch.testing.assert_close(before, model(**batch).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backbone", ["hyena", "transformer"])
def test_a_window_without_any_allele_is_answered(backbone):
    model = build(AncestryForWindowClassification, backbone=backbone)
    batch = windows()
    batch["input_ids"][0] = model.config.missing_id
    assert torch.isfinite(model(**batch).logits).all()


def test_at_first_evidence_decides_as_naive_bayes():
    torch.manual_seed(0)
    model = AncestryForWindowClassification(config(evidence_channels=6)).eval()
    torch.nn.init.zeros_(model.head.score.bias)
    evidence = torch.randn(2, SITES, 6)
    found = model(**windows(), evidence=evidence).logits.exp()
    doubt = model.head.doubt.logit.sigmoid()
    expected = (1 - doubt) * evidence[..., :3].sum(1).softmax(1) + doubt / 3
    torch.testing.assert_close(found, expected)


def test_doubt_bounds_what_a_wrong_answer_costs():
    model = AncestryForWindowClassification(config(evidence_channels=3)).eval()
    evidence = torch.tensor([100.0, 0.0, 0.0]).expand(2, SITES, 3)
    loss = model(**windows(), evidence=evidence, labels=torch.tensor([1, 2])).loss
    assert loss < -(model.head.doubt.logit.sigmoid() / 3).log() + 1e-4


def test_evidence_must_come_as_configured():
    with pytest.raises(ValueError, match="6 channels is expected, got none"):
        build(AncestryForWindowClassification, evidence_channels=6)(**windows())
    with pytest.raises(ValueError, match="0 channels"):
        build(AncestryForWindowClassification)(**windows(), evidence=torch.zeros(2, SITES, 3))


def test_training_hides_alleles_and_their_evidence():
    model = build(AncestryForWindowClassification, evidence_channels=3, missing_rate=0.5).train()
    ids, evidence = torch.zeros(4, 500, dtype=torch.long), torch.ones(4, 500, 3)
    hidden, kept = model.ancestry.hide(ids, evidence)
    share = (hidden == model.config.missing_id).float().mean()
    assert 0.45 < share < 0.55
    assert torch.equal(kept[..., 0] == 0, hidden == model.config.missing_id)
    assert torch.equal(model.eval().ancestry.hide(ids, evidence)[0], ids)


@pytest.mark.parametrize("position", ["fpe", "site", "grid", "learned", "centimorgan"])
@pytest.mark.parametrize("head", ["linear", "lorentz"])
def test_saved_and_reloaded_models_are_equal(tmp_path, position, head):
    model = build(AncestryForWindowClassification, position=position, head=head, sites=4)
    if position == "site":
        model.ancestry.embeddings.position.set_sites(windows()["position"][0, :4], torch.zeros(4))
    model.save_pretrained(tmp_path)
    again = AncestryForWindowClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(**windows()).logits, model(**windows()).logits)
    assert again.config.id2label == POPULATIONS


def test_views_have_their_alleles_first():
    expected = {"haplotype": 2, "genotype": 3, "carried": 4}
    assert set(expected) == set(VOCABULARY)
    for view, alleles in expected.items():
        settings = config(view=view)
        assert settings.alleles == alleles
        assert settings.vocabulary[settings.missing_id] in ("MISS", "N")


def test_labels_that_are_no_alleles_are_not_learnt():
    model = build(AncestryForSNPPrediction, bidirectional=False)
    batch = windows()
    labels = batch["input_ids"].clone()
    labels[:, 5:] = model.config.missing_id
    loss = model(**batch, labels=labels).loss
    logits = model(**batch).logits[:, :4].flatten(0, 1)
    torch.testing.assert_close(
        loss, torch.nn.functional.cross_entropy(logits, batch["input_ids"][:, 1:5].flatten())
    )


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="position must be one of"):
        config(position="alibi")
    with pytest.raises(ValueError, match="longer than max_sites"):
        build(AncestryForWindowClassification, max_sites=SITES - 1)(**windows())
