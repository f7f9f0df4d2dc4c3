"""The verb group `image`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crocuta.verbs.graph import EpochBars, spread

console = Console(highlight=False)

image = typer.Typer(no_args_is_help=True, help="Classify images.")


@image.callback()
def main() -> None:
    """Classify images."""


@image.command("train")
def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="MNIST's idx file (labels beside it), CIFAR-10's binary batches, or folders by class."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="lvit, vit or lorentz-resnet, new; or a folder of a pretrained one.")
    ] = "lvit",
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("image-run"),
    epochs: Annotated[int, typer.Option(min=1)] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings, each with weights of its own.")] = 3,
    patch_size: Annotated[int, typer.Option(min=1, help="lvit, vit: pixels of a patch, each way.")] = 4,
    width: Annotated[int, typer.Option(min=1, help="Intrinsic dimensions; lorentz-resnet: at first.")] = 64,
    layers: Annotated[
        int, typer.Option(min=1, help="Transformer layers; lorentz-resnet: stages, each twice as wide.")
    ] = 4,
    heads: Annotated[int, typer.Option(min=1)] = 4,
    c: Annotated[float, typer.Option("--c", help="c > 0 of curvature -c.")] = 1.0,
    learnable: Annotated[bool, typer.Option("--learnable", help="Training moves the curvature.")] = False,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Bring pictures in folders to this size.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.05,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    shift: Annotated[float, typer.Option(min=0, max=0.5, help="Random shifts, share of the width.")] = 0.08,
    degrees: Annotated[float, typer.Option(min=0, max=180, help="Random turns.")] = 10.0,
    zoom: Annotated[float, typer.Option(min=0, max=0.9, help="Random changes of size.")] = 0.1,
    flip: Annotated[bool, typer.Option("--flip", help="Turn images left to right at random.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train an image classifier and judge it: metrics.json, manifest.json and a model for each seed.

    Examples:

    `crocuta image train train-images-idx3-ubyte.gz --model lvit -o run/`

    `crocuta image train cifar-10-batches-bin/ --model lorentz-resnet --flip -o run/`

    `crocuta image train photos/ --image-size 64 --patch-size 8 -o run/` (photos/cat/1.jpg, photos/dog/1.jpg, ...)
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.data.image_jitter import Jitter
    from crocuta.runs.recipe import Recipe
    from crocuta.train.images import ImageRun, train_images

    recipe = Recipe(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        epochs=epochs,
        warmup=0.1,
    )
    curved = {"c": c, "learnable": learnable}
    vit = {
        "patch_size": patch_size, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }  # fmt: skip
    sizes = {
        "lvit": {**vit, **curved},
        "vit": vit,
        "lorentz-resnet": {
            "depths": [2] * layers, "channels": [width * 2**i for i in range(layers)], **curved
        },
    }  # fmt: skip
    run = ImageRun(model, sizes.get(model, {}), recipe, Jitter(shift, degrees, zoom, flip), seeds)
    with EpochBars() as bars:
        metrics = train_images(data, run, output, image_size=image_size, resume=resume, progress=bars.begin)
    for name in ("accuracy", "mcc"):
        console.print(f"test {name} [bold cyan]{spread(metrics['test'][name])}[/]")
    console.print(f"→ [bold]{output / 'metrics.json'}[/]")
