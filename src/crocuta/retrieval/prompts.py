"""What a language model is given before a question: soft tokens of a subgraph, its triples as text, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from crocuta.data.knowledge import KnowledgeGraph
from crocuta.models.graph import GraphEncoder, points_of
from crocuta.nn.graph import Graph
from crocuta.retrieval.subgraph import Subgraph
from crocuta.retrieval.text import TextEncoder

FARTHEST = 3  # hops told apart by a node's features


class GraphPrompt(nn.Module):
    """Subgraphs to soft tokens: one for the whole, the centroid of its nodes, then one for each node.

    Nodes are the entities in the order of retrieval and the triples between them, each joined with its head and its
    tail, so that every encoder sees relations. Their features are the text's vector and the steps from the nearest
    seed. A token is a two-layer perceptron of `log0` of a node's point, standardised: an encoder's points share most
    of their coordinates at first, and without it training takes several times as long. (He et al. 2024, arXiv
    2402.07630, section 5.4, has the token of the whole alone: `tokens=1`.)

    Args:
        graph: whose subgraphs come.
        texts: encoder of entities and relations; its vectors are read once.
        encoder: of `in_features(texts)` features.
        width: of the language model's embeddings.
        tokens: soft tokens of a subgraph at most.
    """

    vectors: Tensor

    def __init__(
        self, graph: KnowledgeGraph, texts: TextEncoder, encoder: GraphEncoder, width: int, tokens: int = 12
    ):
        super().__init__()
        self.graph, self.encoder, self.tokens = graph, encoder, tokens
        with torch.no_grad():
            vectors = texts.vectors([*graph.texts, *graph.relations])
        self.register_buffer("vectors", F.normalize(vectors, dim=-1))
        hidden = encoder.config.hidden_size
        self.standardise = nn.BatchNorm1d(hidden)
        self.project = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, width))

    @staticmethod
    def in_features(texts: TextEncoder) -> int:
        """Features of a node: a text's vector, its hop, and whether it is a triple."""
        return texts.features + FARTHEST + 2

    def forward(self, subgraphs: Sequence[Subgraph]) -> list[Tensor]:
        """Soft tokens (T, width) of each subgraph, T up to `tokens`."""
        texts, hops, edges, counts = self._levi(subgraphs)
        features = torch.cat(
            [self.vectors[texts], F.one_hot(hops, FARTHEST + 2).to(self.vectors.dtype)], dim=1
        )
        nodes = points_of(self.encoder(features, Graph(edges, len(texts)))).split(counts)
        vectors = self.standardise(self.encoder.manifold.logmap0(torch.cat([self._whole(nodes), *nodes])))
        whole, each = vectors[: len(counts)], vectors[len(counts) :].split(counts)
        kept = [
            torch.cat([top[None], part[: self.tokens - 1]]) for top, part in zip(whole, each, strict=True)
        ]
        return list(self.project(torch.cat(kept)).split([len(part) for part in kept]))

    def _whole(self, nodes: Sequence[Tensor]) -> Tensor:
        """Centroid (B, ambient) of each subgraph's nodes."""
        weight = pad_sequence([torch.ones_like(part[:, 0]) for part in nodes], batch_first=True)
        return self.encoder.manifold.centroid(pad_sequence(list(nodes), batch_first=True), weight)

    def _levi(self, subgraphs: Sequence[Subgraph]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Texts and hops of all nodes, the edges (2, E) between them, and how many nodes each subgraph has."""
        texts: list[int] = []
        hops: list[int] = []
        edges: list[tuple[int, int]] = []
        counts = []
        for part in subgraphs:
            start, place = len(texts), {entity: i for i, entity in enumerate(part.entities)}
            texts += part.entities
            hops += [min(hop, FARTHEST) for hop in part.hops]
            for head, relation, tail in self.graph.triples[list(part.triples)].tolist():
                edges += [(start + place[head], len(texts)), (len(texts), start + place[tail])]
                texts.append(len(self.graph.entities) + relation)
                hops.append(FARTHEST + 1)
            counts.append(len(texts) - start)
        device = self.vectors.device
        index = torch.tensor(edges, dtype=torch.long, device=device).reshape(-1, 2).T.contiguous()
        return torch.tensor(texts, device=device), torch.tensor(hops, device=device), index, counts


class TextPrompt(nn.Module):
    """Subgraphs to their triples as sentences, nearest first, in the language model's own embeddings."""

    def __init__(self, graph: KnowledgeGraph, tokenizer, embeddings: nn.Module, tokens: int = 96):
        super().__init__()
        self.graph, self.tokenizer, self.tokens = graph, tokenizer, tokens
        self._embeddings = [embeddings]  # the language model's, not this module's

    def forward(self, subgraphs: Sequence[Subgraph]) -> list[Tensor]:
        """Embeddings (T, width) of each subgraph's text, T up to `tokens`."""
        texts = [". ".join(self.graph.sentence(i) for i in part.triples) + "\n" for part in subgraphs]
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        device = next(self._embeddings[0].parameters()).device
        return [
            self._embeddings[0](torch.tensor(row[: self.tokens], dtype=torch.long, device=device))
            for row in ids
        ]


class JointPrompt(nn.Module):
    """Several prompts one after another, such as soft tokens and text (as G-Retriever gives both)."""

    def __init__(self, *prompts: nn.Module):
        super().__init__()
        self.prompts = nn.ModuleList(prompts)

    def forward(self, subgraphs: Sequence[Subgraph]) -> list[Tensor]:
        """Their tokens (T, width), joined."""
        return [
            torch.cat(parts) for parts in zip(*(prompt(subgraphs) for prompt in self.prompts), strict=True)
        ]
