"""Ragged encoded sequences to rectangular batches."""

from collections.abc import Sequence

import numpy as np

PADDING, SEPARATOR = 4, 1  # [PAD] and [SEP] of `crocuta.data.encoding.VOCABULARY`


def pad_batch(
    ids: Sequence[np.ndarray], padding_side: str = "right", append_separator: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Input ids and attention mask (1 = token), both int64 (n, longest), of encoded sequences.

    `append_separator` ends each sequence with [SEP], as HyenaDNA was trained.
    """
    extra = int(append_separator)
    lengths = np.array([len(row) + extra for row in ids])
    width = lengths.max(initial=1)
    input_ids = np.full((len(ids), width), PADDING, np.int64)
    column = np.arange(width)
    ends = lengths[:, None]
    mask = column >= width - ends if padding_side == "left" else column < ends
    separator = np.full(extra, SEPARATOR, np.uint8)
    input_ids[mask] = np.concatenate([part for row in ids for part in (row, separator)])
    return input_ids, mask.astype(np.int64)
