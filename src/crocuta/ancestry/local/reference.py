"""The reference of a run: haplotypes of individuals of known population, at the sites that a query is called at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crocuta.ancestry.panels import Choice, kept_individuals, load_panel, name_of, naming
from crocuta.ancestry.sites import load_arrays, save_arrays, site_arrays, sites_of
from crocuta.errors import InputError
from crocuta.files import file_name
from crocuta.runs.progress import SILENT, Progress
from crocuta.variants import MISSING, Panel, Samples
from crocuta.variants.store import Haplotypes

LOCAL_CHOICE = Choice(maf=0.05)
LEAST = 4  # individuals of a population: mosaics are made of some and called by the others


@dataclass(frozen=True)
class LocalReference:
    """A panel of one chromosome, and population numbers (individuals,)."""

    panel: Panel
    labels: np.ndarray


def read_references(
    cohort: Haplotypes, choice: Choice | None = None, spacing: int = 0, progress: Progress = SILENT
) -> tuple[list[LocalReference], tuple[str, ...]]:
    """One reference a chromosome, and the names of the populations.

    Args:
        choice: classes, who is not taken for a reference (such as the admixed), and the least frequency of a
            site's rarer allele among those who are; its shares are not used.
        spacing: at most one site in this many nucleotides; 0: all.

    Raises:
        InputError: a name that nobody has; fewer than two populations; one of fewer than `LEAST` individuals; no phase.
    """
    with naming(name_of(cohort)):
        return _read_references(cohort, choice or LOCAL_CHOICE, spacing, progress)


def _read_references(
    cohort: Haplotypes, choice: Choice, spacing: int, progress: Progress
) -> tuple[list[LocalReference], tuple[str, ...]]:
    by = choice.by
    individuals = kept_individuals(cohort.samples, by, choice.leave_out)
    samples = cohort.samples.at(individuals)
    names, labels = np.unique(getattr(samples, by), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"one {by} only ({', '.join(names)}); expected at least two")
    count = np.bincount(labels)
    if count.min() < LEAST:
        raise InputError(
            f"{by} {names[count.argmin()]} has {count.min()} individual{'s' if count.min() > 1 else ''}; expected"
            f" {LEAST} or more of each, or {names[count.argmin()]} in `leave_out`"
        )
    for chromosome in cohort.chromosomes:
        if not cohort.is_phased(chromosome):
            raise InputError(
                f"chromosome {chromosome} is unphased; references of local ancestry must be phased, with SHAPEIT5 or"
                " Beagle; models of windows with `view` genotype need no phase"
            )
    found = []
    with progress.stage("reading", 2 * len(individuals) * len(cohort.chromosomes), "individuals") as stage:
        for chromosome in cohort.chromosomes:
            panel = load_panel(cohort, chromosome, individuals, individuals, samples, choice.maf, stage)
            if spacing:
                panel = panel.at(np.unique(panel.sites.position // spacing, return_index=True)[1])
            found.append(LocalReference(panel, labels))
    return found, tuple(names.tolist())


def reference_file(folder: Path, chromosome: str) -> Path:
    """Where the reference of a chromosome lies."""
    return folder / f"{file_name(chromosome)}.safetensors"


def save_reference(folder: Path, reference: LocalReference) -> None:
    """Writes `<chromosome>.safetensors`: alleles as bits."""
    panel, sites = reference.panel, reference.panel.sites
    alleles = panel.haplotypes
    arrays = {
        "alternative": np.packbits(alleles == 1, axis=1),
        "missing": np.packbits(alleles == MISSING, axis=1),
        "labels": reference.labels,
        **site_arrays(sites),
    }
    about = {"chromosome": sites.chromosome, "samples": panel.samples.name.tolist()}
    save_arrays(reference_file(folder, sites.chromosome), arrays, about)


def load_reference(path: Path) -> LocalReference:
    """Reads what `save_reference` wrote."""
    array, about = load_arrays(path)
    sites, labels = sites_of(about["chromosome"], array), array["labels"]
    shape = (2 * len(labels), len(sites))
    bits = {
        name: np.unpackbits(array[name], axis=1, count=shape[1]).astype(bool)
        for name in ("alternative", "missing")
    }
    allele = np.where(bits["missing"], MISSING, bits["alternative"]).astype(np.uint8)
    names_of = about["samples"]
    names = np.array(
        names_of.split("\t") if isinstance(names_of, str) else names_of
    )  # a text: as 0.1.0 wrote it
    none = np.full(len(labels), "")
    return LocalReference(
        Panel(Samples(names, none, none, none), sites, allele.reshape(-1, 2, shape[1])), labels
    )
