"""Hidden states of every model, pooled: the same numbers as the model's own classifier reads."""

import numpy as np
import pytest
import torch

from crocuta.data.encoding import encode
from crocuta.errors import InputError
from crocuta.manifolds import Lorentz


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global KmerConfig, KmerForSequenceClassification, CNNConfig, CNNForSequenceClassification, HCNNConfig
    global HCNNForSequenceClassification, HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification
    global TransformerConfig, TransformerForSequenceClassification, Embedder, HYENA
    from crocuta.embedding.features import Embedder
    from crocuta.models.baselines import KmerConfig, KmerForSequenceClassification
    from crocuta.models.cnn import CNNConfig, CNNForSequenceClassification
    from crocuta.models.hcnn import HCNNConfig, HCNNForSequenceClassification
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification
    from crocuta.models.transformer import TransformerConfig, TransformerForSequenceClassification

    HYENA = HyenaConfig(d_model=16, n_layer=2, filter_order=16, max_seq_len=40)


MODELS = {
    "causal": lambda: HyenaForCausalLM(HYENA),
    "hyena": lambda: HyenaForSequenceClassification(HYENA),
    "cnn": lambda: CNNForSequenceClassification(CNNConfig(max_length=20)),
    "cnn-max": lambda: CNNForSequenceClassification(CNNConfig(max_length=20, pool="max")),
    "hcnn-s": lambda: HCNNForSequenceClassification(HCNNConfig(max_length=20, pool=None, channels=5)),
    "hcnn-m": lambda: HCNNForSequenceClassification(
        HCNNConfig(max_length=20, curvatures="multiple", channels=5, c=0.5)
    ),
    "transformer": lambda: TransformerForSequenceClassification(TransformerConfig(d_model=16, n_head=2)),
}
IDS = [encode("ACGTACGTTTGG"), encode("ACG"), encode("TTGACA")]


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


@pytest.mark.parametrize("pool", ["mean", "max", "last", "none"])
def test_padding_changes_nothing_and_points_stay_on_their_manifold(model, pool):
    embedder = Embedder(model, -1, pool)
    together, alone = embedder(IDS), [embedder([ids])[0] for ids in IDS]
    for ids, a, b in zip(IDS, together, alone, strict=True):
        assert a.shape == (len(ids) if pool == "none" else 1, embedder.dimension)
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=1e-5)
    with torch.no_grad():
        violation = embedder.manifold.violation(torch.from_numpy(np.concatenate(together)))
    assert violation.max().item() < 1e-5
    assert len(np.unique(np.concatenate(alone), axis=0)) >= len(IDS)


def test_the_head_reads_what_the_embedder_gives(model):
    if not hasattr(model, "score"):
        with pytest.raises(InputError, match="no hidden states"):
            Embedder(model, "head")
        return
    embedder = Embedder(model, "head")
    x = torch.from_numpy(np.concatenate(embedder(IDS)))
    with torch.inference_mode():
        logits = model.score(x)
    np.testing.assert_allclose(logits.softmax(-1).numpy(), model.eval().probabilities(IDS), atol=1e-5)


def test_mean_and_centroid_are_the_pool_of_all_rows(model):
    rows = Embedder(model, -1, "none")(IDS)[0]
    embedder = Embedder(model, -1, "mean")
    pooled = torch.from_numpy(embedder(IDS[:1])[0][0])
    if isinstance(embedder.manifold, Lorentz):
        with torch.no_grad():
            expected = embedder.manifold.centroid(torch.from_numpy(rows))
        assert torch.allclose(pooled, expected, atol=1e-5)
    elif not model.config.append_separator:
        np.testing.assert_allclose(pooled, rows.mean(0), atol=1e-5)


def test_hyena_layers_are_its_hidden_states():
    torch.manual_seed(1)
    model = HyenaForCausalLM(HYENA).eval()
    tokens = torch.tensor([[*IDS[0].tolist(), 1]])
    with torch.inference_mode():
        states = model.hyena(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
    for layer in (0, 1, 2, -1, -2):
        found = Embedder(model, layer, "last")(IDS[:1])[0][0]
        np.testing.assert_allclose(found, states.hidden_states[layer][0, -1], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "pool", "message"),
    [
        ("causal", 3, "mean", "layer 3: the model has layers 0 .* to 2"),
        ("cnn", 0, "mean", "layer 0: CNNForSequenceClassification shows 'head'"),
        ("causal", -1, "median", "pool 'median', expected mean"),
    ],
)
def test_what_is_not_there_is_named(name, layer, pool, message):
    with pytest.raises(InputError, match=message):
        Embedder(MODELS[name](), layer, pool)


def test_kmer_counts_are_an_embedding():
    embedder = Embedder(KmerForSequenceClassification(KmerConfig(longest_kmer=2)), "head")
    assert embedder([encode("AAAC")])[0][0, :4].tolist() == pytest.approx([3**0.5, 1, 0, 0])
