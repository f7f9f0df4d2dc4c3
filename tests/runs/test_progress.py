"""Progress: what is counted, and how parts move the whole."""

import io

from rich.console import Console

from crocuta.runs.progress import Part, Stage, counted, shown


def test_a_part_moves_the_whole_by_its_share():
    whole = Stage("comparison", total=3, unit="trainings")
    for _ in range(2):
        with Part("CNN", whole) as part:
            part.update(5, total=10, note="epoch 1 of 2")
            assert whole.done % 1 == 0.5
            assert whole.note == "CNN: epoch 1 of 2"
    assert counted(whole) == "2 of 3 trainings"


def test_what_is_half_done_is_not_counted():
    assert counted(Stage("comparison", total=3, unit="trainings")) == "0 of 3 trainings"
    stage = Stage("comparison", total=3, unit="trainings")
    stage.update(1.9)
    assert counted(stage) == "1 of 3 trainings"


def test_lines_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr("crocuta.runs.progress.SECONDS_BETWEEN_LINES", 0.0)
    console = Console(file=io.StringIO(), width=200)
    with shown(console) as progress, progress.stage("reading [x]", total=4, unit="rows") as stage:
        stage.advance(2, note="halfway")
    assert console.file.getvalue().startswith("reading [x]: 2 of 4 rows, halfway, about 0.")
