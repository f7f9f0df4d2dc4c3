"""The verb group `image`, which `crocuta.cli` takes in."""

from pathlib import Path
from typing import Annotated

import typer

from crocuta.runs.console import console as make_console
from crocuta.runs.console import safe, wrote
from crocuta.runs.options import DEVICE, DRY_RUN, OVERWRITE, RESUME, check_file

console = make_console()

TRAINED = Annotated[Path, typer.Argument(help="Run folder that `crocuta lab image train` made.")]

image = typer.Typer(no_args_is_help=True, help="Classify images.")


@image.callback()
def main() -> None:
    """Classify images."""


@image.command("train")
def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="MNIST's idx file (labels next to it), CIFAR-10's binary batches, or folders by class."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="lvit, vit or lorentz-resnet, new; or a folder of a pretrained one.")
    ] = "lvit",
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make.")] = Path("image-run"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings, each with weights of its own.")] = 3,
    patch_size: Annotated[int, typer.Option(min=1, help="lvit, vit: pixels of a patch, each way.")] = 4,
    width: Annotated[
        int, typer.Option("--dim", min=1, help="Intrinsic dimensions; lorentz-resnet: at first.")
    ] = 64,
    layers: Annotated[
        int, typer.Option(min=1, help="Transformer layers; lorentz-resnet: stages, each twice as wide.")
    ] = 4,
    heads: Annotated[int, typer.Option(min=1, help="lvit, vit: heads of attention.")] = 4,
    c: Annotated[float, typer.Option("--curvature", help="c > 0 of curvature -c.")] = 1.0,
    learnable: Annotated[bool, typer.Option("--learnable", help="Training moves the curvature.")] = False,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Bring pictures in folders to this size.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of AdamW, at its highest.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0, help="Of AdamW.")] = 0.05,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 64,
    shift: Annotated[float, typer.Option(min=0, max=0.5, help="Random shifts, share of the width.")] = 0.08,
    degrees: Annotated[
        float, typer.Option("--rotation", min=0, max=180, help="Random turns by at most this many degrees.")
    ] = 10.0,
    zoom: Annotated[float, typer.Option(min=0, max=0.9, help="Random changes of size.")] = 0.1,
    flip: Annotated[bool, typer.Option("--flip", help="Turn images left to right at random.")] = False,
    device: DEVICE = "auto",
    resume: RESUME = False,
    dry_run: DRY_RUN = False,
) -> None:
    """Train an image classifier over several seeds and evaluate it: a run folder with models, scores and a report.

    Examples:

    `crocuta lab image train train-images-idx3-ubyte.gz --model lvit -o run/`

    `crocuta lab image train cifar-10-batches-bin/ --model lorentz-resnet --flip -o run/`

    `crocuta lab image train photos/ --image-size 64 --patch-size 8 -o run/` (photos/cat/1.jpg, photos/dog/1.jpg, ...)
    """
    from crocuta.quiet import prepare

    prepare()
    from crocuta.report.seeds import report_seeds, show_seeds
    from crocuta.runs.progress import shown
    from crocuta.runs.recipe import Recipe
    from crocuta.vision.jitter import Jitter
    from crocuta.vision.training import ImageRun, estimate_images, train_images

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
    jitter = Jitter(shift=shift, degrees=degrees, zoom=zoom, flip=flip)
    run = ImageRun(model=model, sizes=sizes.get(model, {}), recipe=recipe, jitter=jitter, seeds=seeds)
    if dry_run:
        cost = estimate_images(data, run, image_size, device)
        cost.check("lower `batch_size`")
        console.print(f"{seeds} trainings of {cost.parameters:,} parameters: {cost.sentence()}")
        return
    with shown() as progress:
        metrics = train_images(
            data, run, output, image_size=image_size, device=device, resume=resume, progress=progress
        )
    report = report_seeds([output])
    show_seeds(metrics, model)
    console.print(wrote("Report", report))


@image.command("predict")
def predict(
    run: TRAINED,
    images: Annotated[
        Path, typer.Argument(help="A picture, a folder of pictures, an idx file, or CIFAR-10's binary batch.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("classes.tsv"),
    device: DEVICE = "auto",
    overwrite: OVERWRITE = False,
) -> None:
    """Predict classes of images: means over the seeds of a run.

    Example: `crocuta lab image predict run/ photos/ -o classes.tsv`
    """
    from crocuta.quiet import prepare

    prepare()
    check_file(output, overwrite)
    predict_classes(run, images, output, device)


def predict_classes(run: Path, images: Path, output: Path, device: str = "auto") -> None:
    """What `crocuta predict` calls for a run of images."""
    from crocuta.runs.progress import shown
    from crocuta.runs.saved import SavedRun
    from crocuta.vision.predict import predict_images

    with shown() as progress:
        count = predict_images(
            SavedRun(run, "lab image train"), images, output, device=device, progress=progress
        )
    console.print(wrote(f"{count:,} images", output))


@image.command("evaluate")
def evaluate(
    run: TRAINED,
    images: Annotated[
        Path, typer.Argument(help="Images with classes, as `crocuta lab image train` reads them.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the scores of all seeds.")
    ] = None,
    device: DEVICE = "auto",
    overwrite: OVERWRITE = False,
) -> None:
    """Evaluate the models of a run on other images whose classes are known.

    Example: `crocuta lab image evaluate run/ t10k-images-idx3-ubyte.gz -o scores.json`
    """
    from crocuta.quiet import prepare

    prepare()
    evaluate_classes(run, images, output, device, overwrite)


def evaluate_classes(
    run: Path, images: Path, output: Path | None, device: str = "auto", overwrite: bool = False
) -> None:
    """What `crocuta evaluate` calls for a run of images; `output` is a JSON file."""
    from crocuta.files import write_json
    from crocuta.report.seeds import show_seeds
    from crocuta.runs.manifest import describe
    from crocuta.runs.progress import shown
    from crocuta.runs.saved import SavedRun
    from crocuta.vision.predict import evaluate_images

    if output is not None:
        check_file(output, overwrite)
    saved = SavedRun(run, "lab image train")
    with shown() as progress:
        found = evaluate_images(saved, images, device=device, progress=progress)
    show_seeds(found, f"{found['images']:,} images of {images.name}")
    if describe(images)["sha256"] == saved.inputs["data"][0]["sha256"]:
        console.print(
            f"[bold]These images are those of the training:[/] {safe(images)} says nothing about new ones."
        )
    if output is not None:
        write_json(output, found)
        console.print(wrote("", output))
