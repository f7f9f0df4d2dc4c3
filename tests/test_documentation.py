"""What users copy runs: README's Python, and the examples in reduced form."""

import re
import subprocess
import sys
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


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/embeddings.md"])
def test_python_in_the_documentation_runs(page, tmp_path):
    (tmp_path / "data.csv").write_text(DATA)
    code = "\n".join(python_blocks(ROOT / page)).replace("...", "")
    code = code.replace('"run", seeds=3)', '"run", seeds=1, epochs=1)')
    if "presets.train" not in code:
        train = 'from crocuta import presets\npresets.train("data.csv", ["cnn"], "run", seeds=1, epochs=1)\n'
        code = train + code
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_python_of_the_layers_page_runs(tmp_path):
    code = "\n".join(python_blocks(ROOT / "docs" / "layers.md"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch.Size([32, 21])")


def test_python_of_the_graphs_page_runs():
    code = "\n".join(python_blocks(ROOT / "docs" / "graphs.md"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch.Size([2])\ntorch.Size([6, 9])\n"


def test_python_of_the_hyplora_page_runs(tmp_path):
    code = "\n".join(python_blocks(ROOT / "docs" / "hyplora.md"))
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()


def test_python_of_the_vision_page_runs():
    code = "\n".join(python_blocks(ROOT / "docs" / "vision.md"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch.Size([8, 10])\ntorch.Size([8, 16, 65])\n")
    assert done.stdout.endswith("torch.Size([1, 10])\n")


def test_python_of_the_retrieval_page_runs(tmp_path):
    code = "\n".join(python_blocks(ROOT / "docs" / "retrieval.md"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n['AluSx is a SINE']\ntorch.Size([3, 5])\n"


@pytest.mark.parametrize("page", ["lclip", "lorentz_language"])
def test_python_of_the_pages_of_language_runs(page):
    code = "\n".join(python_blocks(ROOT / "docs" / f"{page}.md"))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("torch.Size([2, 1])\n", "torch.Size([1, 25])\n")


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path):
    path = ROOT / "examples" / example
    task = tmp_path / "GUE" / "prom" / "prom_core_tata"
    task.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        (task / f"{part}.csv").write_text(DATA)
    assert len(path.read_text().splitlines()) <= 120
    command = [sys.executable, "-W", "ignore", str(path), *EXAMPLES[example]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
