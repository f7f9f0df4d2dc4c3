"""Texts as points: words and groups of three characters, projected, on a manifold."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.data.knowledge import KnowledgeGraph
from crocuta.manifolds import Manifold
from crocuta.runs.device import AUTO
from crocuta.runs.loop import Course, Learner, fit, mixed
from crocuta.runs.progress import Stage

WORD = re.compile(r"\w+(?:[-./]\w+)*")
GROUP = 3  # characters
BATCH, RATE = 128, 0.01  # of the encoder's training
WORD_SHARE = 12.0  # what a whole word counts, in groups


class TextEncoder(nn.Module):
    """Texts to points of `manifold`: words and groups of three characters that occur in a graph's texts, weighed by how
    rare they are there, projected to `features` dimensions and lifted.

    Words that no entity and no relation has weigh nothing, and those of many questions little (`rarities`), so that
    a question's words do not drown the names in it. The projection is random, which keeps angles, until
    `fit_text_encoder` trains it.

    >>> graph = KnowledgeGraph.of([("AluY", "is a", "SINE"), ("L1PA2", "is a", "LINE")])
    >>> TextEncoder(Lorentz(), rarities(graph), 8)(["AluY"]).shape
    torch.Size([1, 9])
    """

    def __init__(self, manifold: Manifold, rarity: Mapping[str, float], features: int = 64):
        super().__init__()
        self.manifold, self.features, self.rarity = manifold, features, dict(rarity)
        self.place = {piece: i for i, piece in enumerate(rarity)}
        self.weight = nn.Parameter(torch.randn(len(rarity), features) / features**0.5)
        self.log_scale = nn.Parameter(torch.tensor(math.log(2.0)))

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Texts to vectors (n, features), the coordinates of `expmap0`; those of known pieces have one length or so."""
        rows = [self._weights(text) for text in texts]
        starts = [0, *accumulate(map(len, rows))][:-1]
        device = self.weight.device
        summed = F.embedding_bag(
            torch.tensor([i for row in rows for i in row], dtype=torch.long, device=device),
            self.weight,
            torch.tensor(starts, dtype=torch.long, device=device),
            mode="sum",
            per_sample_weights=torch.tensor(
                [share for row in rows for share in row.values()], dtype=self.weight.dtype, device=device
            ),
        )
        return self.log_scale.exp() * summed

    def _weights(self, text: str) -> dict[int, float]:
        """Known pieces of a text with their weights, whose squares sum to 1."""
        known = [(piece, count) for piece, count in pieces(text).items() if piece in self.place]
        weights = {self.place[piece]: count * self.rarity[piece] for piece, count in known}
        length = math.hypot(*weights.values()) or 1.0
        return {i: weight / length for i, weight in weights.items()}

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Texts to points (n, ambient)."""
        return self.manifold.expmap0(self.vectors(texts))


def pieces(text: str) -> dict[str, float]:
    """Words and groups of characters of a text with how often they occur; words count `WORD_SHARE` times.

    >>> pieces("Alu")
    {'alu': 12.0, '#<al': 1.0, '#alu': 1.0, '#lu>': 1.0}
    """
    found: dict[str, float] = {}
    for word in WORD.findall(text.lower()):
        found[word] = found.get(word, 0.0) + WORD_SHARE
        edged = f"<{word}>"
        for i in range(len(edged) - GROUP + 1):
            group = "#" + edged[i : i + GROUP]
            found[group] = found.get(group, 0.0) + 1.0
    return found


def rarities(graph: KnowledgeGraph, questions: Sequence[str] = ()) -> dict[str, float]:
    """Of each piece of the graph, the log of texts (of entities, of the relation of each triple, and questions) per
    text that has it."""
    having: Counter[str] = Counter()
    for text in graph.texts:
        having.update(pieces(text).keys())
    for relation, count in Counter(graph.triples[:, 1].tolist()).items():
        having.update(dict.fromkeys(pieces(graph.relations[relation]), count))
    asked: Counter[str] = Counter()
    for question in questions:
        asked.update(pieces(question).keys())
    total = len(graph.texts) + len(graph.triples) + len(questions) + 1
    return {piece: math.log(total / (count + asked[piece])) for piece, count in having.items()}


class Naming(Learner):
    """Texts that name one or two of others: the nearest points shall be those of the named ones."""

    def __init__(self, texts: Sequence[str], batch: int = BATCH, seed: int = 0):
        self.texts, self.batch, self.seed = texts, batch, seed

    def batches(self, step: int, process: int, processes: int) -> list[tuple[list[int], list[bool]]]:
        """Which texts there are to choose from, and which of the first name one alone."""
        generator = torch.Generator().manual_seed(mixed(self.seed, step))
        order = torch.randperm(len(self.texts), generator=generator)[: 4 * self.batch].tolist()
        alone = torch.rand(min(self.batch, len(order) // 2), generator=generator) < 0.5
        return [(order, alone.tolist())]

    def loss(self, model: TextEncoder, batch: tuple[list[int], list[bool]]) -> Tensor:
        order, alone = batch
        named, texts = len(alone), [self.texts[i] for i in order]
        pairs = zip(texts[:named], texts[named : 2 * named], alone, strict=True)
        points = model([one if single else f"{one} {other}" for one, other, single in pairs])
        logits = -model.manifold.cdist(points, model(texts)) / 0.1
        share, rows = torch.tensor(alone).to(logits) / 2, torch.arange(named, device=logits.device)
        target = torch.zeros_like(logits)
        target[rows, rows] = 0.5 + share
        target[rows, rows + named] = 0.5 - share
        return F.cross_entropy(logits, target)


def fit_text_encoder(
    encoder: TextEncoder,
    texts: Sequence[str],
    steps: int = 200,
    batch: int = BATCH,
    lr: float = RATE,
    seed: int = 0,
    *,
    device: str = AUTO,
    stage: Stage | None = None,
) -> list[float]:
    """Trains the projection so that a text that names one or two of `texts` lies nearest to their points, by
    cross-entropy over distances; returns the losses. No question is needed.
    """
    losses: list[float] = []
    if len(texts) < 2:  # nothing that could be nearer
        return losses
    fit(
        encoder, torch.optim.Adam(encoder.parameters(), lr=lr), Naming(texts, batch, seed),
        text_course(steps, seed, device), stage=stage, tell=lambda moment: losses.append(moment.loss),
    )  # fmt: skip
    return losses


def text_course(steps: int, seed: int = 0, device: str = AUTO) -> Course:
    """Of `fit_text_encoder`: one learning rate throughout."""
    return Course(steps, warm_up=0, floor=1, clip=None, log_every=1, seed=seed, device=device)
