"""Handwritten digits on the Poincare disk: python examples/digits_disk.py disk.png

A network that passes through two intrinsic dimensions; drawn is where it puts images it was not trained on.
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

from crocuta.manifolds import Lorentz, lorentz_to_poincare
from crocuta.nn import LorentzActivation, LorentzBatchNorm1d, LorentzLinear, LorentzMLR
from crocuta.optim import RiemannianAdam, parameter_groups


def main(path: str, epochs: int = 60) -> float:
    """Draw the disk; returns the accuracy on the images drawn."""
    torch.manual_seed(0)
    pixels, digits = map(torch.from_numpy, load_digits(return_X_y=True))
    m = Lorentz()
    points = m.expmap0(pixels.float() / 16)
    x, test_x, y, test_y = train_test_split(points, digits, test_size=0.3, stratify=digits, random_state=0)
    to_disk = nn.Sequential(
        LorentzLinear(m, 64, 128), LorentzActivation(m), LorentzLinear(m, 128, 2), LorentzBatchNorm1d(m, 2)
    )
    model = nn.Sequential(to_disk, LorentzMLR(m, 2, 10))
    optimizer = RiemannianAdam(parameter_groups(model, lr=1e-2, weight_decay=1e-2))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        disk = lorentz_to_poincare(to_disk(test_x), m.c)
        accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
    draw(disk, test_y, path)
    print(f"accuracy of the digits drawn {accuracy:.3f}")
    return accuracy


def draw(disk: torch.Tensor, digits: torch.Tensor, path: str) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 7))
    axes.add_patch(plt.Circle((0, 0), 1, facecolor="#10131a", edgecolor="#9aa4b5", linewidth=1))
    colours = plt.get_cmap("tab10")(digits.numpy())
    for (x, y), digit, colour in zip(disk.tolist(), digits.tolist(), colours, strict=True):
        axes.text(x, y, str(digit), color=colour, fontsize=8, ha="center", va="center")
    axes.set(xlim=(-1.01, 1.01), ylim=(-1.01, 1.01), aspect="equal")
    axes.axis("off")
    figure.savefig(path, dpi=130, bbox_inches="tight", transparent=True)
    plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:2])
