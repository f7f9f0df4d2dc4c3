"""Figures of ancestry models show what they are given."""

import numpy as np
import pytest

from crocuta.variants.tracts import Segments, Tracts


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global PatchCollection, PathCollection, to_rgb, accuracy_by_context, geography, hidden_states, colour
    global styled
    from matplotlib.collections import PatchCollection, PathCollection
    from matplotlib.colors import to_rgb

    from crocuta.ancestry.figures import accuracy_by_context, geography, hidden_states
    from crocuta.report.style import colour, styled


def test_hidden_states_stand_side_by_side():
    rng = np.random.default_rng(0)
    population = np.repeat(["AFR", "EAS"], 15)
    after = rng.normal(size=(30, 4)) + 20 * (population == "EAS")[:, None]
    with styled():
        figure = hidden_states(rng.normal(size=(30, 4)), after, population, pretrained=False)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before: untrained", "after fine-tuning"]
    for axes in figure.axes:
        points = [c for c in axes.collections if isinstance(c, PathCollection)]
        assert sum(len(c.get_offsets()) for c in points) == 30
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["AFR", "EAS"]


def test_accuracy_is_drawn_by_context_and_by_alpha():
    with styled():
        figure = accuracy_by_context({100: {512: 80.0, 128: 60.0}, 10: {128: 70.0}})
    left, right = figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert drawn["alpha 100"] == [[128, 60], [512, 80]]
    dashed = [line for line in left.lines if line.get_linestyle() == ":"]
    assert [4096, 99.34] in dashed[-1].get_xydata().tolist()
    assert {line.get_label(): line.get_xydata().tolist() for line in right.lines}["128 SNPs"] == [
        [10, 70],
        [100, 60],
    ]


@pytest.mark.parametrize(("apart", "copies"), [(True, 2), (False, 1)])
def test_every_window_of_a_person_is_a_box_of_its_ancestry(apart, copies):
    place = np.array([0, 10, 20, 30]) * 1_000_000
    segments = Segments("chr7", place[:-1], place[1:], place[:-1] / 1e6, place[1:] / 1e6, np.ones(3, int))
    posterior = np.zeros((4, 3, 2), np.float32)
    posterior[..., 0] = [[1, 0.5, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]]
    posterior[..., 1] = 1 - posterior[..., 0]
    with styled():
        figure = geography([Tracts(("P1", "P2"), ("A", "B"), segments, posterior)], apart)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["P1: A 75%, B 25%", "P2: B 83%, A 17%"]
    boxes = [c for c in figure.axes[0].collections if isinstance(c, PatchCollection)]
    assert len(boxes) == copies
    hues = boxes[0].get_facecolor()
    assert to_rgb(hues[0]) == pytest.approx(to_rgb(colour(0)))
    assert to_rgb(hues[2]) == pytest.approx(to_rgb(colour(1)))
    assert hues[:, 3].tolist() == pytest.approx([1, 0.25, 1])  # the paler the less sure
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["7"]
