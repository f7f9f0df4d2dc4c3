"""The law of outputs, over every command that has one: a new command cannot be forgotten.

A row of `VERBS` says how to run a command in a second or two, on which input it depends, and one setting that changes
what comes out. Each runs once; what follows works on copies of its output.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.runs._lock import Lock
from crocuta.runs.claim import Claim
from crocuta.runs.manifest import VOLATILE

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("few_test_windows")]


@dataclass(frozen=True)
class Verb:
    """A command that fills a folder (`file` empty) or makes a file of that name."""

    command: str
    changes: str  # the input whose content is changed under the same name
    setting: str  # options that change what comes out
    file: str = ""
    resumes: bool = True  # a longer work with --resume; others write one file at once, with --overwrite
    makes_input: str = ""  # a row whose output this one reads


SMALL = "--window 16 --dim 16 --layers 1 --steps 4 --pretrain-steps 2 --tokens-per-step 256"
VERBS = {
    "train": Verb("train data.csv -m length --seeds 1", "data.csv", "--metric accuracy"),
    "demo": Verb("demo", "", ""),
    "evaluate": Verb("evaluate RUN data.csv", "data.csv", "", makes_input="train"),
    "bench": Verb("bench -t data.csv -m length --no-baselines --seeds 1", "data.csv", "--metric accuracy"),
    "pretrain": Verb(
        "pretrain genome.fa --test-contig chr1 --valid-contig chr2 --length 32 --steps 6 --tokens-per-step 256"
        " --markov-order 1", "genome.fa", "--seed 7"),
    "embed": Verb("embed data.csv -m kmer-2", "data.csv", "-m kmer-3", file="emb.h5ad"),
    "windows": Verb("windows a=genome.fa b=other.fa --count 10 --length 20", "genome.fa", "--seed 7",
                    file="windows.csv"),
    "generate": Verb("generate RUN/model -p ACGT --length 9", "", "", file="new.fa", resumes=False,
                     makes_input="pretrain"),
    "map": Verb("map RUN", "", "", file="map.svg", resumes=False, makes_input="embed"),
    "probe": Verb("probe RUN --label label", "", "", file="probe.json", resumes=False, makes_input="embed"),
    "predict": Verb("predict RUN data.csv", "", "", file="predictions.tsv", resumes=False, makes_input="train"),
    "tree check": Verb("tree check tree.nwk", "", "", file="check.json", resumes=False),
    "tree delta": Verb("tree delta tree.nwk --nulls 5", "", "", file="delta", resumes=False),
    "tree simulate": Verb("tree simulate --sequences 40", "", "--seed 7"),
    "ancestry simulate": Verb("ancestry simulate --length 2e5 --individuals 4 4 4 --admixed 2", "", "--seed 7"),
    "ancestry build": Verb("ancestry build cohort.vcf --samples samples.tsv", "samples.tsv", "--maf 0.1",
                           file="cohort.h5"),
    "ancestry train": Verb(f"ancestry train RUN --by population {SMALL}", "RUN", "--seed 7",
                           makes_input="ancestry build"),
    "ancestry train --scope local": Verb("ancestry train RUN --scope local --by population --maf 0", "RUN",
                                        "--seed 7", makes_input="ancestry build"),
    "ancestry infer": Verb("ancestry infer cohort.vcf -m RUN", "cohort.vcf", "--window 8",
                           makes_input="ancestry train --scope local"),
    "lab graph train": Verb("lab graph train edges.tsv --epochs 10 --seeds 1 --dim 4", "edges.tsv", "--dim 5"),
    "lab graph predict": Verb("lab graph predict RUN pairs.txt --data edges.tsv", "", "", file="links.tsv",
                              resumes=False,
                          makes_input="lab graph train"),
    "lab image predict": Verb("lab image predict RUN a-images-idx3-ubyte", "", "", file="classes.tsv", resumes=False,
                          makes_input="lab image train"),
    "lab image evaluate": Verb("lab image evaluate RUN a-images-idx3-ubyte", "", "", file="scores.json", resumes=False,
                           makes_input="lab image train"),
    "lab image train": Verb("lab image train a-images-idx3-ubyte --epochs 1 --dim 8 --layers 1 --heads 1 --seeds 1",
                        "a-images-idx3-ubyte", "--dim 4"),
    "rag train": Verb("rag train triples.tsv questions.tsv --dim 8 --epochs 1", "questions.tsv", "--dim 4"),
    "words train": Verb("words train described.csv --members 1 --epochs 1 --min-groups 2", "described.csv",
                        "--seed 7"),
    "words name": Verb("words name RUN described.csv", "", "", file="names.tsv", resumes=False,
                       makes_input="words train"),
}  # fmt: skip
#: Commands with an output that no row of its own can hold, and why.
EXEMPT = {
    "report": "writes a page into the run that it describes",
    "demo": "the table's `train` on bundled data, with six trainings",
    "ancestry paint": "draws beside what `ancestry infer` wrote",
    "ancestry figures": "draws beside what `ancestry train` wrote",
}
PAGES = (".html", ".log", ".png", ".svg", ".md")  # hold times; their numbers are in the other files
ROWS = {name: verb for name, verb in VERBS.items() if name not in EXEMPT}
RESUMED = [name for name, verb in ROWS.items() if verb.resumes]


def commands(group=None, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with the names of its parameters; former names left out."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield path + name, {parameter.name for parameter in command.params}


def test_no_command_is_forgotten():
    for name, parameters in commands():
        if "output" in parameters:
            known = [row for row in (*ROWS, *EXEMPT) if row.split(" --")[0] == name]
            assert known, f"{name} has an output: give it a row in VERBS"
            resumes = name in ROWS and ROWS[name].resumes
            assert name in EXEMPT or ("resume" if resumes else "overwrite") in parameters, name


@pytest.fixture(scope="session")
def outputs(tmp_path_factory, write_inputs):
    """Makes the output of a row once, in a folder with its inputs; gives folder, command and output."""
    made: dict[str, Path] = {}

    def make(name: str) -> tuple[Path, list[str], Path]:
        verb = VERBS[name]
        folder = made.get(name)
        if folder is None:
            folder = tmp_path_factory.mktemp("verb")
            write_inputs(folder)
            if verb.makes_input:
                source = make(verb.makes_input)[2]
                copy(source, folder / "RUN")
        words = verb.command.split()
        output = folder / (verb.file or "out")
        if name not in made:
            before = os.umask(0o077)  # for `test_outputs_have_the_users_umask`
            try:
                run(folder, [*words, "-o", output.name])
            finally:
                os.umask(before)
            made[name] = folder
        return folder, words, output

    return make


def copy(source: Path, target: Path) -> None:
    """A file with its record, or a folder."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    for path in source.parent.glob(f"{source.name}*"):
        shutil.copy(path, target.with_name(path.name.replace(source.name, target.name)))


def run(folder: Path, words: list[str], code: int = 0) -> str:
    """What a command prints, in one line; it ends with `code` and without a traceback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = CliRunner().invoke(app, words)
    said = f"{found.output} {found.stderr if code else ''}"
    assert found.exit_code == code, (words, said, found.exception)
    if code:
        assert len(found.stderr.strip().splitlines()) == 1, said
    return " ".join(said.split())


@pytest.fixture
def work(outputs, tmp_path):
    """A copy of a row's folder: its inputs and its finished output."""

    def begin(name: str, with_output: bool = True) -> tuple[Path, list[str], Path]:
        folder, words, output = outputs(name)
        fresh = tmp_path / "work"
        names = {path.name for path in folder.iterdir() if path.name.startswith(output.name)}
        shutil.copytree(folder, fresh, ignore=None if with_output else lambda *_: names)
        return fresh, words, fresh / output.name

    return begin


@pytest.mark.parametrize("name", ROWS)
def test_finished_outputs_are_refused(work, name):
    folder, words, output = work(name)
    before = contents(output)
    assert "already" in run(folder, [*words, "-o", output.name], code=2)
    assert contents(output) == before
    run(folder, [*words, "-o", output.name, "--resume" if VERBS[name].resumes else "--overwrite"])
    assert contents(output) == before


@pytest.mark.parametrize("name", [name for name in RESUMED if VERBS[name].changes])
def test_other_data_under_the_same_name_are_refused(work, name):
    folder, words, output = work(name)
    changed = folder / VERBS[name].changes
    alter(changed)
    said = run(folder, [*words, "-o", output.name, "--resume"], code=2)
    assert "has changed since" in said
    assert changed.name in said


def alter(path: Path) -> None:
    """Other content that is as good: rows in another order, another label, other pixels."""
    if path.suffix in (".csv", ".tsv"):
        head, *rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([head, *rows[::-1]]))
    elif path.suffix in (".vcf", ".fa"):
        path.write_text(path.read_text().replace("1|0", "0|1").replace("ACGT", "ACGA"))
    elif path.suffix == ".h5" or path.name == "RUN":
        import h5py

        with h5py.File(path, "a") as store:
            store.attrs["samples"] = store.attrs["samples"].replace("P1\tY", "P1\tX")
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\x07")


@pytest.mark.parametrize("name", [name for name in RESUMED if VERBS[name].setting])
def test_other_settings_are_refused(work, name):
    folder, words, output = work(name)
    said = run(folder, [*words, *VERBS[name].setting.split(), "-o", output.name, "--resume"], code=2)
    assert "began with" in said


@pytest.mark.parametrize("name", ROWS)
def test_what_others_made_stays(work, name):
    folder, words, output = work(name, with_output=False)
    if VERBS[name].file:
        mine = output if name != "tree delta" else output.with_suffix(".json")
    else:
        output.mkdir()
        mine = output / "mine.txt"
    mine.write_text("mine")
    run(folder, [*words, "-o", output.name], code=2)
    if VERBS[name].resumes:
        run(folder, [*words, "-o", output.name, "--resume"], code=2)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", RESUMED)
def test_two_at_once(work, name):
    folder, words, output = work(name, with_output=False)
    lock = Lock(output)
    try:
        assert "is writing there" in run(folder, [*words, "-o", output.name], code=2)
    finally:
        lock.release()
    assert not output.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
@pytest.mark.parametrize("moment", ["keep", "finish"])
@pytest.mark.parametrize("name", RESUMED)
def test_killed_and_resumed_is_the_same(work, name, moment):
    """Killed when something is kept for the first time, and just before the end."""
    folder, words, output = work(name)
    whole = contents(output)
    for path in folder.glob(f"{output.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kill_at(moment, folder, [*words, "-o", output.name])
    run(folder, [*words, "-o", output.name, "--resume"])
    assert contents(output) == whole
    assert not [path for path in folder.rglob(".*") if path.suffix in (".partial", ".lock")]


def kill_at(moment: str, folder: Path, words: list[str]) -> None:
    """Runs a command in a fork that kills itself at `Claim.keep` (after it) or `Claim.finish` (before it)."""
    child = os.fork()
    if child == 0:
        try:
            forkserver._forkserver.__init__()  # that of the tests' process answers to it alone
            os.chdir(folder)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            original = getattr(Claim, moment)

            def killed(self, *arguments, **options):
                if moment == "keep":
                    original(self, *arguments, **options)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(Claim, moment, killed)
            sys.argv = ["crocuta", *words]
            CliRunner().invoke(app, words)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{' '.join(words)} never came to {moment}"


@pytest.mark.parametrize("name", ROWS)
def test_outputs_have_the_users_umask(outputs, name):
    """`outputs` made them while only their owner was to read them."""
    folder, _, output = outputs(name)
    made = list(folder.glob(f"{output.name}*"))
    open_ones = [path for top in made for path in (top, *top.rglob("*")) if path.stat().st_mode & 0o077]
    assert made
    assert not open_ones


def contents(output: Path) -> dict[str, object]:
    """What an output holds, by file; times, memory and paths left out."""
    files = output.rglob("*") if output.is_dir() else output.parent.glob(f"{output.name}*")
    return {
        str(path.relative_to(output.parent)): content(path)
        for path in files
        if path.is_file() and path.suffix not in PAGES
    }


def content(path: Path) -> object:
    if path.suffix == ".json":
        return settled(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [settled(json.loads(line)) for line in path.read_text().splitlines()]
    return path.read_bytes()


def settled(value: object) -> object:
    """JSON without the fields that two runs of one command need not share."""
    if isinstance(value, dict):
        return {key: settled(part) for key, part in value.items() if key not in VOLATILE}
    return [settled(part) for part in value] if isinstance(value, list) else value
