"""What users copy runs: the Python of pages without commands, and the examples in reduced form.

`test_pages.py` runs README and the pages that show commands.
"""

import ast
import importlib
import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = "sequence,label\n" + "".join(
    f"{'ACGT' * 3}{'TATA' if i % 2 else 'GCGC'}{'ACGT'[i % 4]}{'CAGT'[i // 4 % 4]}{'A' * (i % 9)},{i % 2}\n"
    for i in range(120)
)
EXAMPLES = {
    "adapt_pretrained.py": ["--sequences", "60", "--epochs", "1"],
    "biotype.py": [],
    "chromatin.py": ["--sequences", "200", "--epochs", "1"],
    "compare_models.py": ["--sequences", "200", "--epochs", "1", "--seeds", "1"],
    "digits_disk.py": ["disk.png"],
    "graph.py": ["--epochs", "10", "--seeds", "1"],
    "hyplora.py": ["--sequences", "100", "--epochs", "1"],
    "graph_rag.py": ["--species", "40", "--epochs", "1"],
    "lclip.py": ["--epochs", "2"],
    "lorentz_digits.py": ["--epochs", "1", "--seeds", "1"],
    "lvit.py": ["--epochs", "1"],
    "lorentz_transformer_dna.py": ["--task", "gue/prom_core_tata", ".", "--epochs", "1"],
    "species.py": ["--lengths", "64", "512", "--windows", "20", "--tests", "10"],
}


def python_blocks(page: str) -> str:
    text = (ROOT / page).read_text()
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a program in an empty folder and returns what it prints.

    In this process: one of its own would spend most of its time on importing torch and transformers.
    """

    def program(path: Path, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        monkeypatch.syspath_prepend(path.parent)  # as `python FILE` does
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return program


@pytest.fixture
def run_code(run, tmp_path):
    """Runs Python text, from a file so that a failure shows its line."""

    def code(text: str) -> str:
        path = tmp_path / "page.py"
        path.write_text(text)
        return run(path)

    return code


def test_python_of_the_layers_page_runs(run_code):
    assert run_code(python_blocks("docs/layers.md")).startswith("torch.Size([32, 21])")


def test_python_of_the_graphs_page_runs(run_code):
    assert run_code(python_blocks("docs/graphs.md")) == "torch.Size([2])\ntorch.Size([6, 9])\n"


def test_python_of_the_hyplora_page_runs(run_code, tmp_path):
    run_code(python_blocks("docs/hyplora.md"))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()


def test_python_of_the_vision_page_runs(run_code):
    printed = run_code(python_blocks("docs/vision.md"))
    assert printed.startswith("torch.Size([8, 10])\ntorch.Size([8, 16, 65])\n")
    assert printed.endswith("torch.Size([1, 10])\n")


def test_python_of_the_retrieval_page_runs(run_code):
    printed = run_code(python_blocks("docs/retrieval.md"))
    assert printed == "1\n['AluSx is a SINE']\ntorch.Size([3, 5])\n"


@pytest.mark.parametrize("page", ["lclip", "lorentz_language"])
def test_python_of_the_pages_of_language_runs(page, run_code):
    printed = run_code(python_blocks(f"docs/{page}.md"))
    assert printed in ("torch.Size([2, 1])\n", "torch.Size([1, 25])\n")


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, run, tmp_path):
    path = ROOT / "examples" / example
    task = tmp_path / "GUE" / "prom" / "prom_core_tata"
    task.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        (task / f"{part}.csv").write_text(DATA)
    assert len(path.read_text().splitlines()) <= 120
    assert run(path, *EXAMPLES[example])


def outside_programs() -> list[str]:
    found = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@pytest.mark.parametrize("program", outside_programs())
def test_programs_import_what_is_there(program):
    """Benchmarks take too long to run here; a name that moved away from under them is found all the same."""
    for node in ast.walk(ast.parse((ROOT / program).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "crocuta":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or is_module(f"{node.module}.{alias.name}"), alias.name


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_the_reference_names_what_is_there():
    """Sphinx passes over a name that a module does not have."""
    page = (ROOT / "docs" / "api.md").read_text()
    for name, members in re.findall(r"automodule:: (\S+)\n(?:   :members:([^\n]*)\n)?", page):
        module = importlib.import_module(name)
        missing = [each for each in members.replace(",", " ").split() if not hasattr(module, each)]
        assert not missing, f"{name}: {missing}"
