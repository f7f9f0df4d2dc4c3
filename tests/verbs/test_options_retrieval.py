"""Each option of `words` and `rag` reaches what does the work."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("default")

TRAIN, COST = "crocuta.words.run.train_words", "crocuta.words.run.estimate_run"
WORDS = {
    "--output": ("out", TRAIN, lambda got: got.output == Path("out")),
    "--members": ("3", TRAIN, lambda got: got.recipe.members == 3),
    "--epochs": ("7", TRAIN, lambda got: got.recipe.epochs == 7),
    "--hyena": ("9", TRAIN, lambda got: got.recipe.hyena_kmers == 9),
    "--flat": ("", TRAIN, lambda got: got.recipe.flat),
    "--min-groups": ("8", TRAIN, lambda got: got.least_groups == 8),
    "--batch-size": ("17", TRAIN, lambda got: got.recipe.batch_size == 17),
    "--learning-rate": ("0.5", TRAIN, lambda got: got.recipe.learning_rate == 0.5),
    "--seed": ("6", TRAIN, lambda got: got.recipe.seed == 6),
    "--resume": ("", TRAIN, lambda got: got.resume),
    "--dry-run": ("--device cpu", COST, lambda got: got.device == "cpu"),
    "--device": ("cuda:3", TRAIN, lambda got: got.device == "cuda:3"),
}
LOADED, NAMES = "crocuta.words.run.load_words", "crocuta.words.run.name_sequences"
NAME = {
    "--output": ("o.tsv", "crocuta.words.run.write_names", lambda got: got.path == Path("o.tsv")),
    "-k": ("5", NAMES, lambda got: got.k == 5),
    "--overwrite": ("", LOADED, lambda got: True),
    "--device": ("cuda:3", LOADED, lambda got: got.device == "cuda:3"),
}
FIND = {
    "-k": ("5", "crocuta.words.run.find_sequences", lambda got: got.k == 5),
    "--device": ("cuda:3", LOADED, lambda got: got.device == "cuda:3"),
}
FIT = "crocuta.retrieval.train_rag"
RAG = {
    "--output": ("out", FIT, lambda got: got.output == Path("out")),
    "--texts": ("t.tsv", FIT, lambda got: got.texts == Path("t.tsv")),
    "--language-model": ("lm", FIT, lambda got: got.settings.language_model == "lm"),
    "--adapt": ("frozen", FIT, lambda got: got.settings.adapt == "frozen"),
    "--context": ("text", FIT, lambda got: got.settings.prompt == "text"),
    "--encoder": ("gcn", FIT, lambda got: got.settings.encoder["encoder"] == "gcn"),
    "--dim": ("7", FIT, lambda got: got.settings.encoder["hidden_size"] == 7),
    "--layers": ("3", FIT, lambda got: got.settings.encoder["num_layers"] == 3),
    "--tokens": ("5", FIT, lambda got: got.settings.tokens == 5),
    "--method": ("prizes", FIT, lambda got: got.settings.retrieval.method == "prizes"),
    "--entities": ("4", FIT, lambda got: got.settings.retrieval.seeds == 4),
    "--hops": ("1", FIT, lambda got: got.settings.retrieval.hops == 1),
    "--direction": ("both", FIT, lambda got: got.settings.retrieval.direction == "both"),
    "--epochs": ("9", FIT, lambda got: got.settings.recipe.epochs == 9),
    "--batch-size": ("3", FIT, lambda got: got.settings.recipe.batch_size == 3),
    "--learning-rate": ("0.5", FIT, lambda got: got.settings.recipe.learning_rate == 0.5),
    "--seed": ("6", FIT, lambda got: got.settings.seed == got.settings.recipe.seed == 6),
    "--resume": ("", FIT, lambda got: got.resume),
    "--dry-run": ("--device cpu", "crocuta.retrieval.estimate_rag", lambda got: got.device == "cpu"),
    "--device": ("cuda:3", FIT, lambda got: got.device == "cuda:3"),
}
ASK = {
    "--facts": ("", "crocuta.retrieval.load_rag", lambda got: True),
    "--device": ("cuda:3", "crocuta.retrieval.load_rag", lambda got: got.device == "cuda:3"),
}
VERBS = {
    "words train": ("fly=a.fa", WORDS),
    "words name": ("run a.fa", NAME),
    "words find": ("run query a.fa", FIND),
    "rag train": ("triples.tsv questions.tsv", RAG),
    "rag ask": ("run What?", ASK),
}


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, (_, table) in VERBS.items() for option in table]
)
def test_its_value_arrives(arrives, tmp_path, monkeypatch, verb, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    arguments, table = VERBS[verb]
    value, patched, check = table[option]
    if verb in ("words name", "words find"):
        stand_in = type("", (), {"words": type("", (), {"captions": []})})
        monkeypatch.setattr("crocuta.words.run.unknown_words", lambda *found: [])
        if patched != LOADED:
            monkeypatch.setattr(LOADED, lambda *given, **options: stand_in)
        if "write_names" in patched:
            monkeypatch.setattr(NAMES, lambda *given, **options: (None, None))
        if option == "--overwrite":
            (tmp_path / "names.tsv").write_text("")
    arrives([*verb.split(), *arguments.split()], patched, [option, *value.split()], check)


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_is_forgotten(options_of, verb):
    assert options_of(*verb.split()) == set(VERBS[verb][1])
