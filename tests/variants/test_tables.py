"""Tables of samples and genetic maps: every usual layout, and one clear line for what is wrong."""

import gzip

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import check_populations, read_genetic_map, read_panel, read_samples

SIMPLE = ["22 100 A C 0|0 0|1 1|1"]


@pytest.mark.parametrize(
    "lines",
    [
        ["sample pop super_pop family", "a YRI AFR f1", "b CEU EUR f2"],
        ["#Sample Family Population Superpopulation", "a f1 YRI AFR", "b f2 CEU EUR"],
        ["FID IID group pop sex", "f1 a AFR YRI 1", "f2 b EUR CEU 2"],
    ],
)
def test_columns_by_their_usual_names(make_table, lines):
    found = read_samples(make_table(lines))
    assert found.name.tolist() == ["a", "b"]
    assert found.population.tolist() == ["YRI", "CEU"]
    assert found.group.tolist() == ["AFR", "EUR"]
    assert found.family.tolist() == ["f1", "f2"]


def test_two_columns_without_header_and_no_families(make_table):
    found = read_samples(make_table(["a YRI", "b CEU"]))
    assert found.name.tolist() == ["a", "b"]
    assert found.family.tolist() == ["a", "b"]
    assert found.group.tolist() == ["", ""]


def test_trailing_tabs_of_the_1000_genomes_panel(tmp_path):
    path = tmp_path / "x.panel"
    path.write_text("sample\tpop\tsuper_pop\tgender\t\t\nHG1\tGBR\tEUR\tmale\n")
    assert read_samples(path).population.tolist() == ["GBR"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sample pop", "a YRI", "a CEU"], "line 3: sample a stands on line 2 already"),
        (
            ["name colour x", "a b c"],
            "line 1: found the columns name, colour, x; expected at least 'sample' and 'pop'",
        ),
        (["sample pop", "a"], "line 2: 1 fields, expected 2"),
        ([], "the file is empty"),
    ],
)
def test_wrong_tables_of_samples(make_table, lines, message):
    with pytest.raises(InputError, match=message):
        read_samples(make_table(lines))


def test_table_and_file_disagree(make_vcf, make_table):
    path = make_vcf(SIMPLE)
    for lines, message in [
        (
            ["sample pop", "a YRI", "c CEU"],
            r"samples\.tsv: 1 of 3 samples of .*cohort\.vcf\.gz are not in it \(b\);",
        ),
        (
            ["sample pop", "a X", "b X", "c X", "d X"],
            r"1 of its 4 samples are not in .*cohort\.vcf\.gz \(d\); .*`shared`",
        ),
        (["sample pop", "d YRI"], r"none of its samples \(d\) is in"),
    ]:
        with pytest.raises(InputError, match=message):
            read_panel(path, make_table(lines))
    panel = read_panel(path, make_table(["sample pop", "c CEU", "a YRI", "d X"]), shared=True)
    assert panel.samples.name.tolist() == ["a", "c"]
    assert panel.samples.population.tolist() == ["YRI", "CEU"]
    assert panel.allele[:, :, 0].tolist() == [[0, 0], [1, 1]]
    with pytest.raises(InputError, match="no sample z"):
        read_panel(path, individuals=["z"])


def test_people_chosen_need_no_others_in_the_table(make_vcf, make_table):
    table = make_table(["sample pop", "c CEU", "a YRI", "b YRI"])
    panel = read_panel(make_vcf(SIMPLE), table, individuals=["c", "b"])
    assert panel.samples.population.tolist() == ["CEU", "YRI"]
    assert panel.allele[:, :, 0].tolist() == [[1, 1], [0, 1]]


def test_a_population_with_one_individual(make_table):
    samples = read_samples(make_table(["sample pop", "a YRI", "b CEU", "c CEU"]))
    with pytest.raises(InputError, match="population YRI has 1 individual, expected at least 2; merge"):
        check_populations(samples)
    check_populations(samples.at([1, 2]))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "a.txt",
            [
                "Chromosome Position(bp) Rate(cM/Mb) Map(cM)",
                "chr22 100 1 0",
                "chr22 200 3 1",
                "chr22 300 0 4",
            ],
        ),
        ("b.map", ["22 rs1 0 100", "22 rs2 1 200", "22 rs3 4 300"]),
        ("b.txt", ["22 rs1 0 100", "22 rs2 1 200", "22 rs3 4 300"]),
        ("c.gmap", ["pos chr cM", "100 22 0", "200 22 1", "300 22 4"]),
        ("d.txt", ["22 100 0", "22 200 1", "22 300 4"]),
        ("e.txt", ["position COMBINED_rate(cM/Mb) Genetic_Map(cM)", "100 1 0", "200 3 1", "300 0 4"]),
        ("f.txt", ["22 100 1.5 0.0", "22 200 3.5 1.0", "22 300 0.5 4.0"]),
    ],
)
def test_layouts_of_genetic_maps(make_table, name, lines):
    path = make_table(lines, name)
    packed = path.with_name(f"{name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, packed):
        cm = read_genetic_map(file).centimorgans("chr22", np.array([50, 100, 150, 250, 400]))
        assert cm == pytest.approx([-1, 0, 0.5, 2.5, 6])


def test_without_a_map_1_centimorgan_per_megabase(make_vcf):
    assert read_panel(make_vcf(["22 2500000 A C 0|0 0|1 1|1"])).sites.cm == pytest.approx([2.5])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["pos chr cM", "5 22 1", "9 22 0.5"], "line 3: cM 0.5 after 1; a map must not go down"),
        (["pos chr cM", "50 22 1", "9 22 2"], "line 3: position 9 after 50"),
        (["pos chr cM", "50 22 x"], "line 2: found 'x' in column 3; expected a number"),
        (["a b", "1 2"], "line 1: found 'a b'; expected HapMap"),
        (["pos chr cM"], "a header and no points"),
    ],
)
def test_wrong_genetic_maps(make_table, lines, message):
    with pytest.raises(InputError, match=message):
        read_genetic_map(make_table(lines, "m.txt"))


def test_map_without_the_chromosome(make_table):
    path = make_table(["pos chr cM", "5 21 1", "9 21 2"], "m.txt")
    with pytest.raises(InputError, match="nothing of chromosome 22; it holds 21"):
        read_genetic_map(path).centimorgans("22", np.array([5]))
