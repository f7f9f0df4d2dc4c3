"""Riemannian SGD and Adam, and which parameters they treat as points.

A module that owns points says so once, `on_manifold = {"weight": "manifold"}`: its attribute `weight` holds
points of the manifold in its attribute `manifold`. Everything else is Euclidean and takes torch's own
kernels, so a model without points does and costs exactly what it does and costs under `torch.optim.AdamW` or
`SGD`.

    optimizer = RiemannianAdam(model, lr=1e-3, weight_decay=0.01)

or, with a learning rate of their own for the curvatures,

    groups = parameter_groups(model, lr=1e-3, curvature_lr=1e-4, weight_decay=0.01)
    optimizer = RiemannianAdam(groups)

or, under `transformers`,

    trainer = Trainer(model, args, optimizer_cls_and_kwargs=trainer_optimizer(lr=1e-3))

Placement lives beside the parameter groups, never in the state dict, which holds only tensors and numbers.
"""

from crocuta.optim.adam import RiemannianAdam
from crocuta.optim.base import RiemannianOptimizer
from crocuta.optim.groups import parameter_groups, placement
from crocuta.optim.rows import RowAdam
from crocuta.optim.sgd import RiemannianSGD
from crocuta.optim.trainer import trainer_optimizer

__all__ = [
    "RiemannianAdam",
    "RiemannianOptimizer",
    "RiemannianSGD",
    "RowAdam",
    "parameter_groups",
    "placement",
    "trainer_optimizer",
]
