"""One of two processes that share a batch of L-CLIP; started by test_lclip.py.

python clip_processes.py RANK PROCESSES FILE
"""

import faulthandler

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from crocuta.models.clip.lclip import ClipConfig, ClipModel, LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig

TEXT = LorentzTransformerConfig(vocab_size=9, d_model=16, n_layer=1, n_head=2)
CONTENT = LorentzTransformerConfig(d_model=16, n_layer=1, n_head=2)


def build(kind, config):
    torch.manual_seed(0)
    return kind(config(content_config=CONTENT, text_config=TEXT, projection_dim=8)).double()


def share(data):
    return {name: rows.chunk(dist.get_world_size())[dist.get_rank()] for name, rows in data.items()}


def same(found, expected, name):
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, msg=lambda text: f"{name}: {text}")


def losses_and_gradients(data, kind, config, group):
    model = build(kind, config)
    loss = model(**data, group=group).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def compare(data, kind, config, group, expected):
    model = DistributedDataParallel(build(kind, config), find_unused_parameters=True)
    whole = data if group is None else data | {"group": group}
    loss = model(**share(whole)).loss
    loss.backward()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    loss_alone, gradients = expected
    same(mean / dist.get_world_size(), loss_alone, "loss")
    assert any(g is not None and g.abs().max() > 1e-4 for g in gradients.values())
    for name, p in model.module.named_parameters():
        if gradients[name] is not None:
            same(p.grad, gradients[name], name)


def main():
    faulthandler.dump_traceback_later(120, exit=True)  # a process that hangs ends with its stack
    torch.set_num_threads(1)
    torch.manual_seed(1)
    data = {"input_ids": torch.randint(7, 11, (6, 20)), "text_ids": torch.randint(1, 9, (6, 5))}
    cases = [
        (kind, config, group)
        for kind, config in ((LClipModel, LClipConfig), (ClipModel, ClipConfig))
        for group in (None, torch.tensor([0, 1, 2, 1, 0, 3]))
    ]
    alone = [losses_and_gradients(data, *case) for case in cases]
    dist.init_process_group("gloo")
    for case, expected in zip(cases, alone, strict=True):
        compare(data, *case, expected)
    # DistributedDataParallel must be gone by now: freed last, it would close the group while it holds the interpreter's
    # lock, and wait for a thread of gloo that waits for the lock
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
