"""Attention between points of the hyperboloid: scores from the Lorentz inner product, values joined by centroid.

Shapes: B batch, L length (of queries), S length (of keys), H heads, n intrinsic dimensions of a head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crocuta.manifolds import Lorentz, Manifold
from crocuta.manifolds.numerics import Scalar, in_float32, norm, sqrt
from crocuta.manifolds.radial import Lift
from crocuta.nn.lorentz.pool import centroid_from_sum

if TYPE_CHECKING:
    from jaxtyping import Float

    from crocuta.nn.position import Rotary


class KeyValues(Protocol):
    """Lifted keys and values (B, H, S, n + 1) of the `length` positions before the queries, kept between calls."""

    length: int

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Appends those of further positions; returns all."""
        ...


FAR = 1e18  # time of a masked key: straight above the origin, farther than any point that float32 can square


@in_float32
def lorentz_attention(
    query: Float[Tensor, "*batch heads L n+1"],
    key: Float[Tensor, "*batch kv_heads S n+1"],
    value: Float[Tensor, "*batch kv_heads S m+1"],
    c: Scalar,
    scale: float | Tensor,
    *,
    mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
) -> Float[Tensor, "*batch heads L m+1"]:
    """Centroids of the values with weights `softmax(2 <q, k>_L / scale)`.

    (Chen et al. 2022, arXiv 2105.14686, eqs. 6 and 7; their constant `2 / c` and a learned constant cancel in the
    softmax.) One `scaled_dot_product_attention` with the query's time negated: memory is linear in the length
    wherever torch's kernel is. (On a CPU, torch itself turns to quadratic memory for `dropout_p > 0`.) Applying one
    isometry to queries, keys and values applies it to the result.

    Precision: a weighted sum of float32 points knows its Lorentz norm to `1e-8 e^(2 r)` only, r the values' scaled
    distance from the origin. Where a query's weight lies on one value, or on values that agree, the result's
    distance from the origin is therefore uncertain by up to 0.003 at r = 6, 0.04 at r = 7, 0.2 at r = 8 and 1.5 at
    r = 10, always inwards; it is a point all the same. In float64 the same holds from r = 16 on.

    Args:
        c: curvature.
        scale: divides the scores; a number or a 0-d tensor.
        mask: (B, S), 1 = token; keys outside it are moved so far away that nothing sees them, which costs no
            L x S mask and goes with `is_causal`. A query without any key gets the origin.
        attn_mask: as in `scaled_dot_product_attention`: boolean (true = takes part) or added to the scores,
            broadcastable to (B, H, L, S). Not together with `is_causal`.
        dropout_p: share of the weights that is dropped; the centroid is one of those left.

    Raises:
        ValueError: mask is not (B, S); the number of heads is no multiple of that of the keys.
    """
    if query.shape[-3] % key.shape[-3]:
        raise ValueError(
            f"query must have a multiple of key's {key.shape[-3]} heads, got {query.shape[-3]}; "
            "num_kv_heads must divide num_heads"
        )
    if mask is not None:
        if mask.shape != (key.shape[0], key.shape[-2]):
            raise ValueError(
                f"mask must be (batch, keys) = {(key.shape[0], key.shape[-2])}, got {tuple(mask.shape)}"
            )
        counts = (mask != 0)[:, None, :, None]
        key = torch.where(counts, key, _above_origin(key, FAR))
        value = torch.where(counts, value, _above_origin(value, 1 / sqrt(c)))
    sign = torch.ones(query.shape[-1], dtype=query.dtype, device=query.device)
    sign[0] = -1
    if dropout_p > 0:
        value = F.pad(value, (0, 1), value=1.0)  # its weighted sum is the total weight left
    total = F.scaled_dot_product_attention(
        query * (2 / scale * sign),
        key,
        value,
        attn_mask=attn_mask,
        dropout_p=dropout_p,
        is_causal=is_causal,
        scale=1.0,
        enable_gqa=query.shape[-3] != key.shape[-3],
    )
    if dropout_p > 0:
        return centroid_from_sum(total[..., :-1], total[..., -1:], c)
    return centroid_from_sum(total, 1.0, c)


def _above_origin(x: Tensor, time: Scalar) -> Tensor:
    """A vector (n + 1,) like x's last axis with this time and no space."""
    first = torch.as_tensor(time, dtype=x.dtype, device=x.device).reshape(1)
    return F.pad(first, (0, x.shape[-1] - 1))


class _HeadProjections(nn.Module):
    """What attention layers share: linear maps of points to the space parts of queries, keys and values."""

    def __init__(
        self,
        manifold: Manifold,
        embed_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        rotary: Rotary | None = None,
    ):
        super().__init__()
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if min(embed_dim, num_heads, kv_heads) < 1 or num_heads % kv_heads:
            raise ValueError(
                "embed_dim and num_heads must be positive and num_kv_heads a divisor of num_heads, got "
                f"{embed_dim}, {num_heads} and {num_kv_heads}"
            )
        if head_dim is None and embed_dim % num_heads:
            raise ValueError(
                f"embed_dim must be a multiple of num_heads = {num_heads}, got {embed_dim}; or give head_dim"
            )
        self.manifold = manifold
        self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
        self.in_features = self.embed_dim = embed_dim
        self.num_heads, self.num_kv_heads = num_heads, kv_heads
        self.q_proj = nn.Linear(embed_dim + 1, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(embed_dim + 1, kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(embed_dim + 1, kv_heads * self.head_dim, bias=bias)
        self.rotary = rotary

    def _project(self, x: Tensor, context: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Space parts (B, L, H, n), positions from `start` on applied."""
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        q, k, v = (s.unflatten(-1, (-1, self.head_dim)) for s in (q, k, v))
        if self.rotary is not None:
            q, k = self.rotary(q, start), self.rotary(k, start)
        return q, k, v

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, head_dim={self.head_dim}"


@in_float32
def lift_at(s: Tensor, c: Scalar) -> Tensor:
    """Space part to point of the hyperboloid of curvature -c."""
    return Lift.apply(s, c)  # type: ignore[return-value]


class _Attention(_HeadProjections):
    """Heads through `lorentz_attention`; subclasses join them."""

    def __init__(
        self,
        manifold: Manifold,
        embed_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        rotary: Rotary | None = None,
    ):
        super().__init__(
            manifold,
            embed_dim,
            num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            bias=bias,
            rotary=rotary,
        )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        self.dropout = dropout
        # at 2 sqrt(n) the space parts' share of the scores is that of Euclidean attention
        self.log_scale = nn.Parameter(torch.tensor(math.log(2 * math.sqrt(self.head_dim))))
        self._make_join(bias)

    def forward(
        self,
        x: Float[Tensor, "B L n+1"],
        context: Float[Tensor, "B S n+1"] | None = None,
        *,
        mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        past: KeyValues | None = None,
    ) -> Float[Tensor, "B L m+1"]:
        """Attend from x to `context` (by default x itself); masks as in `lorentz_attention`.

        With `past`, x continues a sequence whose keys and values it holds; `mask` then covers those as well.
        """
        c, start = self.manifold.c, 0 if past is None else past.length
        parts = self._project(x, x if context is None else context, start)
        q, k, v = (lift_at(s, c).transpose(1, 2) for s in parts)
        if past is not None:
            k, v = past.extend(k, v)
            if is_causal and start:  # torch aligns its causal mask with the first key
                seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)
                attn_mask, is_causal = seen.tril(start), False
        heads = lorentz_attention(
            q,
            k,
            v,
            c,
            self.log_scale.exp(),
            mask=mask,
            attn_mask=attn_mask,
            is_causal=is_causal,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self._join(heads.transpose(1, 2))

    def _make_join(self, bias: bool) -> None:
        """Parameters of `_join`, if it has any."""

    def _join(self, heads: Tensor) -> Tensor:
        """One point per head, (B, L, H, n + 1), to one point."""
        raise NotImplementedError


class LorentzMultiheadAttention(_Attention):
    """Multi-head attention on the hyperboloid, heads joined by concatenation and a linear map.

    (Chen et al. 2022, arXiv 2105.14686, sec. 3.2; HyperCore's form.) Each head's queries, keys and values are linear
    maps of all n + 1 coordinates, lifted; see `lorentz_attention`. The head points' coordinates, times included,
    are concatenated, mapped to a space part and lifted. In float32, values beyond a scaled radius of 7 lose digits (see
    there): keep them nearer, as norms in front of the layer do, or use `.double()`.

    Args:
        manifold: the hyperboloid of inputs and outputs.
        embed_dim: intrinsic dimensions of inputs and outputs.
        num_heads: heads of `head_dim` intrinsic dimensions; by default `embed_dim // num_heads`. A head dimension
            of 63 makes 64 coordinates, which meets fast GPU kernels where 64 + 1 does not.
        num_kv_heads: fewer heads for keys and values, each shared by a group of query heads.
        dropout: share of attention weights dropped in training.
        rotary: a `Rotary(head_dim)` for queries and keys.

    Shapes: `(B, L, embed_dim + 1)` to the same.

    >>> m = Lorentz()
    >>> LorentzMultiheadAttention(m, 64, 4)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 65])
    """

    def _make_join(self, bias: bool) -> None:
        self.out_proj = nn.Linear(self.num_heads * (self.head_dim + 1), self.embed_dim, bias=bias)

    def _join(self, heads: Tensor) -> Tensor:
        return lift_at(self.out_proj(heads.flatten(-2)), self.manifold.c)


class LorentzCentroidMultiheadAttention(_Attention):
    """Multi-head attention on the hyperboloid, heads joined by their centroid: outputs have `head_dim` dimensions.

    (HyperCore's `trans_heads_concat=False`.) From the lifted queries, keys and values on, all steps commute with
    isometries. Arguments as `LorentzMultiheadAttention`; `head_dim` is by default `embed_dim`, so that the width
    stays.

    Shapes: `(B, L, embed_dim + 1)` to `(B, L, head_dim + 1)`.

    >>> m = Lorentz()
    >>> LorentzCentroidMultiheadAttention(m, 64, 4)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 65])
    """

    def __init__(
        self, manifold: Lorentz, embed_dim: int, num_heads: int, *, head_dim: int | None = None, **options
    ):
        head_dim = embed_dim if head_dim is None else head_dim
        super().__init__(manifold, embed_dim, num_heads, head_dim=head_dim, **options)

    def _join(self, heads: Tensor) -> Tensor:
        return self.manifold.centroid(heads)


class LorentzFocusedAttention(_HeadProjections):
    """Attention in time linear in the length, through a focused feature map of space parts; not causal.

    (Yang et al. 2024, Hypformer, arXiv 2407.01290, eqs. 9 to 12.) `phi(s) = |u| u^p / |u^p|`, `u = relu(s) / t`
    sharpens directions; a head's space part is `phi(q) (phi(K)^T V) / (phi(q) phi(K)^T 1) + M v` with M one learned
    matrix for all heads. Heads are lifted and joined as in `LorentzMultiheadAttention`.

    Args:
        power: p, 2 or more sharpens; other arguments as `LorentzMultiheadAttention`.

    Shapes: `(B, L, embed_dim + 1)` to the same.

    >>> m = Lorentz()
    >>> LorentzFocusedAttention(m, 64, 4)(m.random((2, 10, 64))).shape
    torch.Size([2, 10, 65])
    """

    floor = 1e-6  # keeps the feature map of a vector without positive entries from being 0 / 0

    def __init__(
        self,
        manifold: Lorentz,
        embed_dim: int,
        num_heads: int,
        *,
        power: float = 2.0,
        bias: bool = True,
        head_dim: int | None = None,
        rotary: Rotary | None = None,
    ):
        super().__init__(manifold, embed_dim, num_heads, bias=bias, head_dim=head_dim, rotary=rotary)
        if not power >= 1:
            raise ValueError(f"power must be at least 1, got {power}")
        self.power = power
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self.value_map = nn.Linear(self.head_dim, self.head_dim, bias=bias)
        self.out_proj = nn.Linear(num_heads * (self.head_dim + 1), embed_dim, bias=bias)

    def forward(self, x: Float[Tensor, "B L n+1"], *, mask: Tensor | None = None) -> Float[Tensor, "B L n+1"]:
        """Points to points; `mask` (B, L), 1 = token."""
        q, k, v = self._project(x, x)
        heads = lift_at(self._mix(q, k, v, mask) + self.value_map(v), self.manifold.c)
        return lift_at(self.out_proj(heads.flatten(-2)), self.manifold.c)

    @in_float32
    def _mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k = self._focus(q), self._focus(k)
        if mask is not None:
            k = k * (mask != 0).to(k.dtype)[..., None, None]
        summary = torch.einsum("bshi,bshj->bhij", k, v)
        weight = torch.einsum("blhi,bhi->blh", q, k.sum(1))
        mixed = torch.einsum("blhi,bhij->blhj", q, summary)
        return mixed / weight.clamp_min(torch.finfo(q.dtype).tiny)[..., None]

    def _focus(self, s: Tensor) -> Tensor:
        u = (torch.relu(s) + self.floor) / self.log_scale.exp()
        length = norm(u)
        sharp = (u / length) ** self.power
        return length * sharp / norm(sharp)
