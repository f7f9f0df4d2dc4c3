"""Plants faults in a copy of the source, one at a time, and tells which the tests catch.

    python tests/mutants/run.py [--jobs 2] [NAME ...]

`mutants.toml` beside this file lists them: the file, its text, the faulty text, and the tests that must fail.
Nothing is written in the working tree. Exits with 1 if a mutant survives, if its text is no longer there exactly
once, or if its tests do not run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCE = ROOT / "src"
PASSED, FAILED = 0, 1  # pytest's exit codes; higher ones mean that nothing was tested


@dataclass(frozen=True)
class Mutant:
    """A fault: `old` of `file` (below src/crocuta) becomes `new`, and `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]

    @property
    def place(self) -> Path:
        return Path("crocuta") / self.file

    def stale(self) -> str:
        """What keeps the mutant from being planted, or nothing."""
        path = SOURCE / self.place
        count = path.read_text().count(self.old) if path.exists() else 0
        return "" if count == 1 else f"its text stands {count} times in src/{self.place}, expected once"


def read(names: list[str]) -> list[Mutant]:
    listed = tomllib.loads((HERE / "mutants.toml").read_text())
    unknown = set(names) - set(listed)
    if unknown:
        sys.exit(f"no mutant named {', '.join(sorted(unknown))} in mutants.toml")
    return [Mutant(name, **fields) for name, fields in listed.items() if name in names or not names]


def pytest(source: Path, tests: list[str]) -> tuple[int, str]:
    """Exit code and output of the tests with the package as it is in `source`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | threads | own, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def copied(folder: str) -> Path:
    source = Path(folder) / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def judge(mutant: Mutant) -> str:
    """How the mutant fares: "caught", or what is wrong."""
    if stale := mutant.stale():
        return stale
    with tempfile.TemporaryDirectory() as folder:
        source = copied(folder)
        path = source / mutant.place
        path.write_text(path.read_text().replace(mutant.old, mutant.new))
        code, output = pytest(source, mutant.tests)
    if code == FAILED:
        return "caught"
    return "SURVIVED" if code == PASSED else f"its tests do not run: {output.strip().splitlines()[-1]}"


def check_sound(mutants: list[Mutant]) -> None:
    """Without a fault all tests pass, on a copy as well: else every mutant would seem caught."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with tempfile.TemporaryDirectory() as folder:
        code, output = pytest(copied(folder), tests)
    if code != PASSED:
        sys.exit(f"the tests fail without a mutant:\n{output}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to plant; by default all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    arguments = parser.parse_args()
    mutants = read(arguments.names)
    check_sound(mutants)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = []
        for mutant, verdict in zip(mutants, pool.map(judge, mutants), strict=True):
            verdicts.append(verdict)
            sys.stdout.write(f"{mutant.name:<40} {verdict}\n")
            sys.stdout.flush()
    caught = verdicts.count("caught")
    sys.stdout.write(f"{caught} of {len(mutants)} caught\n")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
