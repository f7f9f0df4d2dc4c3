"""`crocuta tree check`: what is in a tree file, and what is odd."""

import pytest
from typer.testing import CliRunner

from crocuta.cli import app
from crocuta.errors import InputError
from crocuta.trees.check import examine


def found(tmp_path, text):
    path = tmp_path / "tree.nwk"
    path.write_text(text)
    return {finding.what: finding for finding in examine(path)}


def test_a_plain_tree_has_nothing_odd(tmp_path):
    about = found(tmp_path, "((a:1,b:1):1,(c:0.5,d:0.5):1.5);\n")
    assert [finding.what for finding in about.values() if finding.odd] == []
    assert (about["leaves"].found, about["inner nodes"].found) == ("4", "3")
    assert about["root"].found == "rooted (2 children)"
    assert about["depth of leaves"].found == "2 to 2 from the root, ultrametric"
    assert about["branch lengths"].found == "0.5 to 1.5, median 1"


@pytest.mark.parametrize(
    ("text", "what", "said"),
    [
        ("((a:1,b:1):1,c:1);((a,b),c);\n", "trees", "2; the first is examined"),
        ("(((a:1):1,b:1):1,c:1);", "nodes with one child", "1"),
        ("((a:1,b:1):1);", "root", "1 child: the root is no branching point"),
        ("((a:1,:1):1,c:1);", "leaves without a name", "1"),
        ("((a:1,a:1):1,(b:1,b:2):1);", "names of several leaves", "2: a, b"),
        ("((a:1,b):1,c:1);", "missing lengths", "1, which count as 1"),
        ("((a:1,b:-0.1):1,c:1);", "negative lengths", "1"),
        ("((a:1,b:inf):1,c:1);", "infinite lengths", "1"),
    ],
)
def test_what_is_odd_is_said(tmp_path, text, what, said):
    about = found(tmp_path, text)
    assert about[what].found == said
    assert [finding.what for finding in about.values() if finding.odd] == [what]


def test_what_is_usual_is_counted(tmp_path):
    about = found(tmp_path, "(a:0,b:1,(c:1,d:1,e:3):1);")
    assert about["root"].found == "unrooted, by convention (3 children)"
    assert about["polytomies"].found == "1"
    assert about["lengths of zero"].found == "1"
    assert about["depth of leaves"].found == "0 to 4 from the root, not ultrametric"
    assert found(tmp_path, "((a,b),c);")["branch lengths"].found == "none: every branch counts as 1"


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="never closed"):
        found(tmp_path, "((a:1,b:1):1,c:1;")


def test_the_command(tmp_path):
    path = tmp_path / "t.nwk"
    path.write_text("((a:1,a:1):1,c:1);")
    said = CliRunner().invoke(app, ["tree", "check", str(path), "-o", str(tmp_path / "t.json")])
    assert said.exit_code == 0, said.output
    assert "Look at: names of several leaves." in said.output
    assert '"what": "leaves"' in (tmp_path / "t.json").read_text()
