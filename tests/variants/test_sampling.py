"""Windows drawn and individuals held out: balanced, reproducible, and without leakage."""

import numpy as np
import pytest

from crocuta.data.encoding import decode
from crocuta.errors import InputError
from crocuta.variants import MISSING, Panel, Samples, Sites
from crocuta.variants.cache import PanelCohort
from crocuta.variants.sampling import CarriedSampler, WindowSampler, split_individuals


def individuals(counts, sizes=1):
    """Samples of populations (name to number), in families of `sizes`."""
    population = np.repeat(list(counts), list(counts.values()))
    number = np.arange(len(population))
    name = np.array([f"p{i}" for i in number])
    return Samples(name, population, np.char.lower(population), np.array([f"f{i // sizes}" for i in number]))


def panel(samples, chromosome, n, seed=0, share=0.3):
    random = np.random.default_rng(seed)
    position = np.sort(random.choice(10**6, n, replace=False)).astype(np.int32)
    nucleotides = random.choice(np.array([b"A", b"C", b"G", b"T"]), n)
    sites = Sites(chromosome, position, np.full(n, b"A"), nucleotides, position / 1e6)
    return Panel(samples, sites, (random.random((len(samples), 2, n)) < share).astype(np.uint8))


@pytest.fixture(scope="module")
def cohort():
    samples = individuals({"X": 6, "Y": 30, "Z": 14})
    return PanelCohort([panel(samples, "1", 300, 1), panel(samples, "2", 100, 2), panel(samples, "3", 60, 3)])


@pytest.mark.parametrize("kind", [WindowSampler, CarriedSampler])
def test_same_windows_whatever_the_workers(cohort, kind):
    sampler = kind(cohort, range(50), 20, windows=30, seed=5)
    alone = [window.draw for window in sampler.epoch(2)]
    shared = [None] * 30
    for worker in range(4):
        for place, window in zip(range(worker, 30, 4), sampler.epoch(2, worker, 4), strict=True):
            shared[place] = window.draw
    assert shared == alone
    assert alone != [window.draw for window in sampler.epoch(3)]
    assert alone != [window.draw for window in kind(cohort, range(50), 20, windows=30, seed=6).epoch(2)]
    assert sampler[65].draw == alone[5]


def test_in_torch_loaders_workers_change_nothing(cohort):
    from torch.utils.data import DataLoader

    sampler = WindowSampler(cohort, range(50), 20, windows=12, seed=1)
    draws = [
        [window.draw for window in DataLoader(sampler, batch_size=None, num_workers=workers)]
        for workers in (0, 2)
    ]
    assert draws[0] == draws[1] == [sampler[i].draw for i in range(12)]


def test_the_five_steps_are_balanced(cohort):
    sampler = WindowSampler(cohort, range(50), 41, seed=2)
    draws = [sampler.draw(i) for i in range(6000)]
    label = np.array([sampler.label_of[draw.person] for draw in draws])
    assert np.bincount(label) / 6000 == pytest.approx([1 / 3] * 3, abs=0.03)
    person = np.bincount([draw.person for draw in draws], minlength=50)
    assert person[:6] / 2000 == pytest.approx([1 / 6] * 6, abs=0.04)
    assert person[6:36] / 2000 == pytest.approx([1 / 30] * 30, abs=0.02)
    assert np.mean([draw.haplotype for draw in draws]) == pytest.approx(0.5, abs=0.03)
    chromosome = np.array([draw.chromosome for draw in draws])
    for name, starts in (("1", 260), ("2", 60), ("3", 20)):
        assert (chromosome == name).mean() == pytest.approx(starts / 340, abs=0.03)
        found = {draw.start for draw in draws if draw.chromosome == name}
        assert min(found) == 0
        assert max(found) == starts - 1


def test_a_window_is_what_its_draw_names(cohort):
    sampler = WindowSampler(cohort, range(3, 40), 25, by="group", seed=3)
    assert sampler.labels == ("x", "y", "z")
    for index in range(50):
        window = sampler[index]
        person, haplotype, name, start = window.draw
        source = cohort.panels[name]
        assert (window.token == source.allele[person, haplotype, start : start + 25]).all()
        assert (window.position == source.sites.position[start : start + 25]).all()
        assert (window.cm == source.sites.cm[start : start + 25]).all()
        assert sampler.labels[window.label] == cohort.samples.group[person]
        assert 3 <= person < 40


def test_carried_sites_hold_the_letters_of_either_haplotype():
    samples = individuals({"X": 2, "Y": 2})
    source = panel(samples, "1", 200, 4)
    allele = source.allele.copy()
    allele[:, :, ::7] = MISSING
    alt = source.sites.alt.astype("S2")
    alt[::5] = b"AC"
    sites = Sites("1", source.sites.position, source.sites.ref, alt, source.sites.cm)
    sampler = CarriedSampler(PanelCohort([Panel(samples, sites, allele)]), range(4), 12)
    for index in range(40):
        window = sampler[index]
        carried = [i for i in range(200) if 1 in allele[window.draw.person, :, i]]
        rows = carried[window.draw.start : window.draw.start + 12]
        assert window.position.tolist() == sites.position[rows].tolist()
        assert decode(window.token) == "".join("N" if len(alt[i]) > 1 else alt[i].decode() for i in rows)


def test_too_long_windows_and_people_without_labels(cohort):
    with pytest.raises(InputError, match="no chromosome has 301 sites; the longest has 300"):
        WindowSampler(cohort, range(50), 301)
    with pytest.raises(
        InputError, match=r"p\d+ carries at most \d+ alternatives on a chromosome; expected 280"
    ):
        CarriedSampler(cohort, range(50), 280)[0]
    nameless = individuals({"": 1, "X": 2})
    with pytest.raises(InputError, match="p0 has no population"):
        WindowSampler(PanelCohort([panel(nameless, "1", 30)]), range(3), 5)


def test_split_keeps_families_whole_and_populations_in_proportion():
    samples = individuals({"X": 60, "Y": 101, "Z": 20}, sizes=3)
    split = split_individuals(samples, (0.7, 0.1, 0.2), seed=4)
    everybody = np.concatenate(split)
    assert sorted(everybody) == list(range(181))
    families = [set(samples.family[part]) for part in split]
    assert not families[0] & families[1]
    assert not families[0] & families[2]
    assert not families[1] & families[2]
    for population, n in (("X", 60), ("Y", 101), ("Z", 20)):
        counts = [(samples.population[part] == population).sum() for part in split]
        assert counts == pytest.approx(np.array([0.7, 0.1, 0.2]) * n, abs=4)
        assert min(counts) > 0
    assert all((a == b).all() for a, b in zip(split, split_individuals(samples, seed=4), strict=True))
    assert any(
        len(a) != len(b) or (a != b).any()
        for a, b in zip(split, split_individuals(samples, seed=5), strict=True)
    )


def test_split_in_two_and_splits_that_cannot_be():
    split = split_individuals(individuals({"X": 2, "Y": 4}), (0.75, 0, 0.25))
    assert [len(part) for part in split] == [4, 0, 2]
    with pytest.raises(InputError, match="population Y has 1 individual, expected at least 3"):
        split_individuals(individuals({"X": 5, "Y": 1}))
    with pytest.raises(
        InputError, match="population X has 2 families, expected at least 3 to split by family"
    ):
        split_individuals(individuals({"X": 6}, sizes=3))
    with pytest.raises(InputError, match=r"shares \(0.5, 0.6, 0.1\)"):
        split_individuals(individuals({"X": 6}), (0.5, 0.6, 0.1))


def nearest_accuracy(train, test, n):
    """Accuracy of the label of the training window most alike where two overlap by half; windows are lists."""

    def spread(windows):
        one, zero = np.zeros((2, len(windows), n), np.float32)
        for row, window in enumerate(windows):
            place = slice(window.draw.start, window.draw.start + len(window.token))
            one[row, place], zero[row, place] = window.token == 1, window.token == 0
        return one, zero

    (one, zero), (one_t, zero_t) = spread(train), spread(test)
    overlap = (one_t + zero_t) @ (one + zero).T
    alike = np.where(
        overlap >= len(train[0].token) / 2, (one_t @ one.T + zero_t @ zero.T) / np.maximum(overlap, 1), 0
    )
    known = np.array([window.label for window in train])
    return np.mean(known[alike.argmax(1)] == [window.label for window in test])


def test_windows_of_the_same_people_leak_and_held_out_people_do_not():
    """With labels shuffled nothing can be learned: only the same individuals on both sides lift a 1-NN above chance."""
    random = np.random.default_rng(0)
    ordered = individuals({"X": 30, "Y": 30, "Z": 30})
    shuffled = Samples(ordered.name, random.permutation(ordered.population), ordered.group, ordered.family)
    cohort = PanelCohort([panel(shuffled, "1", 600, share=0.5)])
    everyone = list(WindowSampler(cohort, range(90), 120, windows=2000).epoch(0))
    split = split_individuals(shuffled, (0.75, 0, 0.25))
    train, test = (
        list(WindowSampler(cohort, part, 120, windows=count).epoch(0))
        for part, count in ((split.train, 1500), (split.test, 500))
    )
    assert nearest_accuracy(everyone[:1500], everyone[1500:], 600) > 0.7
    assert nearest_accuracy(train, test, 600) == pytest.approx(1 / 3, abs=0.08)
