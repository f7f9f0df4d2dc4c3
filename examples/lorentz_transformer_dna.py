"""A small Lorentz transformer reads DNA, beside its Euclidean twin and a k-mer regression."""

import argparse

import torch
from dna import EuclideanTransformer, kmer_probabilities, tensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from crocuta import nn as hnn
from crocuta.analysis.scores import scores
from crocuta.data.demo import load_demo
from crocuta.data.tasks import load_task
from crocuta.manifolds import Lorentz
from crocuta.optim import RiemannianAdam, parameter_groups


class LorentzTransformer(nn.Module):
    def __init__(self, length: int, classes: int):
        super().__init__()
        m = Lorentz(learnable=True)
        self.embedding = hnn.LorentzEmbedding(m, 12, 32, std=1.0)  # points from the start: nothing to lift
        self.position = hnn.LorentzLearnedPosition(m, length, 32, std=0.1)
        self.blocks = nn.ModuleList(hnn.LorentzTransformerBlock(m, 32, 4, dropout=0.1) for _ in range(2))
        self.pool, self.head = hnn.LorentzGlobalPool(m), hnn.LorentzMLR(m, 32, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.position(self.embedding(ids))
        for block in self.blocks:
            x = block(x, mask=mask)
        return self.head(self.pool(x, mask))


def train(model: nn.Module, ids: Tensor, mask: Tensor, labels: Tensor, epochs: int) -> None:
    optimizer = RiemannianAdam(parameter_groups(model, lr=4e-3, weight_decay=1e-2))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(ids)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(ids[batch], mask[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs=2, metavar=("TASK", "FOLDER"), help="default: bundled promoters")
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    torch.manual_seed(0)
    splits = load_task(*options.task) if options.task else load_demo()
    probabilities = {"k-mer regression": kmer_probabilities(splits)}
    length = max(int(part.sequences.lengths.max()) for part in (splits.train, splits.test))
    for build in (LorentzTransformer, EuclideanTransformer):
        model = build(length, len(splits.train.classes))
        train(model, *tensors(splits.train), options.epochs)
        probabilities[build.__name__] = model.eval()(*tensors(splits.test)[:2]).softmax(1).detach().numpy()
    for name, p in probabilities.items():
        print(f"{name:20} test MCC {scores(splits.test.labels, p)['mcc']:.3f}")
