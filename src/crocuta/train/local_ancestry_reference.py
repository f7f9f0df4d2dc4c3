"""The reference of a run: haplotypes of people of known population, at the sites that a query is judged by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from crocuta.data.variants import MISSING, Panel, Samples
from crocuta.data.variants.store import Haplotypes
from crocuta.errors import InputError
from crocuta.train.ancestry_panels import kept_people, load_panel, name_of, naming
from crocuta.train.ancestry_sites import site_arrays, sites_of

LEAST = 4  # people of a population: mosaics are made of some and judged by others


@dataclass(frozen=True)
class Reference:
    """A panel of one chromosome, and population numbers (people,)."""

    panel: Panel
    labels: np.ndarray


def read_references(
    cohort: Haplotypes,
    by: str = "group",
    leave_out: Sequence[str] = (),
    maf: float = 0.05,
    spacing: int = 0,
    progress: Callable[[], object] | None = None,
) -> tuple[list[Reference], tuple[str, ...]]:
    """One reference a chromosome, and the names of the populations.

    Args:
        by: what is told apart, "population" or "group".
        leave_out: populations or groups that are not taken for references, such as admixed ones.
        maf: least frequency of a site's rarer allele among them.
        spacing: at most one site in so many nucleotides; 0: all.
        progress: called after every person read, of each chromosome twice.

    Raises:
        InputError: a name that nobody has; fewer than two populations; one of fewer than `LEAST` people; no phase.
    """
    with naming(name_of(cohort)):
        return _read_references(cohort, by, leave_out, maf, spacing, progress or (lambda: None))


def _read_references(
    cohort: Haplotypes,
    by: str,
    leave_out: Sequence[str],
    maf: float,
    spacing: int,
    progress: Callable[[], object],
) -> tuple[list[Reference], tuple[str, ...]]:
    people = kept_people(cohort.samples, by, leave_out)
    samples = cohort.samples.at(people)
    names, labels = np.unique(getattr(samples, by), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"one {by} only ({', '.join(names)}); expected two or more to tell apart")
    count = np.bincount(labels)
    if count.min() < LEAST:
        raise InputError(
            f"{by} {names[count.argmin()]} has {count.min()} individual{'s' if count.min() > 1 else ''}; expected"
            f" {LEAST} or more of each, or --leave-out {names[count.argmin()]}"
        )
    found = []
    for chromosome in cohort.chromosomes:
        if not cohort.is_phased(chromosome):
            raise InputError(
                f"chromosome {chromosome} is unphased; references of local ancestry must be phased, with SHAPEIT5 or"
                " Beagle, or train with --task windows --view genotype"
            )
        panel = load_panel(cohort, chromosome, people, people, samples, maf, progress)
        if spacing:
            panel = panel.at(np.unique(panel.sites.position // spacing, return_index=True)[1])
        found.append(Reference(panel, labels))
    return found, tuple(names.tolist())


def save_reference(folder: Path, reference: Reference) -> None:
    """Writes `<chromosome>.safetensors`: alleles as bits."""
    panel, sites = reference.panel, reference.panel.sites
    alleles = panel.haplotypes
    arrays = {
        "alternative": np.packbits(alleles == 1, axis=1),
        "missing": np.packbits(alleles == MISSING, axis=1),
        "labels": reference.labels,
        **site_arrays(sites),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        folder / f"{sites.chromosome}.safetensors",
        metadata={"chromosome": sites.chromosome, "samples": "\t".join(panel.samples.name.tolist())},
    )


def load_reference(path: Path) -> Reference:
    """Reads what `save_reference` wrote."""
    with safe_open(path, "numpy") as file:
        array = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        about = file.metadata()
    sites, labels = sites_of(about["chromosome"], array), array["labels"]
    shape = (2 * len(labels), len(sites))
    bits = {
        name: np.unpackbits(array[name], axis=1, count=shape[1]).astype(bool)
        for name in ("alternative", "missing")
    }
    allele = np.where(bits["missing"], MISSING, bits["alternative"]).astype(np.uint8)
    names, none = np.array(about["samples"].split("\t")), np.full(len(labels), "")
    return Reference(Panel(Samples(names, none, none, none), sites, allele.reshape(-1, 2, shape[1])), labels)
