"""Texts as points: words and letter groups, projected, on a manifold."""

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

WORD = re.compile(r"\w+(?:[-./]\w+)*")
GROUP = 3  # letters
WORD_SHARE = 12.0  # what a whole word counts, in letter groups


class TextEncoder(nn.Module):
    """Texts to points of `manifold`: words and groups of three letters that occur in a graph's texts, weighed by how
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
    """Words and letter groups of a text with how often they occur; words count `WORD_SHARE` times.

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


def fit_text_encoder(
    encoder: TextEncoder,
    texts: Sequence[str],
    steps: int = 200,
    batch: int = 128,
    lr: float = 0.01,
    seed: int = 0,
) -> list[float]:
    """Trains the projection so that a text that names one or two of `texts` lies nearest to their points, by
    cross-entropy over distances; returns the losses. No question is needed.
    """
    optimizer = torch.optim.Adam(encoder.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        order = torch.randperm(len(texts), generator=generator)[: 4 * batch].tolist()
        named = min(batch, len(order) // 2)
        firsts, seconds = order[:named], order[named : 2 * named]
        single = torch.rand(named, generator=generator) < 0.5
        queries = [
            texts[i] if alone else f"{texts[i]} {texts[j]}"
            for i, j, alone in zip(firsts, seconds, single.tolist(), strict=True)
        ]
        points = encoder([texts[i] for i in order])
        logits = -encoder.manifold.cdist(encoder(queries), points) / 0.1
        target = torch.zeros_like(logits)
        rows = torch.arange(named)
        target[rows, rows] = torch.where(single, 1.0, 0.5)
        target[rows, rows + named] = torch.where(single, 0.0, 0.5)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
