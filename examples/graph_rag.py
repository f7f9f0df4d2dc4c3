"""Answer questions about a taxonomy: a small language model that is shown a hyperbolic encoding of the facts.

    python examples/graph_rag.py                               # an invented taxonomy
    python examples/graph_rag.py triples.tsv questions.tsv     # as `crocuta rag train` reads them

Half of the species are in no question of training: what they are can be known from the graph alone. The twin without
retrieval has the same language model, questions and steps. From the command line:
crocuta rag train triples.tsv questions.tsv -o run/ && crocuta rag ask run/ "Which order is Avomys?" --facts
"""

import argparse
from pathlib import Path

import numpy as np

from crocuta.data.knowledge import KnowledgeGraph, Question, part, read_questions, read_triples
from crocuta.quiet import prepare
from crocuta.retrieval import RagRecipe, RagSettings, build_rag, exact_match, fit_rag, load_rag, save_rag

ORDERS = ["Carnivora", "Rodentia", "Primates", "Chiroptera", "Cetacea"]
SYLLABLES = ["av", "bo", "cer", "do", "el", "fu", "gal", "hi", "lu", "mi", "no", "or", "pa", "ri", "su"]


def taxonomy(species: int, seed: int = 0) -> tuple[KnowledgeGraph, list[Question]]:
    """Species in families in orders, with questions one step away (family), two (order), and about pairs."""
    rng = np.random.default_rng(seed)
    families = {f"{order[:4]}{end}": order for order in ORDERS for end in ("idae", "inidae", "opidae")}
    names: list[str] = []
    while len(names) < species:
        name = "".join(rng.choice(SYLLABLES, 3)).capitalize() + str(rng.choice(["mys", "don", "ops"]))
        names += [name] if name not in names else []
    family = {name: str(rng.choice(list(families))) for name in names}
    graph = KnowledgeGraph.of(
        [(name, "family", family[name]) for name in names]
        + [(name, "order", order) for name, order in families.items()]
    )
    questions = []
    for i, name in enumerate(names):
        split = "train" if i < species // 2 else "test"
        other = str(rng.choice(names[: species // 2] if split == "train" else names[species // 2 :]))
        same = "yes" if families[family[name]] == families[family[other]] else "no"
        questions += [
            Question(f"Which family is {name} in?", family[name], split),
            Question(f"Which order is {name}?", families[family[name]], split),
            Question(f"Are {name} and {other} of one order?", same, split),
        ]
    return graph, questions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", type=Path, help="triples.tsv questions.tsv")
    parser.add_argument("--species", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("graph-rag"))
    arguments = parser.parse_args()
    prepare()

    if arguments.tables:
        graph, questions = read_triples(arguments.tables[0]), read_questions(arguments.tables[1])
    else:
        graph, questions = taxonomy(arguments.species)
    print(f"{len(graph.entities):,} entities, {len(graph.triples):,} triples, {len(questions):,} questions")
    encoder = {"hidden_size": 64, "num_layers": 1, "activation": "none"}
    arms = {
        "no retrieval": RagSettings(prompt="none"),
        "hyperbolic": RagSettings(encoder={"encoder": "hybonet", **encoder}),
        "flat": RagSettings(encoder={"encoder": "gcn", **encoder}),
    }
    recipe = RagRecipe(epochs=arguments.epochs, learning_rate=2e-3)
    for name, settings in arms.items():
        model = build_rag(settings, graph, questions)
        fit_rag(model, part(questions, "train"), recipe)
        right = exact_match(model, part(questions, "test"))
        print(f"{name:13} exact match {np.mean(right):.3f} of {len(right):,} questions")
        if name == "hyperbolic":
            save_rag(model, settings, arguments.output)

    # A saved model answers, and says what it went by.
    model = load_rag(arguments.output)
    question = part(questions, "test")[1].text
    found = model.retriever.retrieve([question])[0]
    print(question, "→", model.generate(question)[0])
    print("   by:", "; ".join(graph.sentence(triple) for triple in found.triples))


if __name__ == "__main__":
    main()
