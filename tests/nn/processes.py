"""One of two processes that share a sequence or a batch; started by test_context_parallel.py."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM, HyenaForSequenceClassification, HyenaModel
from crocuta.nn.hyena.context_parallel import Context, context_parallel

SIZES = {"d_model": 16, "n_layer": 2, "max_seq_len": 64, "embed_dropout": 0.0, "initializer_range": 0.2}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def build(kind, dtype, length=48, **options):
    torch.manual_seed(0)
    model = kind(HyenaConfig(**SIZES | options)).to(dtype)
    return model, torch.randint(7, 11, (3, length))


def gradients(model):
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


def same(found, expected, dtype):
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def same_gradients(found, expected, dtype):
    assert any(float(value.abs().max()) > 1e-3 for value in expected.values())
    for name, value in expected.items():
        same(found[name], value, dtype)


def causal(dtype, **options):
    model, ids = build(HyenaForCausalLM, dtype, **options)
    labels = ids.clone()
    labels[0, 20:26] = -100
    whole = model(ids, labels=labels)
    whole.loss.backward()
    expected = gradients(model)
    with context_parallel(model) as context:
        logits = model(context.split(ids)).logits
        loss = context.next_token_loss(logits, context.split(labels))
        loss.backward()
        context.sum_gradients(model)
        same(context.gather(logits), whole.logits.detach(), dtype)
    same(loss.detach(), whole.loss.detach(), dtype)
    same_gradients(gradients(model), expected, dtype)
    same(model(ids).logits.detach(), whole.logits.detach(), dtype)  # the operators are themselves again


def checkpointed(dtype):
    model, ids = build(HyenaForCausalLM, dtype)
    model(ids, labels=ids).loss.backward()
    expected = gradients(model)
    model.train().gradient_checkpointing_enable()
    with context_parallel(model) as context:
        part = context.split(ids)
        context.next_token_loss(model(part).logits, part).backward()
        context.sum_gradients(model)
    same_gradients(gradients(model), expected, dtype)


def two_sided(dtype):
    model, ids = build(HyenaModel, dtype, bidirectional=True, hyena_order=3)
    mask = (torch.arange(48) >= torch.tensor([[0], [5], [30]])).long()
    weight = torch.randn(3, 48, 16, dtype=dtype)
    hidden = model(ids, mask).last_hidden_state
    (hidden * weight).sum().backward()
    expected = gradients(model)
    with context_parallel(model) as context:
        found = model(context.split(ids), context.split(mask)).last_hidden_state
        (found * context.split(weight)).sum().backward()
        context.sum_gradients(model)
        same(context.gather(found), hidden.detach(), dtype)
    same_gradients(gradients(model), expected, dtype)


def pooled(dtype):
    model, ids = build(HyenaForSequenceClassification, dtype, num_labels=4, bidirectional=True)
    mask, labels = (torch.arange(48) >= torch.tensor([[0], [5], [30]])).long(), torch.tensor([3, 0, 1])
    expected_loss = model(ids, mask, labels=labels).loss
    expected_loss.backward()
    expected = gradients(model)
    with context_parallel(model) as context:
        part = context.split(mask)
        hidden = model.hyena(context.split(ids), part).last_hidden_state
        loss = cross_entropy(model.score(context.mean(hidden, part)), labels)
        (loss / context.size).backward()
        context.sum_gradients(model)
    same(loss.detach(), expected_loss.detach(), dtype)
    same_gradients(gradients(model), expected, dtype)


def grid(dtype):
    """Pairs of processes share sequences, and the pairs share a batch."""
    model, ids = build(HyenaForCausalLM, dtype)
    ids = torch.cat([ids, ids.flip(1)])
    model(ids, labels=ids).loss.backward()
    expected = gradients(model)
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    pair = dist.get_rank() // 2
    with context_parallel(model, groups[pair]) as context:
        part = context.split(ids.chunk(2)[pair])
        context.next_token_loss(model(part).logits, part).backward()
        context.sum_gradients(model)
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)  # twice each pair's, of two pairs
        parameter.grad /= 4
    same_gradients(gradients(model), expected, dtype)


def refused(dtype):
    model, ids = build(HyenaForCausalLM, dtype)
    for call, message in [
        (lambda: Context().split(ids[:, :47]), "length 47 is no multiple of"),
        (lambda: Context().channels(15), "width 15 is no multiple of"),
        (lambda: Context().neighbours(torch.zeros(1, 1, 1), 2, 0), "shorter than the 2 needed"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with (
        context_parallel(model) as context,
        pytest.raises(ValueError, match=f"{40 * context.size} tokens is .* longer than max_seq_len = 64"),
    ):
        model(torch.full((1, 40), 7))


def data_parallel(dtype):
    model, ids = build(HyenaForCausalLM, dtype)
    ids = torch.cat([ids, ids.flip(1), ids.roll(3, 1), ids.roll(7, 1)])
    model(ids, labels=ids).loss.backward()
    expected = gradients(model)
    copy = torch.nn.parallel.DistributedDataParallel(model)
    part = ids.chunk(dist.get_world_size())[dist.get_rank()]
    copy(part, labels=part).loss.backward()
    same_gradients(gradients(model), expected, dtype)


def main():
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for dtype in TOLERANCE:
        causal(dtype)
        data_parallel(dtype)
    causal(torch.float64, hyena_order=3)
    causal(torch.float64, hyena_order=3, order_last=False, short_filter_order=5)
    causal(torch.float64, normalized=True, modulate=False)
    causal(torch.float64, length=16_400, max_seq_len=16_400, d_model=4)
    checkpointed(torch.float64)
    two_sided(torch.float64)
    pooled(torch.float64)
    if dist.get_world_size() == 4:
        grid(torch.float64)
    refused(torch.float64)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
