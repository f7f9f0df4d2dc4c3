"""A two-layer hyperbolic classifier of handwritten digits and its Euclidean twin: python examples/lorentz_digits.py"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from crocuta.manifolds import Lorentz
from crocuta.nn import LorentzActivation, LorentzDropout, LorentzLinear, LorentzMLR
from crocuta.optim import RiemannianAdam, parameter_groups


class LorentzClassifier(nn.Module):
    """Images to points, a hidden layer of points, a signed distance to one hyperplane per class."""

    def __init__(self):
        super().__init__()
        self.manifold = m = Lorentz(learnable=True)
        self.hidden = nn.Sequential(LorentzLinear(m, 64, 256), LorentzActivation(m), LorentzDropout(m, 0.3))
        self.head = LorentzMLR(m, 256, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.manifold.expmap0(images / 4)  # geometry begins here and ends in the head
        return self.head(self.hidden(x))


def EuclideanTwin() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10))


def accuracy(build, seed: int, epochs: int) -> float:
    """Train on four fifths of the images and judge on the others."""
    torch.manual_seed(seed)
    X, y = map(torch.from_numpy, load_digits(return_X_y=True))
    split = train_test_split(X.float() / 4, y, test_size=0.2, stratify=y, random_state=seed)
    model, (images, test_images, labels, test_labels) = build(), split
    optimizer = RiemannianAdam(parameter_groups(model, lr=1e-2, weight_decay=1e-2))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    return (model.eval()(test_images).argmax(1) == test_labels).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    for build in (LorentzClassifier, EuclideanTwin):
        scores = [accuracy(build, seed, options.epochs) for seed in range(options.seeds)]
        low, mean, high = min(scores), sum(scores) / len(scores), max(scores)
        print(f"{build.__name__:18} test accuracy {mean:.4f} ({low:.4f} to {high:.4f})")
