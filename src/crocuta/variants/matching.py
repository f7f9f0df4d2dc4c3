"""Sites of a query against those of a reference: the same variants, also swapped or on the other strand."""

from dataclasses import dataclass, replace

import numpy as np

from crocuta.errors import InputError
from crocuta.variants.contigs import plain
from crocuta.variants.panel import MISSING, Panel, Sites

LEAST = 0.8  # share of the reference's sites that a query must have
COMPLEMENT = {b"A": b"T", b"C": b"G", b"G": b"C", b"T": b"A"}
REACH = 3_000_000  # base pairs by which positions on another build may be shifted
PROBES = 300  # sites by which a shift is looked for
AGREEING = 0.3  # share of them that makes a shift believed


@dataclass(frozen=True)
class Match:
    """Which sites of a query are which of a reference.

    Shapes: `query`, `reference` int64 (matched,), indices, the latter ascending; `swapped` bool (matched,), where the
    query's REF is the reference's ALT.

    Attributes:
        flipped: matched sites on the other strand.
        ambiguous: sites left out as A/T or C/G whose alleles stand the other way round: swapped or on the other strand,
            nobody can tell.
        share: of the reference's sites that are matched.
    """

    query: np.ndarray
    reference: np.ndarray
    swapped: np.ndarray
    flipped: int
    ambiguous: int
    share: float

    def align(self, panel: Panel, sites: Sites) -> Panel:
        """The query's panel at all sites of the reference: its alleles, missing where the query lacks the site."""
        allele = np.full((len(panel.samples), 2, len(sites)), MISSING, np.uint8)
        found = panel.allele[:, :, self.query]
        allele[:, :, self.reference] = np.where(self.swapped & (found != MISSING), 1 - found, found)
        return replace(panel, sites=sites, allele=allele)


def match(
    query: Sites,
    reference: Sites,
    least: float = LEAST,
    source: object = "query",
    builds: tuple[str, str] = ("", ""),
) -> Match:
    """Matches sites by chromosome, position, REF and ALT.

    Tried in this order: the same alleles, swapped, of the other strand, swapped of the other strand.

    Args:
        least: share of the reference's sites below which the query is refused.
        source: what messages call the query.
        builds: of query and reference, where known.

    Raises:
        InputError: another chromosome, another build, or too few sites; says the figure.
    """
    if plain(query.chromosome) != plain(reference.chromosome):
        raise InputError(f"{source}: chromosome {query.chromosome}; expected {reference.chromosome}")
    names, (q_ref, q_alt, r_ref, r_alt) = _numbered(query.ref, query.alt, reference.ref, reference.alt)
    place = {name: i for i, name in enumerate(names.tolist())}
    other = np.array([place.get(COMPLEMENT.get(name, b""), -1) for name in names.tolist()])

    def keys(position: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (position.astype(np.int64) * len(names) + first) * len(names) + second

    have = keys(query.position, q_ref, q_alt)
    order = np.argsort(have, kind="stable")
    found = np.full(len(reference), -1)
    kind = np.zeros(len(reference), int)
    strands = (other[r_ref] >= 0) & (other[r_alt] >= 0)
    either = strands & (other[r_ref] == r_alt)
    ways = ((r_ref, r_alt), (r_alt, r_ref), (other[r_ref], other[r_alt]), (other[r_alt], other[r_ref]))
    for way, (first, second) in enumerate(ways):
        allowed = (found < 0) & (strands if way > 1 else True)
        hit = _look_up(have, order, keys(reference.position, first, second))
        fresh = allowed & (hit >= 0)
        found[fresh], kind[fresh] = hit[fresh], way
    unclear = either & (found >= 0) & (kind > 0)
    matched = np.flatnonzero((found >= 0) & ~unclear)
    share = len(matched) / max(len(reference), 1)
    result = Match(
        found[matched],
        matched,
        np.isin(kind[matched], (1, 3)),
        int((kind[matched] > 1).sum()),
        int(unclear.sum()),
        share,
    )
    if share < least:
        raise InputError(_too_few(query, reference, result, least, source, builds))
    return result


def _numbered(*nucleotides: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct alleles, and arrays of their numbers."""
    names, numbers = np.unique(np.concatenate(nucleotides), return_inverse=True)
    return names, np.split(numbers, np.cumsum([len(array) for array in nucleotides])[:-1])


def _look_up(have: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index in `have` of each wanted key, -1 where absent; `order` sorts `have`."""
    if not len(have):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(have, wanted, sorter=order), len(have) - 1)
    candidate = order[place]
    return np.where(have[candidate] == wanted, candidate, -1)


def _too_few(
    query: Sites, reference: Sites, result: Match, least: float, source: object, builds: tuple[str, str]
) -> str:
    text = (
        f"{source}: {result.share:.1%} of the {len(reference):,} sites of chromosome {reference.chromosome} are in it,"
        f" with their alleles; expected at least {least:.0%}"
    )
    if result.ambiguous:
        text += f" ({result.ambiguous:,} A/T and C/G sites left out, of unclear strand)"
    offset = shift(query.position, reference.position)
    if all(builds) and builds[0] != builds[1]:
        return f"{text}; it is on {builds[0]} and the reference on {builds[1]}, lift it over first"
    if offset:
        return f"{text}; its positions agree if moved by {-offset:+,}: is it on another build? Lift it over first"
    return f"{text}; impute it, or train on the sites that it has"


def shift(query: np.ndarray, reference: np.ndarray) -> int:
    """How far most of the query's positions lie from the reference's; 0 if there is no such distance.

    The probes lie close together, as a build shifts whole stretches alike.
    """
    if len(query) < 2 or len(reference) < 2:
        return 0
    start = max(0, len(query) // 2 - PROBES // 2)
    probes = query[start : start + PROBES].astype(np.int64)
    votes = np.zeros(2 * REACH + 1, np.int32)
    for probe in probes:
        low, high = np.searchsorted(reference, [probe - REACH, probe + REACH + 1])
        votes[probe - reference[low:high] + REACH] += 1
    best = int(votes.argmax())
    return best - REACH if votes[best] >= AGREEING * len(probes) and len(probes) > 20 else 0
