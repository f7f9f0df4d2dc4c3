"""Trees read from Newick and Nexus, and distances in them against an independent program's."""

import csv

import numpy as np
import pytest

from crocuta.data.phylogeny import Tree, read_alignment, read_tree, read_trees, to_newick, write_trees
from crocuta.data.phylogeny.tree import join
from crocuta.errors import InputError


def tree_of(tmp_path, text):
    path = tmp_path / "tree.nwk"
    path.write_text(text)
    return read_tree(path)


def test_newick_with_quotes_comments_and_missing_lengths(tmp_path):
    tree = tree_of(tmp_path, "(('a, (1)':5,b_c)ab:2[note; not a tree],'it''s':7.5e-1)root;\n")
    assert tree.names == ["root", "ab", "a, (1)", "b_c", "it's"]
    assert tree.parent.tolist() == [-1, 0, 1, 1, 0]
    np.testing.assert_array_equal(tree.length, [0, 2, 5, np.nan, 0.75])
    assert tree.tip_names == ["a, (1)", "b_c", "it's"]
    np.testing.assert_array_equal(tree.distances(), [[0, 6, 7.75], [6, 0, 3.75], [7.75, 3.75, 0]])
    np.testing.assert_array_equal(tree.distances(weighted=False)[0], [0, 2, 3])


def test_what_is_written_is_read_again(tmp_path):
    tree = tree_of(tmp_path, "(('a, (1)':5,b:0.1)ab:2,'it''s':0.123456789,(d,e));")
    write_trees(tmp_path / "copy.nwk", [tree, tree])
    for copy in read_trees(tmp_path / "copy.nwk"):
        assert copy.names == tree.names
        np.testing.assert_array_equal(copy.parent, tree.parent)
        np.testing.assert_array_equal(copy.length, tree.length)
    assert to_newick(tree) == "(('a, (1)':5,b:0.1)ab:2,'it''s':0.123456789,(d,e));"


def test_nexus_with_translation(tmp_path):
    path = tmp_path / "trees.nex"
    path.write_text(
        "#NEXUS\n[a; comment]\nbegin trees;\n translate 1 'Homo sapiens', 2 Pan;\n"
        " tree one = [&R] (1:1,2:2);\n utree 'the other'=(2:1,1:1);\nend;\n"
    )
    trees = read_trees(path)
    assert [tree.tip_names for tree in trees] == [["Homo sapiens", "Pan"], ["Pan", "Homo sapiens"]]
    assert trees[0].distances()[0, 1] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("((a,b);", "1 brackets are never closed"),
        ("(a,b));", "character 6: '\\)' outside"),
        ("(a:x,b);", "character 4: branch length 'x'"),
        ("(a b,c);", "second name, 'b'"),
        ("(a,'b);", "character 4"),
        ("a,b;", "outside all brackets"),
        ("just words", "second name"),
        ("#NEXUS\nbegin data;\nend;\n", "without a TREE statement"),
    ],
)
def test_malformed_trees_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=f"tree.nwk.*{message}"):
        tree_of(tmp_path, text)


def test_preorder_is_demanded():
    with pytest.raises(ValueError, match="before its child"):
        Tree.from_parents([-1, 2, 0], [0, 1, 1], ["", "", ""])


def test_a_deep_ladder_needs_no_recursion(tmp_path):
    tree = tree_of(tmp_path, "(" * 5000 + "a" + ",b)" * 5000 + ";")
    assert len(tree.tips) == 5001
    assert len(read_tree_text(tmp_path, to_newick(tree)).tips) == 5001


def read_tree_text(tmp_path, text):
    return tree_of(tmp_path, text)


def test_distances_of_chosen_tips_and_real_oracle(shared_data):
    """DendroPy's patristic distances of the python phylogeny, weighted and by edges."""
    folder = shared_data("phylogeny", "dendropy")
    tree = read_tree(folder / "pythonidae.mle.newick")
    for name, weighted, tolerance in (("weighted", True, 1e-9), ("unweighted", False, 0)):
        with open(folder / f"pythonidae.mle.{name}.pdm.csv") as file:
            rows = list(csv.reader(file))
        names = rows[0][1:]
        truth = np.array([row[1:] for row in rows[1:]], float)
        tips = [tree.names.index(name) for name in names]
        np.testing.assert_allclose(tree.distances(tips, weighted), truth, atol=tolerance)
        np.testing.assert_allclose(tree.distances(tips[::5], weighted), truth[::5, ::5], atol=tolerance)


def test_large_real_trees(shared_data):
    birds = read_tree(shared_data("phylogeny", "dendropy", "Jetz_et_al_2012_Aves.sample.tree.nexus"))
    assert len(birds.tips) == 9993
    assert "Rhynchotus_rufescens" in birds.names
    assert np.ptp(birds.depth[birds.tips]) < 1e-3 * birds.depth.max()


def test_collapse_and_clades(tmp_path):
    tree = tree_of(tmp_path, "(((a:1,b:1):0.1,c:1):2,(d:1,e:1):3);")
    short = tree.collapsed(0.5)
    assert short.names[2:5] == ["a", "b", "c"]
    assert short.parent.tolist() == [-1, 0, 1, 1, 1, 0, 5, 5]
    assert [[tree.names[tip] for tip in clade] for clade in tree.clades(2)] == [["a", "b", "c"], ["d", "e"]]
    assert len(tree.clades(3)) == 3
    assert len(tree.clades(99)) == 5


def test_join(tmp_path):
    one = tree_of(tmp_path, "(a:1,b:1);")
    both = join([one, one.scaled(2)], [5, 4])
    np.testing.assert_array_equal(both.distances()[0], [0, 2, 12, 12])
    np.testing.assert_array_equal(both.distances()[2, 3], 4)


def test_alignment(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(">x first\nAC-G\nTn\n>y\nacgu?T\n")
    found = read_alignment(path)
    assert found.names == ["x", "y"]
    assert found.bases.tolist() == [[0, 1, 4, 2, 3, 4], [0, 1, 2, 3, 4, 3]]
    for text, message in (
        (">x\nACGT\n>y\nACG\n", "record y: 3 columns, expected 4"),
        (">x\nAC3T\n", "line 2: character '3'"),
        ("ACGT\n", "line 1.*begin with '>'"),
        ("", "empty"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_alignment(path)
