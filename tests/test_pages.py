"""README and the pages that show commands run as they are typed: in page order, each page in one folder.

A fenced block that no test can run has the comment `<!-- not run: reason -->` before it. All others are executed; the
options of `SHORTER` are appended to commands that would take long.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from crocuta.cli import app

ROOT = Path(__file__).resolve().parents[1]
# The beginning of a command as shown to the options that shorten it here; the longest beginning counts.
SHORTER = {
    "crocuta bench": "--epochs 1 --seeds 1 --no-baselines",
    "crocuta tree delta": "--subset 20 --nulls 19",
    "crocuta pretrain": "--steps 1 --tokens-per-step 2048",
    "crocuta probe": "--min-rows 3 --folds 3",
    "crocuta ancestry simulate": "--length 2e5 --individuals 12 12 12 --admixed 4",
    "crocuta tree simulate": "--sequences 120 --length 60",
    "crocuta tree simulate --scenario B": "--length 1500",
    "crocuta generate": "--length 60 --continuations 2",
    "crocuta train": "--epochs 1 --seeds 1",
}
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    reason: str | None  # why it is not run

    @property
    def commands(self) -> list[str]:
        """What is typed after each prompt, comments left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
        return [shlex.join(shlex.split(line, comments=True)) for line in lines]


def blocks(page: str) -> list[Block]:
    """The console and Python blocks of a page, in its order."""
    mark = r"(?:<!-- not run: ([^>]*?) -->\s*\n)?"
    found = re.findall(mark + r"```(console|python)\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    return [Block(language, text, reason or None) for reason, language, text in found]


def shortened(command: str) -> list[str]:
    """The words of a command, with the options that shorten it."""
    beginnings = [beginning for beginning in SHORTER if command.startswith(beginning)]
    return shlex.split(f"{command} {SHORTER[max(beginnings, key=len)] if beginnings else ''}")


def shown() -> list[str]:
    """The pages with a command that runs."""
    return [page for page in PAGES if any(b.language == "console" and not b.reason for b in blocks(page))]


@pytest.mark.filterwarnings("default")  # the command line quietens libraries itself
@pytest.mark.parametrize("page", shown())
def test_page_runs_as_typed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(page):
        if block.reason:
            continue
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        for command in block.commands if block.language == "console" else ():
            program, *arguments = shortened(command)
            assert program == "crocuta", f"{command}: no command of ours; mark its block as not run"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"


def test_shortened_commands_are_shown():
    commands = [command for page in PAGES for block in blocks(page) for command in block.commands]
    assert [short for short in SHORTER if not any(command.startswith(short) for command in commands)] == []


def test_quick_start_is_run():
    assert sum(len(block.commands) for block in blocks("README.md") if not block.reason) >= 10


PRIVATE = re.compile(
    r"\b(letters?|people|judge[sd]?|judging|foret\w+|likeliest|so many|beside|learnt|goes on|told|by commas)\b",
    re.I,
)


@pytest.mark.parametrize("page", PAGES)
def test_prose_uses_the_words_of_the_field(page):
    """Nucleotides, individuals, evaluate, predict; code is left out, since names change elsewhere."""
    prose = re.sub(r"```.*?```|`[^`]*`|https?://\S+", "", (ROOT / page).read_text(), flags=re.DOTALL)
    assert PRIVATE.findall(prose) == []


SAID = re.compile(r"\b(letters?|people|judge[sd]?|judging|foret\w+|likeliest|so many|learnt)\b", re.I)
#: Where such a word means what it says: characters of names, IUPAC codes, keys of files that 0.1.0 wrote.
MEANT = (
    *("other_letters", "unknown_letters", "valid_letters", "evaluated_letters", "letters_per_validation"),
    *("people.json", '"letters"', "found.letters", "letters: int", "of `letters` nucleotides"),
    *("IUPAC letter", "Letters, digits", "letters, digits", "no letter at all"),
)


def test_the_code_uses_the_words_of_the_field():
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".py", ".html"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for meant in MEANT:
                    line = line.replace(meant, "")
                assert not SAID.search(line), f"{path}:{number}: {line.strip()}"
