"""Images to sequences of points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crocuta.manifolds import Lorentz
from crocuta.nn.lorentz.conv import LorentzConv2d

if TYPE_CHECKING:
    from jaxtyping import Float


class LorentzPatchEmbedding(nn.Module):
    """Each patch's pixels, as points, concatenated and sent through a Lorentz linear layer.

    A convolution of stride `patch_size` (Dosovitskiy et al. 2021 on the hyperboloid; Bdeir et al. 2023, eq. 4).

    Shapes: `(batch, height, width, in_channels + 1)` to `(batch, patches, embed_dim + 1)`, row by row.

    Raises:
        ValueError: the image is not a whole number of patches.

    >>> import torch
    >>> m = Lorentz()
    >>> LorentzPatchEmbedding(m, 3, 16, patch_size=4)(m.expmap0(torch.randn(2, 8, 8, 3))).shape
    torch.Size([2, 4, 17])
    """

    def __init__(
        self, manifold: Lorentz, in_channels: int, embed_dim: int, patch_size: int, bias: bool = True
    ):
        super().__init__()
        self.manifold, self.in_features, self.patch_size = manifold, in_channels, patch_size
        self.projection = LorentzConv2d(
            manifold, in_channels, embed_dim, patch_size, stride=patch_size, bias=bias
        )

    def forward(self, x: Float[Tensor, "batch height width n+1"]) -> Float[Tensor, "batch patches m+1"]:
        """Pixels' points to patches' points."""
        if x.shape[1] % self.patch_size or x.shape[2] % self.patch_size:
            raise ValueError(
                f"height and width must be multiples of patch_size={self.patch_size}, "
                f"got {x.shape[1]} x {x.shape[2]}"
            )
        return self.projection(x).flatten(1, 2)
