"""What the rows of `docs/modules.md` cost: layers beside their twins, and in words whole networks beside theirs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
ATTENTION = {
    "attention, length 2048": "LorentzMultiheadAttention",
    "focused attention, length 2048": "LorentzFocusedAttention",
    "transformer block, length 2048": "LorentzTransformerBlock",
}
ENCODERS = {
    "GCN, GAT": ("gcn", "gat"), "HGCN": ("hgcn",), "HGNN": ("hgnn",), "HyboNet": ("hybonet",), "LGCN": ("lgcn",),
    "HGAT": ("hgat",), "GIL": ("gil",), "H2H-GCN": ("h2h-gcn",), "Q-GCN": ("q-gcn",),
}  # fmt: skip


class Cost(NamedTuple):
    """Ratios of CPU time and of memory to the twin's, and of the originals' times to theirs."""

    time: float
    memory: float
    hypercore: float | None = None
    hge: float | None = None


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def of(value: float, file: str, text: str) -> str:
    """`1.39 of GCN's epoch`, linked to the figures."""
    return f"{value:.2f} of [{text}](../benchmarks/results/{file}.json)"


def layer_costs() -> dict[str, Cost]:
    """By class name; of a class's variants the first, attention at the greatest length."""
    found: dict[str, Cost] = {}
    for key, row in read("attention")["results"].items():
        if key in ATTENTION:
            found.setdefault(ATTENTION[key], Cost(row["cpu_ratio"], row["saved_ratio"]))
    for key, row in read("layers")["layers"].items():
        ours = Cost(row["time_ratio"], row["memory_ratio"], row.get("hypercore"), row.get("hge"))
        found.setdefault(key.split(",")[0], ours)
    return found


def other_costs() -> dict[str, str]:
    """By the row's first cell."""
    return {
        **manifold_costs(),
        **optimiser_costs(),
        **graph_costs(),
        **network_costs(),
        "LoRA": "the twin of the next two",
        "Stiefel": "torch's own",
    }


def manifold_costs() -> dict[str, str]:
    found = read("manifolds")["results"]
    text = {"Euclidean": "1: it adds and subtracts"}
    for row, model in (("Lorentz", ""), ("PoincareBall", "ball: ")):
        exp, log, dist = (
            found[f"{model}{name}, r = 0.8"]["ratio"] for name in ("expmap0", "logmap0", "dist")
        )
        text[row] = f"exp {exp:.2f}, log {log:.2f}, distance {of(dist, 'manifolds', 'geoopt’s')}"
    linear = layer_costs()["PseudoHyperboloidLinear"].time
    return text | {"PseudoHyperboloid": of(linear, "layers", "a linear layer")}


def optimiser_costs() -> dict[str, str]:
    found = read("optim")["results"]
    rows = {
        "Riemannian SGD": ("SGD, 1046976 parameters", "SGD, momentum, 10000 x 64 points"),
        "Riemannian Adam": ("AdamW, 1046976 parameters", "Adam, 10000 x 64 points"),
    }
    return {
        row: f"{of(found[flat]['ratio'], 'optim', 'torch’s step')} on flat weights,"
        f" {of(found[points]['ratio'], 'optim', 'geoopt’s')} on points"
        for row, (flat, points) in rows.items()
    }


def graph_costs() -> dict[str, str]:
    rows = read("graphs")["speed"]["rows"]
    epoch = {encoder: of(row["to_gcn"], "graphs", "GCN’s epoch") for encoder, row in rows.items()}
    text = {row: "; ".join(epoch[encoder] for encoder in encoders) for row, encoders in ENCODERS.items()}
    return text | {"task models NC, LP, MD": "their encoder's"}


def network_costs() -> dict[str, str]:
    """Whole models beside their flat twins."""
    vision, language = (
        read("vision")["speed"]["width 256, 6 layers, 64 patches"],
        read("lorentz_language")["speed"],
    )
    blocks = "; ".join(
        f"{name.lower()} {layer_costs()[f'Lorentz{name}Block'].time:.2f}"
        for name in ("Input", "Basic", "Bottleneck")
    )
    digits = read("lclip")["digits"]["runs"]
    clip = [mean(run[kind]["cpu_seconds"] for run in digits) for kind in ("L-CLIP", "CLIP")]
    answers, speed = (read("retrieval")[part] for part in ("answers", "speed"))
    rag = [
        mean(run["processor_seconds"] for run in answers["dengue"][kind].values())
        for kind in ("HyboNet", "GCN")
    ]
    near = {kind: row["queries_per_second"] for kind, row in speed["16 dimensions, radius 3"].items()}
    hidden, following = language["masked"]["ratio"], language["causal"]["ratio"]
    return {
        "LViT": of(vision["cpu_ms_ratio"], "vision", "ViT’s step, width 256"),
        "Lorentz ResNet 18 to 152": f"its blocks: {blocks}",
        "L-CLIP": of(clip[0] / clip[1], "lclip", "CLIP’s training on digits"),
        "Lorentz transformer encoder and decoder": f"{hidden:.2f}, {of(following, 'lorentz_language', 'Llama’s step')}",
        "graph retriever (GraphRAG)": of(rag[0] / rag[1], "retrieval", "a training with GCN"),
        "index of hyperbolic points": of(
            near["brute force"] / near["torch"], "retrieval", "brute force’s time"
        ),
    }
