"""What a training step of an ancestry model costs: by the chromosome's length, and in SNPs a second."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from crocuta.ancestry.window_training import AncestryRecipe, Optimizers
from crocuta.models.ancestry import AncestryConfig, AncestryForSNPPrediction
from crocuta.nn.genomic_position import PositionTable

WINDOW, BATCH, STEPS = 1024, 8, 12
MEGABASES = (1, 10, 100, 250)


def batches(length: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Random alleles at random windows of 300 kb."""
    generator = torch.Generator().manual_seed(0)
    while True:
        start = torch.randint(0, max(length - 300_000, 1), (BATCH, 1), generator=generator)
        offset = torch.randint(1, 300_000, (BATCH, WINDOW), generator=generator).sort().values
        yield torch.randint(0, 2, (BATCH, WINDOW), generator=generator), start + offset


def timed(model: AncestryForSNPPrediction, length: int) -> tuple[float, Optimizers]:
    """Median CPU seconds of a step, one thread, and the optimisers after it."""
    optimizers, seconds = Optimizers.of(model, AncestryRecipe()), []
    for _, (ids, position) in zip(range(STEPS), batches(length), strict=False):
        first = time.process_time()
        model(ids, position, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizers.dense, 1.0)
        for member in optimizers.members:
            member.step()
            member.zero_grad()
        seconds.append(time.process_time() - first)
    return sorted(seconds[2:])[len(seconds[2:]) // 2], optimizers


def fpe_row(megabases: int, alpha: int = 10) -> dict[str, Any]:
    length = megabases * 1_000_000
    config: Any = AncestryConfig(
        position="fpe", alpha=alpha, bidirectional=False, chromosome_lengths=[length], max_sites=WINDOW
    )
    model = AncestryForSNPPrediction(config).train()
    seconds, optimizers = timed(model, length)
    table = next(module.weight for module in model.modules() if isinstance(module, PositionTable))
    state = optimizers.members[1].state[table]
    held = sum(value.numel() * value.element_size() for value in state.values())
    mb = 1 / (1 << 20)
    return {
        "ms_per_step": 1e3 * seconds, "table_mb": table.numel() * 4 * mb, "state_mb": held * mb,
        "dense_state_mb": 2 * table.numel() * 4 * mb, "rows_met": len(state["row"]),
    }  # fmt: skip


def fpe_rows() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for megabases in MEGABASES:
        yield f"{megabases} Mb", lambda megabases=megabases: fpe_row(megabases)


def throughput_row(backbone: str, position: str) -> dict[str, Any]:
    config: Any = AncestryConfig(
        position=position, backbone=backbone, bidirectional=False, chromosome_lengths=[50_000_000],
        max_sites=WINDOW, dropout=0.0,
    )  # fmt: skip
    seconds, _ = timed(AncestryForSNPPrediction(config).train(), 50_000_000)
    return {"tokens_per_second": WINDOW * BATCH / seconds, "threads": torch.get_num_threads()}


def throughput_rows() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for backbone in ("hyena", "transformer"):
        for position in ("none", "fpe", "centimorgan"):
            yield f"{backbone} {position}", lambda b=backbone, p=position: throughput_row(b, p)
