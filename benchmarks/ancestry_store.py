"""Variants to a store and back: genotypes read a second, windows read in milliseconds, memory of a build.

`OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/ancestry_store.py COHORT_FOLDER`, where the folder is what
`crocuta ancestry simulate -o COHORT_FOLDER --length 50.8e6 --name 22` made. Each measurement runs in a process of its
own; results go to benchmarks/results/ancestry_store.json.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crocuta.files import write_json
from crocuta.variants import (
    CarriedSampler,
    Cohort,
    Haplotypes,
    Policy,
    VariantFile,
    WindowSampler,
    build_store,
    pack,
)

RESULT = Path(__file__).parent / "results" / "ancestry_store.json"
WINDOW = 4096
READS = 2000


def read_words(folder: Path, _: Path) -> dict:
    """Our reader: bytes of GT-only lines as numpy words."""
    start, genotypes = time.process_time(), 0
    for block in VariantFile(folder / "cohort.vcf.gz").blocks(Policy()):
        genotypes += block.allele.size // 2
    return rate(genotypes, start)


def read_cyvcf2(folder: Path, _: Path) -> dict:
    """cyvcf2 (htslib), genotypes as arrays, up to 50,000 sites."""
    from cyvcf2 import VCF

    start, genotypes = time.process_time(), 0
    for number, record in enumerate(VCF(str(folder / "cohort.vcf.gz"))):
        genotypes += len(record.genotype.array())
        if number == 50_000:
            break
    return rate(genotypes, start)


def read_fields(folder: Path, scratch: Path) -> dict:
    """Our reader where each genotype has further fields, GT:DP."""
    path = scratch / "fields.vcf"
    random = np.random.default_rng(0)
    with open(path, "w") as file:
        individuals = "\t".join(f"p{i}" for i in range(600))
        file.write(
            f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{individuals}\n"
        )
        for position in range(1, 10_001):
            row = "\t".join(random.choice(["0|0:31", "0|1:9", "1|1:12", "1|0:7"], 600))
            file.write(f"1\t{position}\t.\tA\tC\t.\tPASS\t.\tGT:DP\t{row}\n")
    start, genotypes = time.process_time(), 0
    for block in VariantFile(path).blocks(Policy()):
        genotypes += block.allele.size // 2
    return rate(genotypes, start)


def build(folder: Path, scratch: Path) -> dict:
    """`build_store` of the whole cohort, from VCF to HDF5."""
    start, wall = time.process_time(), time.perf_counter()
    built = build_store(
        [folder / "cohort.vcf.gz"], scratch / "cohort.h5", folder / "samples.tsv", folder / "map.tsv"
    )
    sites = sum(counts.kept for counts in built.counts.values())
    return rate(sites * len(built.samples), start) | {
        "people": len(built.samples), "sites": sites, "wall_seconds": time.perf_counter() - wall,
        "store_megabytes": (scratch / "cohort.h5").stat().st_size / 1e6,
    }  # fmt: skip


def windows_of_store(_: Path, scratch: Path) -> dict:
    """Random windows of random individuals from HDF5."""
    return windows(Cohort(scratch / "cohort.h5"))


def windows_of_cache(_: Path, scratch: Path) -> dict:
    """The same from mapped bits; and how long these take to make."""
    start = time.process_time()
    cache = pack(Cohort(scratch / "cohort.h5"))
    made = time.process_time() - start
    size = sum(path.stat().st_size for path in cache.folder.iterdir())
    return windows(cache) | {"seconds_to_make": made, "cache_megabytes": size / 1e6}


def sampled(_: Path, scratch: Path) -> dict:
    """Windows drawn and read in the five steps, from mapped bits."""
    cache = pack(Cohort(scratch / "cohort.h5"))
    individuals = range(len(cache.samples))
    found = {}
    for kind in (WindowSampler, CarriedSampler):
        sampler = kind(cache, individuals, WINDOW, windows=READS)
        list(sampler.epoch(0))
        start = time.perf_counter()
        list(sampler.epoch(0))
        found[f"{kind.__name__}_windows_per_second"] = READS / (time.perf_counter() - start)
    return found


def windows(cohort: Haplotypes) -> dict:
    random = np.random.default_rng(0)
    name = cohort.chromosomes[0]
    last = len(cohort.sites(name)) - WINDOW
    milliseconds = []
    for person, place in zip(
        random.integers(len(cohort.samples), size=READS).tolist(),
        random.integers(last, size=READS).tolist(),
        strict=True,
    ):
        start = time.perf_counter()
        cohort.read(person, name, place, place + WINDOW)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return {"median_ms": float(np.median(milliseconds)), "mean_ms": float(np.mean(milliseconds))}


def rate(genotypes: int, start: float) -> dict:
    seconds = time.process_time() - start
    return {"million_genotypes_per_second": genotypes / seconds / 1e6, "cpu_seconds": seconds}


CASES: dict[str, Callable[[Path, Path], dict]] = {
    function.__name__: function
    for function in (read_words, read_fields, read_cyvcf2, build, windows_of_store, windows_of_cache, sampled)
}


def run(case: str, folder: Path, scratch: Path) -> dict:
    """One case in a process of its own, with the most memory that it held."""
    command = [sys.executable, __file__, str(folder), "--case", case, "--scratch", str(scratch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    if arguments.case:
        found = CASES[arguments.case](arguments.folder, arguments.scratch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps(found | {"peak_megabytes": peak}))
        return
    results: dict = {"machine": {"processor": platform.machine(), "load_average": os.getloadavg()[0]}}
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            results[case] = run(case, arguments.folder, Path(scratch))
            print(case, *(f"{key} {value:.4g}" for key, value in results[case].items()), sep="  ")
    write_json(RESULT, results)


if __name__ == "__main__":
    main()
