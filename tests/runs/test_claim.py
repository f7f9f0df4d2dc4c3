"""One rule for every output: new, finished, unfinished, other data or settings, foreign, two at once."""

import json
import os
import subprocess
import sys

import pytest

from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.runs.claim import claim


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("a\tb\n")
    return path


def begin(output, data, resume=False, finish=True, kept=True, **settings):
    with claim(
        output, "test", {"rate": 1, "seeds": 1, **settings}, {"data": data}, resume=resume, grows=("seeds",)
    ) as run:
        if run.finished:
            return "finished"
        (output / "work").write_text("x")
        if kept:
            run.keep()
        if finish:
            run.finish([0])
    return "done"


def fail(output, data, kept=False):
    with claim(output, "test", {"rate": 1, "seeds": 1}, {"data": data}) as run:
        (output / "half").write_text("x")
        if kept:
            run.keep()
        raise ZeroDivisionError


def test_new_and_empty_folders_are_taken(tmp_path, data):
    (tmp_path / "empty").mkdir()
    assert begin(tmp_path / "empty", data) == "done"
    assert begin(tmp_path / "a" / "b", data) == "done"
    manifest = json.loads((tmp_path / "a" / "b" / "manifest.json").read_text())
    assert [len(record["sha256"]) for record in manifest["data"]] == [64]
    assert not list(tmp_path.rglob("*.lock"))


def test_finished_runs_are_refused_or_shown(tmp_path, data):
    run = tmp_path / "run"
    begin(run, data)
    with pytest.raises(InputError, match="holds a finished run already; go on with it by `resume`"):
        begin(run, data)
    assert begin(run, data, resume=True) == "finished"
    assert begin(run, data, resume=True, seeds=2) == "done"  # a run may grow


def test_unfinished_runs_go_on_with_resume_alone(tmp_path, data):
    run = tmp_path / "run"
    begin(run, data, finish=False)
    with pytest.raises(InputError, match="unfinished run already"):
        begin(run, data)
    assert begin(run, data, resume=True) == "done"


@pytest.mark.parametrize("finish", [True, False])
def test_other_data_and_settings_are_named(tmp_path, data, finish):
    run = tmp_path / "run"
    begin(run, data, finish=finish)
    with pytest.raises(InputError, match=r"it began with rate = 1, now it is 2"):
        begin(run, data, resume=True, rate=2)
    other = tmp_path / "other.tsv"
    other.write_text("other\n")
    with pytest.raises(InputError, match=r"data = .*data.tsv.*, now it is .*other.tsv"):
        begin(run, other, resume=True)
    data.write_text("a\tc\n")
    with pytest.raises(InputError, match=r"data.tsv \(data\) has changed since"):
        begin(run, data, resume=True)
    data.rename(tmp_path / "moved.tsv")
    (tmp_path / "moved.tsv").write_text("a\tb\n")
    assert begin(run, tmp_path / "moved.tsv", resume=True) in (
        "finished",
        "done",
    )  # content counts, not the name


def test_what_crocuta_did_not_make_is_not_touched(tmp_path, data):
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="crocuta did not make it"):
            begin(run, data, resume=resume)
    write_json(run / "config.json", {"architectures": []})
    with pytest.raises(InputError, match="another program"):
        begin(run, data, resume=True)
    assert (run / "mine.txt").read_text() == "mine"
    with pytest.raises(InputError, match="expected a folder"):
        begin(run / "mine.txt", data)


@pytest.mark.parametrize("existed", [True, False])
def test_a_failed_first_try_leaves_nothing(tmp_path, data, existed):
    run = tmp_path / "new" / "run"
    if existed:
        run.mkdir(parents=True)
    with pytest.raises(ZeroDivisionError):
        fail(run, data)
    assert not run.exists()
    assert begin(run, data) == "done"


def test_what_was_kept_survives_an_error(tmp_path, data):
    run = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        fail(run, data, kept=True)
    assert begin(run, data, resume=True) == "done"
    assert (run / "half").exists()


HOLD = """
import sys, time
from crocuta.runs.claim import claim
with claim(sys.argv[1], "test", {"rate": 1, "seeds": 1}, {"data": sys.argv[2]}, file=len(sys.argv) > 3) as run:
    (run.folder / ".work.1234.partial").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path, data):
    """Starts a process that holds an output."""
    processes = []

    def start(output, *file):
        command = [sys.executable, "-c", HOLD, str(output), str(data), *file]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_two_at_once_and_killed_ones(tmp_path, data, holder):
    run = tmp_path / "run"
    process = holder(run)
    with pytest.raises(InputError, match=rf"another command \(process {process.pid}\) is writing there"):
        begin(run, data, resume=True)
    process.kill()
    process.wait()
    assert (
        begin(run, data, kept=False, finish=False) == "done"
    )  # nothing had been kept: taken anew, without leftovers
    assert not list(run.glob(".*.partial"))


def make(output, data, resume=False, **settings):
    with claim(output, "test", {"rate": 1, **settings}, {"data": data}, resume=resume, file=True) as run:
        if run.finished:
            return "finished"
        run.target.write_text("whole")
        run.finish()
    return "done"


def test_files_are_made_whole(tmp_path, data, holder):
    output = tmp_path / "x.h5"
    holder(output, "file").kill()
    while (tmp_path / "x.h5.parts").exists():
        try:
            assert make(output, data) == "done"
        except InputError:  # the killed one has not quite gone
            continue
    assert output.read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.tsv", "x.h5", "x.h5.manifest.json"]
    with pytest.raises(InputError, match="exists already"):
        make(output, data)
    assert make(output, data, resume=True) == "finished"
    with pytest.raises(InputError, match="rate = 1, now it is 2"):
        make(output, data, resume=True, rate=2)
    data.write_text("changed")
    with pytest.raises(InputError, match="has changed"):
        make(output, data, resume=True)


def test_foreign_files_are_not_replaced(tmp_path, data):
    output = tmp_path / "x.h5"
    output.write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="no record of making it"):
            make(output, data, resume=resume)
    assert output.read_text() == "mine"
    parts = tmp_path / "y.h5.parts"
    parts.mkdir()
    (parts / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="crocuta did not make it"):
        make(tmp_path / "y.h5", data)
    assert (parts / "mine.txt").exists()


def test_a_digest_reads_every_file_of_a_folder(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    for name in "abc":
        run = tmp_path / f"run-{name}"
        begin(run, folder)
        before = (folder / name).read_text()
        (folder / name).write_text("other")
        with pytest.raises(InputError, match="has changed"):
            begin(run, folder, resume=True)
        (folder / name).write_text(before)
    begin(tmp_path / "names", folder)
    os.rename(folder / "a", folder / "d")
    with pytest.raises(InputError, match="has changed"):
        begin(tmp_path / "names", folder, resume=True)


def test_permissions_follow_the_umask(tmp_path, data):
    before = os.umask(0o077)
    try:
        begin(tmp_path / "run", data)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "run").rglob("*")} == {0}


def test_a_changed_file_is_named_before_what_follows_from_it(tmp_path, data):
    run = tmp_path / "run"
    begin(run, data, finish=False, nucleotides=1)
    data.write_text("longer")
    with pytest.raises(InputError, match=r"data.tsv \(data\) has changed"):
        begin(run, data, resume=True, nucleotides=2)


def test_a_record_may_have_another_name_than_the_configuration_of_a_model(tmp_path, data):
    def begin(resume):
        with claim(tmp_path / "model", "test", {}, {"data": data}, resume=resume, record="asked.json") as run:
            if not run.finished:
                (run.folder / "config.json").write_text('{"model_type": "cnn"}')
                run.finish()
            return run.finished

    assert [begin(False), begin(True)] == [False, True]
    assert (tmp_path / "model" / "config.json").read_text() == '{"model_type": "cnn"}'
    with pytest.raises(InputError, match="holds a finished run already"):
        begin(False)
