import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants.tracts import (
    Segments,
    Tracts,
    joined,
    proportions,
    read_fb,
    read_msp,
    read_tracts,
    write_bed,
    write_fb,
    write_msp,
    write_q,
)

HEADER = "#chm\tspos\tepos\tsgpos\tegpos\tn snps"


@pytest.fixture
def tracts():
    posterior = np.array(
        [[[0.95, 0.05], [0.92, 0.08], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.3], [0.97, 0.03]]] * 2
    )
    posterior[2:] = posterior[2:, :, ::-1]
    made = []
    for name in ("chr1", "chr2"):
        start = np.array([100, 500, 900])
        segments = Segments(
            name, start, np.array([500, 900, 1001]), start / 1e3, start / 1e3 + 0.4, np.array([4, 4, 2])
        )
        made.append(Tracts(("s1", "s2"), ("AFR", "EUR"), segments, posterior.astype(np.float32)))
    return made


def test_msp_is_half_open_and_joins_what_does_not_change(tracts, tmp_path):
    write_msp(tmp_path / "a.msp.tsv", tracts)
    lines = (tmp_path / "a.msp.tsv").read_text().splitlines()
    assert lines[0] == "#Subpopulation order/codes: AFR=0\tEUR=1"
    header = ["#chm", "spos", "epos", "sgpos", "egpos", "n snps", "s1.0", "s1.1", "s2.0", "s2.1"]
    assert lines[1].split("\t") == header
    assert lines[2].split("\t") == ["chr1", "100", "900", "0.100000", "0.900000", "8", "0", "0", "1", "1"]
    assert lines[3].split("\t")[1:3] == ["900", "1001"]
    found = read_msp(tmp_path / "a.msp.tsv")
    assert [calls.segments.chromosome for calls in found] == ["chr1", "chr2"]
    for calls, written in zip(found, tracts, strict=True):
        segments, code = joined(written.segments, written.code)
        assert (calls.samples, calls.populations) == (written.samples, written.populations)
        np.testing.assert_array_equal(calls.code, code)
        np.testing.assert_array_equal(calls.segments.start[1:], calls.segments.end[:-1])
        np.testing.assert_array_equal(calls.segments.sites, segments.sites)


def test_fb_reads_back_equal(tracts, tmp_path):
    write_fb(tmp_path / "a.fb.tsv", tracts)
    header = (tmp_path / "a.fb.tsv").read_text().splitlines()[1].split("\t")
    assert header[4:7] == ["s1:::hap1:::AFR", "s1:::hap1:::EUR", "s1:::hap2:::AFR"]
    lines = [line.split("\t") for line in (tmp_path / "a.fb.tsv").read_text().splitlines()]
    assert lines[0] == ["#reference_panel_population:", "AFR", "EUR"]
    assert lines[1][:4] == ["chromosome", "physical_position", "genetic_position", "genetic_marker_index"]
    assert lines[2][:6] == ["chr1", "300", "0.300000", "0", "0.95000", "0.05000"]
    assert [line[3] for line in lines[2:]] == ["0", "4", "8", "10", "14", "18"]
    rows = list(read_fb(tmp_path / "a.fb.tsv"))
    assert [(name, position) for name, position, _ in rows[:4]] == [
        ("chr1", 300), ("chr1", 700), ("chr1", 950), ("chr2", 300),
    ]  # fmt: skip
    found = np.stack([values for _, _, values in rows[:3]], 1)
    np.testing.assert_allclose(found, tracts[0].posterior, atol=1e-5)


def test_bed_cuts_where_it_becomes_doubtful(tracts, tmp_path):
    write_bed(tmp_path / "s1.bed", tracts, 0)
    found = [tract for tract in read_tracts(tmp_path / "s1.bed") if tract.chromosome == "chr1"]
    assert [(t.start, t.end, t.population, t.haplotype) for t in found] == [
        (99, 899, "AFR", 0), (899, 1000, "EUR", 0), (99, 899, "AFR", 1), (899, 1000, "AFR", 1),
    ]  # fmt: skip
    assert [t.probability for t in found] == [0.935, 0.8, 0.65, 0.97]


def test_proportions_go_by_length(tracts, tmp_path):
    expected = (400 * (0.95 + 0.6) + 400 * (0.92 + 0.7) + 101 * (0.2 + 0.97)) / (2 * 901)
    assert proportions(tracts)[0, 0] == pytest.approx(expected)
    assert proportions(tracts)[1, 1] == pytest.approx(expected)
    write_q(tmp_path / "a.Q", tracts)
    assert (tmp_path / "a.Q").read_text().splitlines()[2].split("\t") == [
        "s1",
        f"{expected:.5f}",
        f"{1 - expected:.5f}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected '#Subpopulation"),
        ("#Subpopulation order/codes: A=0\tB=1\n#chm\tspos\n", "line 2: columns #chm, spos"),
        (
            "#Subpopulation order/codes: A=0\tB=1\n#chm\tspos\tepos\tsgpos\tegpos\tn snps\ts.0\n",
            "columns S.0 and S.1",
        ),
        (
            f"#Subpopulation order/codes: A=0\n{HEADER}\ts.0\ts.1\n1\t1\t2\t0\t0\t1\t0\n",
            "line 3: 7 fields, expected 8",
        ),
        (
            f"#Subpopulation order/codes: A=0\n{HEADER}\ts.0\ts.1\n1\t1\t2\t0\t0\t1\t0\t3\n",
            "code 3, expected 0 to 0",
        ),
    ],
)
def test_what_is_no_msp_is_told(tmp_path, text, message):
    (tmp_path / "a.msp.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_msp(tmp_path / "a.msp.tsv")


def test_a_bed_of_another_kind_is_told(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t1\t2\n")
    with pytest.raises(InputError, match="line 1: columns chr1, 1, 2; expected #chrom"):
        read_tracts(tmp_path / "a.bed")
