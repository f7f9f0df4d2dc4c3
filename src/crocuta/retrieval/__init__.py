"""Retrieval for language models: a hyperbolic index, subgraphs of knowledge graphs, and GraphRAG."""

from crocuta.retrieval.graph_rag import GraphRAG
from crocuta.retrieval.index import HyperbolicIndex, Neighbours
from crocuta.retrieval.prompts import GraphPrompt, JointPrompt, TextPrompt
from crocuta.retrieval.retriever import Retrieval, Retriever
from crocuta.retrieval.subgraph import Subgraph, k_hop, prize_collecting, prize_collecting_tree
from crocuta.retrieval.text import TextEncoder
from crocuta.retrieval.tokenizer import small_language_model, train_tokenizer
from crocuta.retrieval.training import RagRecipe, exact_match, fit_rag

__all__ = [
    "GraphPrompt",
    "GraphRAG",
    "HyperbolicIndex",
    "JointPrompt",
    "Neighbours",
    "RagRecipe",
    "Retrieval",
    "Retriever",
    "Subgraph",
    "TextEncoder",
    "TextPrompt",
    "exact_match",
    "fit_rag",
    "k_hop",
    "prize_collecting",
    "prize_collecting_tree",
    "small_language_model",
    "train_tokenizer",
]
