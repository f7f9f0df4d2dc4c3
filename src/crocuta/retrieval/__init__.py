"""Retrieval for language models: a hyperbolic index, subgraphs of knowledge graphs, and GraphRAG."""

from typing import TYPE_CHECKING

from crocuta._lazy import lazily

if TYPE_CHECKING:
    from crocuta.retrieval.cost import estimate_rag
    from crocuta.retrieval.graph_rag import GraphRAG
    from crocuta.retrieval.index import HyperbolicIndex, Neighbours
    from crocuta.retrieval.prompts import GraphPrompt, JointPrompt, TextPrompt
    from crocuta.retrieval.retriever import Retrieval, Retriever
    from crocuta.retrieval.run import RagSettings, build_rag, load_rag, save_rag, train_rag
    from crocuta.retrieval.subgraph import Subgraph, k_hop, prize_collecting, prize_collecting_tree
    from crocuta.retrieval.text import TextEncoder, rarities
    from crocuta.retrieval.tokenizer import small_language_model, train_tokenizer
    from crocuta.retrieval.training import RagRecipe, exact_match, fit_rag

__getattr__ = lazily(
    {
        "crocuta.retrieval.cost": "estimate_rag",
        "crocuta.retrieval.graph_rag": "GraphRAG",
        "crocuta.retrieval.index": "HyperbolicIndex Neighbours",
        "crocuta.retrieval.prompts": "GraphPrompt JointPrompt TextPrompt",
        "crocuta.retrieval.retriever": "Retrieval Retriever",
        "crocuta.retrieval.run": "RagSettings build_rag load_rag save_rag train_rag",
        "crocuta.retrieval.subgraph": "Subgraph k_hop prize_collecting prize_collecting_tree",
        "crocuta.retrieval.text": "TextEncoder rarities",
        "crocuta.retrieval.tokenizer": "small_language_model train_tokenizer",
        "crocuta.retrieval.training": "RagRecipe exact_match fit_rag",
    }
)

__all__ = [
    "GraphPrompt",
    "GraphRAG",
    "HyperbolicIndex",
    "JointPrompt",
    "Neighbours",
    "RagRecipe",
    "RagSettings",
    "Retrieval",
    "Retriever",
    "Subgraph",
    "TextEncoder",
    "TextPrompt",
    "build_rag",
    "estimate_rag",
    "exact_match",
    "fit_rag",
    "k_hop",
    "load_rag",
    "prize_collecting",
    "prize_collecting_tree",
    "rarities",
    "save_rag",
    "small_language_model",
    "train_rag",
    "train_tokenizer",
]
