"""DNA nucleotides to token ids and back, vectorised: numpy and nothing else."""

from collections.abc import Sequence

import numpy as np

SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
NUCLEOTIDES = "ACGTN"
VOCABULARY: dict[str, int] = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *NUCLEOTIDES))}

_N = VOCABULARY["N"]
_OTHER = _N + 1  # a nucleotide that is not ACGTN, while it is counted


def _table(other: int) -> bytes:
    """Byte to id, either case; every byte that is not ACGTN becomes `other`."""
    table = bytearray([other]) * 256
    for nucleotide in NUCLEOTIDES:
        table[ord(nucleotide)] = table[ord(nucleotide.lower())] = VOCABULARY[nucleotide]
    return bytes(table)


_TO_IDS, _TO_COUNTED = _table(_N), _table(_OTHER)
_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[[VOCABULARY[base] for base in "ACGT"]] = [VOCABULARY[base] for base in "TGCA"]


def _as_bytes(sequence: str | bytes) -> bytes:
    return sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence


def encode(sequence: str | bytes) -> np.ndarray:
    """Token ids of a sequence, uint8 (length,), no special tokens; what is not ACGT in either case becomes N.

    >>> encode("ACgtR").tolist()
    [7, 8, 9, 10, 11]
    """
    return np.frombuffer(bytearray(_as_bytes(sequence)).translate(_TO_IDS), np.uint8)


def encode_counted(sequence: str | bytes) -> tuple[np.ndarray, int]:
    """What `encode` and `count_other_nucleotides` return, in one pass over the nucleotides."""
    ids = np.frombuffer(bytearray(_as_bytes(sequence)).translate(_TO_COUNTED), np.uint8)
    others = int(np.count_nonzero(ids == _OTHER))
    return np.minimum(ids, np.uint8(_N), out=ids) if others else ids, others


def encode_joined(sequences: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encodes many sequences as one, which is far faster where they are short.

    Returns ids uint8 (total nucleotides,), offsets int64 (n + 1,), other nucleotides of each int64 (n,).
    """
    nucleotides = [_as_bytes(sequence) for sequence in sequences]
    offsets = np.cumsum([0, *map(len, nucleotides)], dtype=np.int64)
    ids = np.frombuffer(bytearray(b"".join(nucleotides)).translate(_TO_COUNTED), np.uint8)
    places = np.flatnonzero(ids == _OTHER)
    ids[places] = _N
    return ids, offsets, np.diff(np.searchsorted(places, offsets))


def count_other_nucleotides(sequence: str | bytes) -> int:
    """Number of nucleotides that are not A, C, G, T or N in either case; `encode` keeps them as N.

    >>> count_other_nucleotides("ACGTNacgtnRYU")
    3
    """
    return encode_counted(sequence)[1]


def reverse_complement(ids: np.ndarray) -> np.ndarray:
    """The other strand in its own direction: ids (..., length) reversed, A with T and C with G exchanged.

    N and special tokens keep their value. The type of the ids is kept.
    """
    return _COMPLEMENT[ids[..., ::-1]].astype(ids.dtype, copy=False)


def canonical(ids: np.ndarray) -> bytes:
    """One key for a sequence and its reverse complement: the smaller of the two as bytes."""
    return min(ids.tobytes(), reverse_complement(ids).tobytes())


def decode(ids: np.ndarray) -> str:
    """Nucleotides of ids (length,); special tokens are written by name, e.g. `[SEP]`.

    Raises:
        ValueError: an id lies outside the vocabulary.
    """
    ids = np.asarray(ids)
    if ids.size and not 0 <= ids.min() <= ids.max() < len(VOCABULARY):
        raise ValueError(f"ids must lie in 0..{len(VOCABULARY) - 1}, found {ids.min()}..{ids.max()}")
    tokens = list(VOCABULARY)
    return "".join(tokens[i] for i in ids.tolist())
