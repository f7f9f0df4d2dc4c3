"""The named tasks of four public benchmarks, one typed record each."""

from dataclasses import dataclass
from typing import Literal

from crocuta.errors import InputError

Metric = Literal["mcc", "accuracy", "f1"]


@dataclass(frozen=True)
class Task:
    """A public classification task.

    name: `suite/...`, as the command line takes it.
    classes: names of the labels in the files, in the order of their numbers.
    length: nucleotides of a sequence; the median where a Genomic Benchmarks set varies, the longest in TEB.
    metric: what the benchmark's authors compare models by.
    sizes: published numbers of records: training, validation (0: not published), test.
    folder: where the published copy keeps it; `aliases` are other names that are found too.
    split_policy, source, citation: sentences for reports and messages.
    """

    name: str
    suite: Literal["gue", "genomic_benchmarks", "nucleotide_transformer", "teb"]
    classes: tuple[str, ...]
    length: int
    metric: Metric
    sizes: tuple[int, int, int]
    folder: str
    split_policy: str
    source: str
    citation: str
    aliases: tuple[str, ...] = ()


BINARY, SIGNED = ("0", "1"), ("negative", "positive")
NO_VALIDATION = "Published training and test sets; a tenth of training is set aside for validation."
PUBLISHED = "Published training, validation and test sets."


def _gue(
    name: str, folder: str, length: int, sizes: tuple[int, int, int], classes: int = 2, metric: Metric = "mcc"
) -> Task:
    return Task(
        name=f"gue/{name}",
        suite="gue",
        classes=tuple(map(str, range(classes))),
        length=length,
        metric=metric,
        sizes=sizes,
        folder=folder,
        aliases=() if name == folder else (name,),
        split_policy=PUBLISHED,
        source="https://github.com/MAGICS-LAB/DNABERT_2 (GUE.zip)",
        citation="Zhou et al. 2023, DNABERT-2, arXiv:2306.15006",
    )


def _genomic_benchmark(
    folder: str, length: int, train: int, test: int, classes: tuple[str, ...] = SIGNED
) -> Task:
    return Task(
        name=f"genomic_benchmarks/{folder}",
        suite="genomic_benchmarks",
        classes=classes,
        length=length,
        metric="accuracy",
        sizes=(train, 0, test),
        folder=folder,
        split_policy=NO_VALIDATION,
        source="genomic_benchmarks.loc2seq.download_dataset of the Python package genomic-benchmarks",
        citation="Gresova et al. 2023, Genomic benchmarks, doi:10.1186/s12863-023-01123-8",
    )


def _nucleotide_transformer(
    folder: str, length: int, train: int, test: int, metric: Metric = "mcc", classes: int = 2, alias: str = ""
) -> Task:
    return Task(
        name=f"nucleotide_transformer/{folder}",
        suite="nucleotide_transformer",
        classes=tuple(map(str, range(classes))),
        length=length,
        metric=metric,
        sizes=(train, 0, test),
        folder=folder,
        aliases=(alias,) if alias else (),
        split_policy=NO_VALIDATION,
        source="https://huggingface.co/datasets/InstaDeepAI/nucleotide_transformer_downstream_tasks",
        citation="Dalla-Torre et al. 2023, The Nucleotide Transformer, doi:10.1101/2023.01.11.523679",
    )


def _teb(name: str, folder: str, length: int, sizes: tuple[int, int, int], *aliases: str) -> Task:
    return Task(
        name=f"teb/{name}",
        suite="teb",
        classes=BINARY,
        length=length,
        metric="mcc",
        sizes=sizes,
        folder=folder,
        aliases=tuple(alias for alias in (name, *aliases) if alias != folder),
        split_policy=PUBLISHED,
        source="https://drive.google.com/drive/folders/1P1FSoHGXRj-ub9D1O0uyUXp5iXp7PAAA",
        citation="Khan et al. 2025, Hyperbolic Genome Embeddings, arXiv:2507.21648",
    )


GUE = (
    _gue("H3", "EMP/H3", 500, (11971, 1497, 1497)),
    _gue("H3K14ac", "EMP/H3K14ac", 500, (26438, 3305, 3305)),
    _gue("H3K36me3", "EMP/H3K36me3", 500, (27904, 3488, 3488)),
    _gue("H3K4me1", "EMP/H3K4me1", 500, (25341, 3168, 3168)),
    _gue("H3K4me2", "EMP/H3K4me2", 500, (24545, 3069, 3069)),
    _gue("H3K4me3", "EMP/H3K4me3", 500, (29439, 3680, 3680)),
    _gue("H3K79me3", "EMP/H3K79me3", 500, (23069, 2884, 2884)),
    _gue("H3K9ac", "EMP/H3K9ac", 500, (22224, 2779, 2779)),
    _gue("H4", "EMP/H4", 500, (11679, 1461, 1461)),
    _gue("H4ac", "EMP/H4ac", 500, (27275, 3410, 3410)),
    _gue("mouse/0", "mouse/0", 100, (6478, 810, 810)),
    _gue("mouse/1", "mouse/1", 100, (53952, 6745, 6745)),
    _gue("mouse/2", "mouse/2", 100, (2620, 328, 328)),
    _gue("mouse/3", "mouse/3", 100, (1904, 239, 239)),
    _gue("mouse/4", "mouse/4", 100, (15064, 1883, 1883)),
    _gue("prom_300_all", "prom/prom_300_all", 300, (47356, 5920, 5920)),
    _gue("prom_300_notata", "prom/prom_300_notata", 300, (42452, 5307, 5307)),
    _gue("prom_300_tata", "prom/prom_300_tata", 300, (4904, 613, 613)),
    _gue("prom_core_all", "prom/prom_core_all", 70, (47356, 5920, 5920)),
    _gue("prom_core_notata", "prom/prom_core_notata", 70, (42452, 5307, 5307)),
    _gue("prom_core_tata", "prom/prom_core_tata", 70, (4904, 613, 613)),
    _gue("splice", "splice/reconstructed", 400, (36496, 4562, 4562), classes=3),
    _gue("tf/0", "tf/0", 100, (32378, 1000, 1000)),
    _gue("tf/1", "tf/1", 100, (30672, 1000, 1000)),
    _gue("tf/2", "tf/2", 100, (19000, 1000, 1000)),
    _gue("tf/3", "tf/3", 100, (27294, 1000, 1000)),
    _gue("tf/4", "tf/4", 100, (19000, 1000, 1000)),
    _gue("covid", "virus/covid", 1000, (77669, 7000, 7000), classes=9, metric="f1"),
)

GENOMIC_BENCHMARKS = (
    _genomic_benchmark("dummy_mouse_enhancers_ensembl", 2381, 968, 242),
    _genomic_benchmark(
        "demo_coding_vs_intergenomic_seqs", 200, 75000, 25000, ("coding_seqs", "intergenomic_seqs")
    ),
    _genomic_benchmark("demo_human_or_worm", 200, 75000, 25000, ("human", "worm")),
    _genomic_benchmark("drosophila_enhancers_stark", 2142, 5184, 1730),
    _genomic_benchmark("human_enhancers_cohn", 500, 20843, 6948),
    _genomic_benchmark("human_enhancers_ensembl", 269, 123872, 30970),
    _genomic_benchmark("human_ensembl_regulatory", 401, 231348, 57713, ("enhancer", "ocr", "promoter")),
    _genomic_benchmark("human_nontata_promoters", 251, 27097, 9034),
    _genomic_benchmark("human_ocr_ensembl", 315, 139804, 34952),
)

NUCLEOTIDE_TRANSFORMER = (
    _nucleotide_transformer("enhancers", 200, 14968, 400, alias="enhancer"),
    _nucleotide_transformer("enhancers_types", 200, 14968, 400, classes=3, alias="enhancer_types"),
    _nucleotide_transformer("H3", 500, 13468, 1497),
    _nucleotide_transformer("H3K14ac", 500, 29743, 3305),
    _nucleotide_transformer("H3K36me3", 500, 31392, 3488),
    _nucleotide_transformer("H3K4me1", 500, 28509, 3168),
    _nucleotide_transformer("H3K4me2", 500, 27614, 3069),
    _nucleotide_transformer("H3K4me3", 500, 33119, 3680),
    _nucleotide_transformer("H3K79me3", 500, 25953, 2884),
    _nucleotide_transformer("H3K9ac", 500, 25003, 2779),
    _nucleotide_transformer("H4", 500, 13140, 1461),
    _nucleotide_transformer("H4ac", 500, 30685, 3410),
    _nucleotide_transformer("promoter_all", 300, 53276, 5920, "f1"),
    _nucleotide_transformer("promoter_no_tata", 300, 47767, 5299, "f1", alias="promoter_non_tata"),
    _nucleotide_transformer("promoter_tata", 300, 5509, 621, "f1"),
    _nucleotide_transformer("splice_sites_acceptors", 600, 19961, 2218, "f1", alias="splice_sites_acceptor"),
    _nucleotide_transformer("splice_sites_all", 400, 27000, 3000, "accuracy", classes=3),
    _nucleotide_transformer("splice_sites_donors", 600, 19775, 2198, "f1", alias="splice_sites_donor"),
)

TEB = (
    _teb("ltr_copia", "ltr_copia", 500, (7666, 682, 568), "copia"),
    _teb("lines", "lines", 1000, (22502, 2030, 1782)),
    _teb("sines", "sines", 500, (21152, 1836, 1784)),
    _teb("cmc_enspm", "dna_cmc", 200, (19912, 1872, 1808)),
    _teb("hat_ac", "dna_hat", 1000, (17322, 1822, 1428), "dna_hat_ac"),
    _teb("processed_pseudogenes", "processed_pseudogenes", 1000, (17956, 1046, 1740), "processed_pseudogene"),
    _teb("unprocessed_pseudogenes", "unprocessed_pseudogenes", 1000, (12938, 766, 884),
         "unprocessed_pseudogene"),
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.name: task for task in (*GUE, *GENOMIC_BENCHMARKS, *NUCLEOTIDE_TRANSFORMER, *TEB)
}


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: there is none; the message offers the nearest names.
    """
    if name in TASKS:
        return TASKS[name]
    from difflib import get_close_matches

    near = get_close_matches(name, TASKS, 3, 0.5) or ["gue/prom_core_tata"]
    raise InputError(
        f"no task {name!r}; did you mean {' or '.join(near)}? `crocuta tasks` lists all {len(TASKS)}"
    )
