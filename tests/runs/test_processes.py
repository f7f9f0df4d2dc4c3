"""Several processes share one claim: the first takes the output, and where it may not, all of them fail."""

import pytest

from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global claim_together, processes
    from crocuta.runs.processes import claim_together, processes


PROGRAM = """
import sys
from crocuta.errors import InputError
from crocuta.runs.processes import claim_together, processes
said = []
for resume in (False, False, True):
    try:
        with claim_together("cpu", sys.argv[1], "test", {"rate": 1}, {}, resume=resume) as run:
            said.append("finished" if run.finished else "taken")
            run.finish()
    except InputError as error:
        said.append("refused")
open(f"{sys.argv[1]}.{processes('cpu').process_index}", "w").write(" ".join(said))
"""


def test_one_process_alone(tmp_path):
    assert processes("cpu").num_processes == 1
    with claim_together("cpu", tmp_path / "run", "test", {}, {}) as run:
        run.finish()
    with (
        pytest.raises(InputError, match="finished run"),
        claim_together("cpu", tmp_path / "run", "test", {}, {}),
    ):
        pass


@pytest.mark.distributed
def test_all_fail_where_the_first_is_refused(tmp_path, run_together):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_together(program, 2, tmp_path / "run") == [0, 0]
    for process in (0, 1):
        assert (tmp_path / f"run.{process}").read_text() == "taken refused finished"
