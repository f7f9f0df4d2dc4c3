"""Embeddings written in shards: whole, resumable, the same from one process and from several."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from crocuta.embedding.pieces import PieceSource
from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global anndata, HyenaConfig, HyenaForCausalLM, module, batches, count_shards, embed, embed_with
    global write_shards, estimate_embedding, Embedder, weights_of
    import anndata

    from crocuta.embedding import shards as module
    from crocuta.embedding.cost import estimate_embedding
    from crocuta.embedding.features import Embedder
    from crocuta.embedding.shards import batches, count_shards, embed, embed_with, write_shards
    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.runs.load import weights_of


REQUEST = {"model": "m", "pool": "mean"}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return HyenaForCausalLM(HyenaConfig(d_model=8, n_layer=1, filter_order=8, max_seq_len=66))


@pytest.fixture(scope="module")
def embedder(model):
    return Embedder(model)


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    rows = [
        f"s{i % 18},{''.join(generator.choice(list('ACGTN'), generator.integers(5, 60)))},{'ab'[i % 2]}"
        for i in range(20)
    ]
    path = tmp_path / "s.csv"
    path.write_text("name,sequence,label\n" + "\n".join(rows) + "\n")
    return PieceSource(str(path))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD_SEQUENCES", 6)


def test_the_file_says_what_it_holds(embedder, table, tmp_path):
    output = tmp_path / "e.h5ad"
    embed(embedder, table.pieces(), output, REQUEST)
    found = anndata.read_h5ad(output)
    pieces = list(table.pieces())
    assert found.shape == (20, 8)
    assert found.X.dtype == np.float32
    assert found.obs["label"].tolist() == [piece.columns["label"] for piece in pieces]
    assert found.obs["length"].tolist() == [piece.length for piece in pieces]
    assert found.obs["unknown_letters"].tolist() == [int((p.ids() == 11).sum()) for p in pieces]
    assert found.obs_names[:2].tolist() == ["s0", "s1"]
    assert found.obs_names[18:].tolist() == ["s0-1", "s1-1"]
    expected = np.concatenate([embedder([piece.ids()])[0] for piece in pieces])
    np.testing.assert_allclose(found.X, expected, atol=1e-5)
    about = {key: found.uns[key] for key in ("model", "layer", "pooling", "manifold", "curvature")}
    assert about == {
        "model": "m",
        "layer": "-1",
        "pooling": "mean",
        "manifold": "euclidean",
        "curvature": 0.0,
    }
    assert not list(tmp_path.glob("*.parts"))
    with pytest.raises(InputError, match="exists already"):
        embed(embedder, table.pieces(), output, REQUEST)
    before = output.stat()
    embed(embedder, table.pieces(), output, REQUEST, resume=True)
    assert output.stat() == before


def test_an_interrupted_call_goes_on(embedder, table, tmp_path):
    output = tmp_path / "e.h5ad"

    class Stop(Exception):
        pass

    def interrupted():
        for i, piece in enumerate(table.pieces()):
            if i == 14:
                raise Stop
            yield piece

    with pytest.raises(Stop):
        embed(embedder, interrupted(), output, REQUEST)
    assert count_shards(tmp_path / "e.h5ad.parts") == 2
    assert not output.exists()
    with pytest.raises(InputError, match="unfinished run already; go on with it by `resume`"):
        embed(embedder, table.pieces(), output, REQUEST)

    calls = []

    class Counting(Embedder):
        def __call__(self, ids):
            calls.extend(ids)
            return super().__call__(ids)

    counting = Counting(embedder.model)
    calls.clear()
    embed(counting, table.pieces(), output, REQUEST, resume=True)
    assert len(calls) == 8  # 20 less two shards of 6
    whole = tmp_path / "whole.h5ad"
    embed(embedder, table.pieces(), whole, REQUEST)
    np.testing.assert_array_equal(anndata.read_h5ad(output).X, anndata.read_h5ad(whole).X)


def test_processes_share_the_shards(embedder, table, tmp_path):
    alone, shared = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    embed(embedder, table.pieces(), alone, REQUEST)

    def work(folder, rank, world, done=lambda count: None):
        made = write_shards(embedder, table.pieces(), folder, rank=rank, world=world, done=done)
        assert len(list(folder.glob("*.h5ad"))) >= 2
        return made

    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(embed_with, work, shared, REQUEST, rank=i, world=2) for i in (1, 0)]
        for future in futures:
            future.result(timeout=600)
    a, b = anndata.read_h5ad(alone), anndata.read_h5ad(shared)
    np.testing.assert_array_equal(a.X, b.X)
    assert a.obs.equals(b.obs)
    embed_with(work, shared, REQUEST, rank=1, world=2)  # one that comes late


def test_the_first_process_makes_what_another_left_out(embedder, table, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    output = tmp_path / "e.h5ad"
    embed_with(
        lambda folder, rank, world, done=lambda count: None: write_shards(
            embedder, table.pieces(), folder, rank=rank, world=world, done=done
        ),
        output, REQUEST, rank=0, world=2,
    )  # fmt: skip
    assert anndata.read_h5ad(output).n_obs == 20


def test_others_wait_for_the_first_alone(embedder, table, tmp_path, monkeypatch):
    monkeypatch.setattr("crocuta.runs.processes.PATIENCE", 0.3)
    with pytest.raises(InputError, match="the first process does not write there"):
        embed_with(lambda *arguments: None, tmp_path / "e.h5ad", REQUEST, rank=1, world=2)
    assert list(tmp_path.iterdir()) == [tmp_path / "s.csv"]


def test_nucleotides_as_rows(model, table, tmp_path):
    output = tmp_path / "e.h5ad"
    embedder = Embedder(model, pool="none")
    embed(embedder, table.pieces(), output, REQUEST)
    found = anndata.read_h5ad(output)
    first = next(table.pieces())
    assert found.n_obs == sum(piece.length for piece in table.pieces())
    assert found.obs["position"][: first.length].tolist() == list(range(first.length))
    assert found.obs_names[1] == "s0:1"
    np.testing.assert_allclose(found.X[: first.length], embedder([first.ids()])[0], atol=1e-5)


def test_another_request_is_refused(embedder, table, tmp_path):
    output = tmp_path / "e.h5ad"
    inputs = {"sequences": table.path}
    embed(embedder, table.pieces(), output, REQUEST, inputs=inputs)
    with pytest.raises(
        InputError, match=r"e.h5ad: cannot go on: it began with pool = \"mean\", now it is \"max\""
    ):
        embed(embedder, table.pieces(), output, REQUEST | {"pool": "max"}, inputs=inputs, resume=True)
    with pytest.raises(InputError, match=r"began with truncate = false, now it is true"):
        embed(embedder, table.pieces(), output, REQUEST, inputs=inputs, truncate=True, resume=True)
    with open(table.path, "a") as file:
        file.write("more,ACGT,a\n")
    with pytest.raises(InputError, match=r"s.csv \(sequences\) has changed"):
        embed(embedder, table.pieces(), output, REQUEST, inputs=inputs, resume=True)


def test_a_model_is_known_by_its_content_and_not_by_its_name(embedder, table, tmp_path):
    output, model = tmp_path / "e.h5ad", tmp_path / "model"
    embedder.model.save_pretrained(model)
    embed(embedder, table.pieces(), output, {"model": str(model)}, inputs={"model": model})
    moved = model.rename(tmp_path / "moved")
    embed(embedder, table.pieces(), output, {"model": str(moved)}, inputs={"model": moved}, resume=True)
    (moved / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="began with model = "):
        embed(embedder, table.pieces(), output, {"model": str(moved)}, inputs={"model": moved}, resume=True)


def test_too_long_says_by_how_much_and_what_to_do(embedder, tmp_path):
    path = tmp_path / "s.fa"
    path.write_text(">short\nACGT\n>long\n" + "ACGTA" * 20 + "\n")
    source, output = PieceSource(str(path)), tmp_path / "e.h5ad"
    with pytest.raises(
        InputError, match=r"long has 100 nucleotides, 35 more than .* \(65\): .*`window` 65.*`truncate`"
    ):
        embed(embedder, source.pieces(), output, REQUEST)
    with pytest.raises(InputError, match="35 more"):
        estimate_embedding(embedder, source.pieces())
    embed(embedder, source.pieces(), output, REQUEST, truncate=True)
    found = anndata.read_h5ad(output)
    assert found.obs["truncated"].tolist() == [False, True]
    assert found.obs["length"].tolist() == [4, 100]


def test_batches_hold_all_once_and_are_bounded():
    lengths = np.random.default_rng(0).integers(1, 40_000, 500).tolist()
    made = list(batches(lengths, None))
    assert sorted(i for batch in made for i in batch) == list(range(500))
    assert max(len(batch) for batch in made) <= 128
    assert max(len(b) * max(lengths[i] for i in b) for b in made if len(b) > 1) <= 2 * (1 << 16)
    assert {len(batch) for batch in batches(lengths, 50)} == {50}


def test_the_estimate_counts_what_is_there(embedder, table):
    cost = estimate_embedding(embedder, table.pieces())
    lengths = [piece.length for piece in table.pieces()]
    assert (cost.sequences, cost.nucleotides, cost.longest) == (20, sum(lengths), max(lengths))
    assert cost.file_mb == pytest.approx(20 * 8 * 4 / 2**20)
    assert cost.cost.seconds > 0
    assert cost.cost.memory_mb > 0


def test_request_survives_as_json(embedder, table, tmp_path):
    output = tmp_path / "e.h5ad"
    embed(embedder, table.pieces(), output, REQUEST)
    found = json.loads(anndata.read_h5ad(output).uns["request"])
    assert found == {"layer": -1, "truncate": False, **REQUEST, "inputs": {}}


class Dies:
    """Work that ends the worker that takes it up, as a system short of memory does."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.distributed
def test_a_worker_that_is_killed_is_an_error_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"ended from outside.*give fewer `jobs`"):
        embed_with(Dies(), tmp_path / "e.h5ad", REQUEST, jobs=2)
    assert list(tmp_path.iterdir()) == []


def test_of_a_run_the_models_alone_are_compared(tmp_path):
    (tmp_path / "run" / "models").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    assert weights_of(tmp_path / "run") == [tmp_path / "run" / "models"]
    assert weights_of(tmp_path / "model") == [tmp_path / "model"]
    with pytest.raises(InputError, match="nowhere: neither a folder nor a released model"):
        weights_of("nowhere")


def test_a_released_model_is_known_by_its_files_in_the_cache(tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).touch()
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda hub, name: str(tmp_path / name))
    assert [path.name for path in weights_of("hyenadna-tiny")] == ["config.json", "model.safetensors"]
