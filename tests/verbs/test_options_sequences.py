"""Each option of `pretrain`, `generate`, `embed`, `windows`, `map` and `probe` reaches what does the work."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two genomes, a BED file, prompts, a causal model, and embeddings."""
    import anndata
    import pandas
    import torch

    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM

    folder = tmp_path_factory.mktemp("place")
    nucleotides = np.random.default_rng(0).choice(list("ACGT"), 3000)
    for name in ("g.fa", "h.fa"):
        contigs = [f">c{i}\n{''.join(nucleotides[i * 1000 : (i + 1) * 1000])}\n" for i in range(3)]
        (folder / name).write_text("".join(contigs))
    (folder / "g.bed").write_text("c0\t0\t900\ttrain\nc1\t0\t500\tvalid\n")
    (folder / "g.gtf").write_text('c0\ts\tgene\t1\t30\t.\t+\t.\tgene_id "a"; gene_biotype "b";\n')
    (folder / "p.fa").write_text(">p\nACGT\n")
    torch.manual_seed(0)
    config = HyenaConfig(d_model=8, n_layer=1, filter_order=8, max_seq_len=66)
    HyenaForCausalLM(config).save_pretrained(folder / "model")
    obs = pandas.DataFrame({"label": list("ab") * 10}, index=[str(i) for i in range(20)])
    anndata.AnnData(np.random.default_rng(0).normal(size=(20, 3)), obs).write_h5ad(folder / "e.h5ad")
    (folder / "there").write_text("")
    return folder


RUN = "crocuta.pretraining.run.run_pretraining"
PRETRAIN = {
    "--bed": ("g.bed", RUN, lambda r: r.parts["train"].lengths.sum() == 900 and r.inputs["bed"] == Path("g.bed")),
    "--test-contig": ("c0", RUN, lambda r: set(r.parts["test"].contig) == {"c0"}),
    "--valid-contig": ("c2", RUN, lambda r: set(r.parts["valid"].contig) == {"c2"}),
    "--size": ("tiny-1k-d256", RUN, lambda r: r.model.d_model == 256),
    "--model": ("model", RUN, lambda r: r.model == Path("model") and r.recipe.length == 64),
    "--output": ("out", RUN, lambda r: r.output == Path("out")),
    "--length": ("33", RUN, lambda r: r.recipe.length == 33 and r.model.max_seq_len == 35),
    "--warm-up": ("8,16", RUN, lambda r: r.recipe.warm_up == (8, 16)),
    "--warm-up-share": ("0.5", RUN, lambda r: r.recipe.warm_up_share == 0.5),
    "--keep": ("batch", RUN, lambda r: r.recipe.keep == "batch"),
    "--epochs": ("50", RUN, lambda r: r.recipe.steps * r.recipe.tokens_per_step == pytest.approx(1e5, rel=0.05)),
    "--steps": ("7", RUN, lambda r: r.recipe.steps == 7),
    "--tokens-per-step": ("4096", RUN, lambda r: r.recipe.tokens_per_step == 4096),
    "--tokens-at-once": ("999", RUN, lambda r: r.recipe.tokens_at_once == 999),
    "--learning-rate": ("0.5", RUN, lambda r: r.recipe.learning_rate == 0.5),
    "--filter-learning-rate": ("0.25", RUN, lambda r: r.recipe.filter_learning_rate == 0.25),
    "--weight-decay": ("0.3", RUN, lambda r: r.recipe.weight_decay == 0.3),
    "--initial-spread": ("0.4", RUN, lambda r: r.model.initializer_range == 0.4),
    "--dropout": ("0.6", RUN, lambda r: r.model.embed_dropout == 0.6),
    "--no-both-strands": ("", RUN, lambda r: r.recipe.both_strands is False),
    "--precision": ("bfloat16", RUN, lambda r: r.recipe.precision == "bfloat16"),
    "--markov-order": ("3", RUN, lambda r: r.markov_order == 3),
    "--checkpoint-minutes": ("2", RUN, lambda r: r.recipe.checkpoint_seconds == 120),
    "--seed": ("7", RUN, lambda r: r.recipe.seed == 7),
    "--cache": ("cache", RUN, lambda r: list(Path("cache").iterdir())),
    "--device": ("cpu", RUN, lambda r: r.recipe.device == "cpu"),
    "--resume": ("", RUN, lambda r: r.options["resume"] is True),
    "--dry-run": ("", "crocuta.pretraining.run.cost", lambda r: True),
}  # fmt: skip

MAKE = "crocuta.embedding.shards.embed_with"
EMBED = {
    "--model": ("kmer-3", MAKE, lambda r: r.request["model"] == "kmer-3"),
    "--output": ("x.h5ad", MAKE, lambda r: r.output == Path("x.h5ad")),
    "--bed": ("g.bed", MAKE, lambda r: r.inputs["bed"] == "g.bed" and r.work.args[0].bed == "g.bed"),
    "--genes": ("g.gtf", MAKE, lambda r: r.inputs["genes"] == "g.gtf" and r.work.args[0].genes == "g.gtf"),
    "--window": ("9", MAKE, lambda r: r.request["window"] == r.work.args[0].window == 9),
    "--step": ("5 --window 9", MAKE, lambda r: r.request["step"] == r.work.args[0].step == 5),
    "--layer": ("1", MAKE, lambda r: r.request["layer"] == 1),
    "--pool": ("max", MAKE, lambda r: r.request["pool"] == "max"),
    "--batch-size": ("3", MAKE, lambda r: r.work.args[3]["batch_size"] == 3),
    "--truncate": ("", MAKE, lambda r: r.request["truncate"] and r.work.args[3]["truncate"]),
    "--jobs": ("3", MAKE, lambda r: r.jobs == 3),
    "--device": ("cpu", MAKE, lambda r: r.work.args[2] == "cpu"),
    "--resume": ("", MAKE, lambda r: r.resume is True),
    "--dry-run": ("", "crocuta.embedding.cost.estimate_embedding", lambda r: True),
}

WRITE = "crocuta.pretraining.generation.write_continuations"
GENERATE = {
    "--prompt": ("GGG", WRITE, lambda r: [p.sequence for p in r.prompts] == ["GGG"]),
    "--prompt-file": ("p.fa", WRITE, lambda r: [p.name for p in r.prompts] == ["p"]),
    "--length": ("9", WRITE, lambda r: r.length == 9),
    "--continuations": ("3", WRITE, lambda r: r.samples == 3),
    "--temperature": ("0.5", WRITE, lambda r: r.temperature == 0.5),
    "--top-k": ("2", WRITE, lambda r: r.top_k == 2),
    "--nucleotides": ("AC", WRITE, lambda r: r.nucleotides == "AC"),
    "--with-prompt": ("", WRITE, lambda r: r.with_prompt is True),
    "--seed": ("7", WRITE, lambda r: r.seed == 7),
    "--output": ("x.fa", WRITE, lambda r: r.output == Path("x.fa")),
    "--overwrite": ("-o there", WRITE, lambda r: r.output == Path("there")),
    "--device": ("cpu", "crocuta.runs.device.choose_device", lambda r: r.name == "cpu"),
    "--dry-run": ("--length 9", "crocuta.pretraining.generation_cost.estimate_generation", lambda r: True),
}

SAMPLER, TABLE = "crocuta.data.sampling.Sampler", "crocuta.data.sampling.write_windows"
WINDOWS = {
    "--output": ("x.csv", TABLE, lambda r: r.output == Path("x.csv.parts/x.csv")),
    "--length": ("9", TABLE, lambda r: r.length == 9),
    "--count": ("20", TABLE, lambda r: sum(r.counts.values()) == 20),
    "--valid-contig": ("c1", SAMPLER, lambda r: r.hold_out["valid"] == ["c1"]),
    "--test-contig": ("c2", SAMPLER, lambda r: r.hold_out["test"] == ["c2"]),
    "--fold": ("1", SAMPLER, lambda r: r.fold == 1),
    "--no-both-strands": ("", SAMPLER, lambda r: r.both_strands is False),
    "--largest-n-share": ("0.5", SAMPLER, lambda r: r.largest_n_share == 0.5),
    "--seed": ("7", TABLE, lambda r: r.seed == 7),
    "--resume": ("", "crocuta.runs.claim.claim", lambda r: r.resume is True),
}

DRAWN, MADE = "crocuta.report.maps.write_map", "crocuta.analysis.maps.make_map"
MAP = {
    "--output": ("x.svg", DRAWN, lambda r: r.output == Path("x.svg")),
    "--colour": ("label", DRAWN, lambda r: r.colour_by == "label"),
    "--method": ("pca", MADE, lambda r: r.method == "pca"),
    "--points": ("5", "crocuta.analysis.embeddings.read_embeddings", lambda r: r.most == 5),
    "--seed": ("7", MADE, lambda r: r.seed == 7),
    "--overwrite": ("", "crocuta.embedding.verb_map.check_file", lambda r: r.overwrite is True),
}

FIT = "crocuta.embedding.probe.probe"
PROBE = {
    "--label": ("label", FIT, lambda r: r.label == "label"),
    "--group": ("contig", FIT, lambda r: r.group == "contig"),
    "--folds": ("3", FIT, lambda r: r.folds == 3),
    "--min-rows": ("4", FIT, lambda r: r.least == 4),
    "--output": ("x.json", "crocuta.embedding.verb_probe.write_json", lambda r: r.path == Path("x.json")),
    "--seed": ("7", FIT, lambda r: r.seed == 7),
    "--overwrite": ("-o x.json", "crocuta.embedding.verb_probe.check_file", lambda r: r.overwrite is True),
}
VERBS = {
    "pretrain": ("pretrain g.fa", PRETRAIN),
    "embed": ("embed g.fa -m model", EMBED),
    "generate": ("generate model", GENERATE),
    "windows": ("windows g.fa h.fa -o w.csv --count 10 --length 9", WINDOWS),
    "map": ("map e.h5ad", MAP),
    "probe": ("probe e.h5ad --label label --folds 3", PROBE),
}


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, (_, table) in VERBS.items() for option in table]
)
def test_its_value_arrives(arrives, place, monkeypatch, verb, option):
    monkeypatch.chdir(place)
    command, table = VERBS[verb]
    value, patched, check = table[option]
    more = ""
    if verb == "pretrain" and option not in ("--bed", "--valid-contig"):
        more = "--valid-contig c1"
    if verb == "generate" and option not in ("--prompt", "--prompt-file"):
        more = "-p ACGT"
    arrives([*command.split(), *more.split()], patched, [option, *value.split()], check)


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_is_forgotten(options_of, verb):
    known = {option.replace("--no-both", "--both") for option in VERBS[verb][1]}
    assert {option.replace("--color", "--colour") for option in options_of(verb)} == known
