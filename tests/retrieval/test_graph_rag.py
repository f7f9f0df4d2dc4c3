"""GraphRAG reads the facts of entities that no training question names, with any causal language model."""

import copy
from functools import partial

import pytest
import torch

from crocuta.data.knowledge import KnowledgeGraph, Question, part
from crocuta.errors import InputError
from crocuta.manifolds import Euclidean, Lorentz


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global LlamaConfig, LlamaForCausalLM, HyenaConfig, HyenaForCausalLM, GraphRAG, RagRecipe, RagSettings
    global Retrieval, Retriever, TextEncoder, build_rag, exact_match, fit_rag, load_rag, rarities
    global save_rag, small_language_model, train_tokenizer, Course
    from transformers import LlamaConfig, LlamaForCausalLM

    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.retrieval import (
        GraphRAG,
        RagRecipe,
        RagSettings,
        Retrieval,
        Retriever,
        TextEncoder,
        build_rag,
        exact_match,
        fit_rag,
        load_rag,
        rarities,
        save_rag,
        small_language_model,
        train_tokenizer,
    )
    from crocuta.runs.loop import Course


KINDS = ("SINE", "LINE", "LTR", "DNA")
NAMES = [f"E{i * 7919 % 997:03d}" for i in range(64)]
GRAPH = KnowledgeGraph.of(
    [(name, "is a", KINDS[i % 4]) for i, name in enumerate(NAMES)]
    + [(kind, "in", "repeats") for kind in KINDS]
)
QUESTIONS = [
    Question(f"What is {name}?", KINDS[i % 4], "test" if i >= 48 else "train") for i, name in enumerate(NAMES)
]
SMALL = {
    "encoder": {"encoder": "hybonet", "hidden_size": 16, "num_layers": 1, "activation": "none"},
    "text_steps": 0,
}

PEFT = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def llama(tokenizer):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )
    )  # fmt: skip


def hyena(tokenizer):
    return HyenaForCausalLM(
        HyenaConfig(
            vocab_size=len(tokenizer), d_model=32, n_layer=2, d_inner=64, max_seq_len=64, emb_dim=5, embed_dropout=0.0
        )
    )  # fmt: skip


LANGUAGE_MODELS = {
    "gpt2": lambda tokenizer: small_language_model(tokenizer, 32),
    "llama": llama,
    "hyena": hyena,
}


@pytest.fixture
def small_model(monkeypatch):
    """GraphRAG over GRAPH with a language model 32 wide."""

    def build(kind: str = "gpt2", **settings):
        def made(name, graph, questions, folder):
            tokenizer = train_tokenizer([q.text + q.answer for q in QUESTIONS], 300)
            return LANGUAGE_MODELS[kind](tokenizer), tokenizer

        monkeypatch.setattr("crocuta.retrieval.run._language_model", made)
        return build_rag(RagSettings(**{**SMALL, **settings}), GRAPH, QUESTIONS)

    return build


def train(model, epochs: int = 40, learning_rate: float = 0.01):
    recipe = RagRecipe(epochs=epochs, batch_size=24, learning_rate=learning_rate)
    losses = fit_rag(model, part(QUESTIONS, "train"), recipe)
    return losses, sum(exact_match(model, part(QUESTIONS, "test"), max_new_tokens=4)) / 16


def test_retrieval_tells_what_the_language_model_cannot_know(small_model):
    _, without = train(small_model(prompt="none"))
    losses, found = train(small_model())
    assert losses[-1] < 0.1 < losses[0]
    assert found >= 0.9
    assert without < 0.6


def test_answers_that_say_nothing_are_not_learnt(small_model):
    """The same training with answers dealt at random: what is read from the graph is no longer the answer."""
    answers = [KINDS[i * 5 % 7 % 4] for i in range(len(QUESTIONS))]
    shuffled = [q._replace(answer=answer) for q, answer in zip(QUESTIONS, answers, strict=True)]
    model = small_model()
    fit_rag(model, part(shuffled, "train"), RagRecipe(epochs=20, batch_size=24, learning_rate=0.01))
    assert sum(exact_match(model, part(QUESTIONS, "test"), max_new_tokens=4)) / 16 < 0.6


@pytest.mark.parametrize(
    ("kind", "epochs", "learning_rate", "share"), [("llama", 30, 0.01, 0.9), ("hyena", 70, 0.004, 0.6)]
)
def test_any_causal_language_model(small_model, kind, epochs, learning_rate, share):
    _, found = train(small_model(kind), epochs, learning_rate)
    assert found >= share  # 0.25 by chance; the small HyenaDNA learns slowly


def test_training_resumes_to_the_same_weights(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.retrieval.training.Course", partial(Course, checkpoint_seconds=0))
    questions, recipe = part(QUESTIONS, "train")[:20], RagRecipe(epochs=3, batch_size=8)
    whole = small_model()
    losses = fit_rag(whole, questions, recipe)

    def stop():
        if (tmp_path / "checkpoint").exists() and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt

    stopped, model = [], small_model()
    with pytest.raises(KeyboardInterrupt):
        fit_rag(model, questions, recipe, folder=tmp_path, keep=stop)
    again = small_model()
    assert fit_rag(again, questions, recipe, folder=tmp_path) == losses[1:]
    for name, value in again.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


@pytest.mark.parametrize("prompt", ["graph", "text", "both"])
@pytest.mark.parametrize("encoder", ["gcn", "hgcn", "gil"])
def test_every_prompt_has_gradients(small_model, prompt, encoder):
    model = small_model(prompt=prompt, encoder={"encoder": encoder, "hidden_size": 8})
    loss = model([q.text for q in QUESTIONS[:3]], [q.answer for q in QUESTIONS[:3]])
    loss.backward()
    assert torch.isfinite(loss)
    # GIL's vectors of the last layer are not read
    missing = [name for name, p in model.named_parameters() if p.grad is None and "gil" not in encoder]
    assert not missing


@PEFT
@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_what_of_the_language_model_is_trained(small_model, adapt, tmp_path):
    model = small_model(adapt=adapt)
    before = copy.deepcopy(model.language_model.state_dict())
    losses, _ = train(model, epochs=3)
    changed = {key for key, x in model.language_model.state_dict().items() if not torch.equal(x, before[key])}
    assert all("lora" in key for key in changed)
    assert bool(changed) == (adapt == "lora")
    assert losses[-1] < losses[0]


@PEFT
def test_saved_and_loaded(small_model, tmp_path, monkeypatch):
    settings = RagSettings(**SMALL, adapt="lora")
    model = small_model(adapt="lora")
    train(model, epochs=2)
    save_rag(model, settings, tmp_path)
    monkeypatch.undo()
    loaded = load_rag(tmp_path)
    texts, answers = [q.text for q in QUESTIONS[:5]], [q.answer for q in QUESTIONS[:5]]
    with torch.no_grad():
        assert loaded(texts, answers).item() == pytest.approx(model(texts, answers).item(), rel=1e-4)
    assert loaded.generate(texts, max_new_tokens=3) == model.generate(texts, max_new_tokens=3)
    (tmp_path / "models" / "retrieval.safetensors").unlink()
    with pytest.raises(InputError, match=r"retrieval\.safetensors"):
        load_rag(tmp_path)


def test_padding_changes_nothing(small_model):
    """The loss of questions of different lengths is the mean of theirs alone, over tokens."""
    model = small_model().eval()
    texts, answers = ["What is E000?", "Please tell me what E922 may be, if you know it?"], ["SINE", "SINE"]
    with torch.no_grad():
        apart = [model([text], [answer]).item() for text, answer in zip(texts, answers, strict=True)]
        assert model(texts, answers).item() == pytest.approx(sum(apart) / 2, rel=1e-5)
        assert model.generate(texts) == [model.generate(text)[0] for text in texts]


@pytest.mark.parametrize("manifold", [Lorentz(), Lorentz(0.3), Euclidean()])
def test_entities_are_found_by_the_words_of_a_question(manifold):
    torch.manual_seed(0)
    texts = TextEncoder(manifold, rarities(GRAPH, [q.text for q in QUESTIONS[:48]]), 64)
    retriever = Retriever(GRAPH, texts, Retrieval(seeds=2))
    before = retriever.encoder.weight.clone()
    losses = retriever.fit(steps=40)
    assert sum(losses[-5:]) < sum(losses[:5])
    assert not torch.equal(before, retriever.encoder.weight)
    single = retriever.seeds([f"Tell me of {name}, please?" for name in NAMES])
    assert [seeds.entities for seeds in single] == [(GRAPH.place[name],) for name in NAMES]
    pairs = retriever.seeds([f"Do {a} and {b} match?" for a, b in zip(NAMES[:32], NAMES[32:], strict=True)])
    wanted = [{GRAPH.place[a], GRAPH.place[b]} for a, b in zip(NAMES[:32], NAMES[32:], strict=True)]
    assert sum(set(seeds.entities) == pair for seeds, pair in zip(pairs, wanted, strict=True)) >= 29


def test_prizes_find_the_subgraph_too():
    retriever = Retriever(GRAPH, settings=Retrieval(method="prizes"))
    found = retriever.retrieve(["What is E000?"])[0]
    assert {GRAPH.entities[i] for i in found.entities} == {"E000", "SINE", "repeats"}


def test_what_does_not_fit_is_refused():
    tokenizer = train_tokenizer(["a b"], 260)
    model = small_language_model(tokenizer, 8, heads=2)
    with pytest.raises(ValueError, match="a retriever and a prompt, or neither"):
        GraphRAG(model, tokenizer, Retriever(GRAPH))
    with pytest.raises(ValueError, match="adapt must be one of full, lora, frozen"):
        GraphRAG(model, tokenizer, adapt="half")
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end-of-sequence token"):
        GraphRAG(model, tokenizer)
    with pytest.raises(InputError, match="no questions to train on"):
        fit_rag(model, [], RagRecipe())
