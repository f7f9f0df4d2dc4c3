"""The layers of CONTRIBUTING.md: imports run downward only, floors do not mix, and nothing heavy is imported early."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "crocuta"
WINGS = {
    "ancestry", "classification", "embedding", "graphs", "pretraining", "retrieval", "trees", "vision", "words",
}  # fmt: skip
FLOORS = {
    0: {"_lazy", "_moved", "_version", "errors", "files", "quiet"},
    1: {"manifolds", "data"},
    2: {"nn", "optim", "testing", "analysis", "variants"},
    3: {"models"},
    4: {"runs"},
    5: {"presets", "report"},
    6: WINGS,
    7: {"bench", "doctor"},
    8: {"cli"},
    9: {"__main__"},
}
#: What one wing may know of another: (importer, imported) -> why.
BETWEEN_WINGS: dict[tuple[str, str], str] = {}
FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}
LIGHT = [
    "crocuta",
    "crocuta.bench",
    "crocuta.cli",
    "crocuta.data",
    "crocuta.data.labelled",
    "crocuta.data.tasks",
]
HEAVY = ["transformers", "matplotlib", "h5py", "sklearn", "pandas"]


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree, for every module of the package."""
    trees = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("crocuta", *path.relative_to(SOURCE).with_suffix("").parts)
        trees[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    return trees


def imports(tree: ast.AST) -> set[str]:
    """Names of crocuta that a module imports anywhere, functions included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide the layer"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name.split(".")[0] == "crocuta"}


def unit(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR_OF else None


def is_verb(name: str) -> bool:
    """Whether a module declares commands: `verbs`, `verb_map`, or one in a folder of that name."""
    return any(part.startswith("verb") for part in name.split("."))


def test_every_unit_has_a_floor():
    names = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__"} == set(FLOOR_OF)


def test_imports_run_downward():
    for name, tree in modules().items():
        importer = unit(name)
        if importer is None:
            continue
        for target in {unit(imported) for imported in imports(tree)} - {None, importer}:
            if (importer, target) in BETWEEN_WINGS:
                continue
            assert FLOOR_OF[target] < FLOOR_OF[importer], (
                f"{name} (floor {FLOOR_OF[importer]}) imports {target}"
            )


def picture() -> str:
    """The floors from the top, each unit with those that it imports, as CONTRIBUTING.md shows them."""
    known: dict[str, set[str]] = {name: set() for name in FLOOR_OF}
    for name, tree in modules().items():
        if (importer := unit(name)) is not None:
            known[importer] |= {unit(imported) for imported in imports(tree)} - {None, importer}
    ground = FLOORS[0]
    lines = []
    for floor in sorted(FLOORS, reverse=True):
        for name in sorted(FLOORS[floor] - ground):
            below = sorted(known[name] - ground, key=lambda other: (-FLOOR_OF[other], other))
            lines.append(f"{floor}  {name:15}{' '.join(below)}".rstrip())
    return "\n".join([*lines, f"0  {' '.join(sorted(ground))}"])


def test_the_picture_is_that_of_the_code():
    """After a change: `python tests/test_architecture.py` prints what belongs there."""
    assert picture() in (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()


def test_the_map_names_what_is_there():
    """Every `file.py`, `folder/` and `file.py: function` of CONTRIBUTING.md's map."""
    page = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    page = page[page.index("**Wings**") : page.index("Tests mirror the package")]
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*")}
    for name, function in re.findall(r"`([\w/]+(?:\.py|/))(?:: (\w+))?`", page):
        found = [path for key, path in files.items() if f"/{key}".endswith(f"/{name.rstrip('/')}")]
        assert found, name
        if function:
            assert any(re.search(rf"(def|class) {function}\b", path.read_text()) for path in found), (
                name,
                function,
            )


def test_wings_keep_their_private_modules():
    for name, tree in modules().items():
        for target in imports(tree):
            package, _, last = target.rpartition(".")
            private = [part for part in target.split(".") if part.startswith("_") and part != "_version"]
            if private and unit(target) not in (None, unit(name)):
                assert FLOOR_OF[unit(target)] == 0, f"{name} reaches into {package}.{last}"


def test_folders_can_be_overseen():
    crowded = {
        str(folder): count
        for folder in [SOURCE, *SOURCE.rglob("*/")]
        if (count := len([path for path in folder.glob("*.py") if path.stem != "__init__"])) > 25
    }
    assert not crowded


def test_functions_can_be_overseen():
    """At most six are longer than sixty lines without their docstring."""
    long = []
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                said = first.end_lineno - first.lineno + 1 if documented else 0
                if node.end_lineno - node.lineno + 1 - said > 60:
                    long.append(f"{name}.{node.name}")
    assert len(long) <= 6, long


def test_no_circles_inside_a_package():
    trees = modules()
    graph = {
        name: {target for target in imports(tree) if target in trees and target != name}
        for name, tree in trees.items()
    }
    state: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == "open":
            raise AssertionError(" -> ".join((*path[path.index(name) :], name)))
        if name not in state:
            state[name] = "open"
            for target in graph[name]:
                if not name.startswith(
                    f"{target}."
                ):  # a module may import from its package's earlier modules
                    visit(target, (*path, name))
            state[name] = "done"

    for name in graph:
        if not (SOURCE.parent / name.replace(".", "/")).is_dir():  # packages re-export, and are leaves here
            visit(name, ())


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_pull_in_nothing_heavy(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == []


def test_files_stay_readable():
    long = {str(path): n for path in SOURCE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_tests_are_collected_without_heavy_imports(request):
    assert request.config.imported_early == []


def test_lower_floors_name_arguments_and_no_options():
    """A Python caller has no `--learning-rate`; the command line turns `learning_rate` into it."""
    for name, tree in modules().items():
        if unit(name) in ("cli", "doctor") or name == "crocuta.runs.options" or is_verb(name):
            continue
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in documentation
            ):
                assert not re.search(r"(?<![\w-])--[a-z]{2}(?!.*\))", node.value), (name, node.value)


def test_progress_and_consoles_are_those_of_runs():
    for name, tree in modules().items():
        if unit(name) not in ("runs", None) and name != "crocuta.bench.worker":
            found = {
                alias
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in [node.module or ""]
            }
            assert not found & {"rich.progress", "rich.console"}, name


if __name__ == "__main__":
    sys.stdout.write(picture())
