"""The figures of docs/ancestry_models.md, from benchmarks/results/ancestry.json."""


def write(results: dict) -> None: ...
