"""Names of chromosomes, regions of them, and the reference build that their lengths give away."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from crocuta.errors import InputError

LENGTHS = {  # lengths of GRCh37's and GRCh38's chromosomes
    "1": (249250621, 248956422),
    "2": (243199373, 242193529),
    "3": (198022430, 198295559),
    "4": (191154276, 190214555),
    "5": (180915260, 181538259),
    "6": (171115067, 170805979),
    "7": (159138663, 159345973),
    "8": (146364022, 145138636),
    "9": (141213431, 138394717),
    "10": (135534747, 133797422),
    "11": (135006516, 135086622),
    "12": (133851895, 133275309),
    "13": (115169878, 114364328),
    "14": (107349540, 107043718),
    "15": (102531392, 101991189),
    "16": (90354753, 90338345),
    "17": (81195210, 83257441),
    "18": (78077248, 80373285),
    "19": (59128983, 58617616),
    "20": (63025520, 64444167),
    "21": (48129895, 46709983),
    "22": (51304566, 50818468),
    "X": (155270560, 156040895),
}
BUILDS = ("GRCh37", "GRCh38")
NUMBERED = {"23": "X", "24": "Y", "26": "MT", "M": "MT"}  # as PLINK numbers them, and UCSC's mitochondrion


def plain(name: str) -> str:
    """The name of a chromosome without `chr`, by which files are matched.

    >>> plain("chr22"), plain("chrM"), plain("23")
    ('22', 'MT', 'X')
    """
    short = name[3:] if name[:3].lower() == "chr" else name
    return NUMBERED.get(short, short)


def build_of(lengths: Mapping[str, int]) -> str:
    """GRCh37 or GRCh38 where lengths of chromosomes agree with it alone; "" if they do not say."""
    votes = [
        {build for build, known in zip(BUILDS, LENGTHS[plain(name)], strict=True) if known == length}
        for name, length in lengths.items()
        if plain(name) in LENGTHS
    ]
    shared = set.intersection(*votes) if votes else set()
    return shared.pop() if len(shared) == 1 else ""


class ContigRegion(NamedTuple):
    """Positions `start` to `end` (both included, from 1) of a chromosome, named as in the file or plainly."""

    chromosome: str
    start: int = 1
    end: int = 2**31 - 2

    def holds(self, chromosome: str) -> bool:
        return plain(chromosome) == plain(self.chromosome)


def parse_region(text: str) -> ContigRegion:
    """Reads `22` or `22:16000000-17000000`.

    Raises:
        InputError: it is neither.
    """
    match = re.fullmatch(r"([^:]+)(?::([\d,]+)-([\d,]+))?", text)
    if not match:
        raise InputError(
            f"region {text!r}; expected a chromosome, or one with positions, e.g. 22:16000000-17000000"
        )
    if not match[2]:
        return ContigRegion(match[1])
    return ContigRegion(match[1], int(match[2].replace(",", "")), int(match[3].replace(",", "")))
