"""Images to the pixel values that a model reads, without torchvision; Pillow only for Pillow's own images."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoImageProcessor, PreTrainedConfig
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_utils import ChannelDimension, SizeDict, infer_channel_dimension_format
from transformers.processing_utils import ImagesKwargs
from transformers.utils import is_vision_available

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue in grey (ITU-R BT.601, as Pillow has it)


class CrocutaImageProcessorKwargs(ImagesKwargs, total=False):
    """What `CrocutaImageProcessor` takes beside transformers' own."""

    num_channels: int


class CrocutaImageProcessor(BaseImageProcessor):
    """Resizes, rescales and normalises images: arrays, tensors or Pillow images, grey or in colour, alone or in lists.

    Args:
        num_channels: 1 makes colours grey, 3 repeats grey; alpha is dropped.
        size: height and width of the result; resizing is bilinear, with antialiasing where it shrinks.
        rescale_factor: multiplies pixels first, by default 1/255.
        image_mean, image_std: of the rescaled pixels, one number or one for each channel.

    Each of `do_resize`, `do_rescale` and `do_normalize` can be turned off. Arrays are height x width, or with channels
    first or last (`input_data_format` where that is unclear).

    >>> import numpy as np
    >>> images = [np.zeros((32, 28, 3), np.uint8), np.zeros((28, 28), np.uint8)]
    >>> processor = CrocutaImageProcessor(size={"height": 28, "width": 28}, num_channels=1)
    >>> processor(images, return_tensors="pt")["pixel_values"].shape
    torch.Size([2, 1, 28, 28])
    """

    valid_kwargs = CrocutaImageProcessorKwargs
    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    do_resize = True
    resample = 2  # bilinear, by transformers' number
    size: ClassVar[dict[str, int]] = {"height": 224, "width": 224}
    do_rescale = True
    do_normalize = True
    image_mean = 0.5
    image_std = 0.5
    num_channels = 3

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._set_attributes(**kwargs)

    @property
    def backend(self) -> str:
        """Name of what does the work."""
        return "torch"

    def _prepare_images_structure(self, images: Any, expected_ndims: int = 3) -> Any:
        """A list of images; an array of two axes is one grey image."""
        if not isinstance(images, (list, tuple)) and getattr(images, "ndim", None) == 2:
            images = images[None]
        if isinstance(images, (list, tuple)):
            images = [image[None] if getattr(image, "ndim", None) == 2 else image for image in images]
        return super()._prepare_images_structure(images, expected_ndims)

    def process_image(
        self,
        image: Any,
        num_channels: int = 3,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """One image as a float tensor (num_channels, height, width), pixels as they were."""
        if hasattr(image, "convert"):  # a Pillow image; palettes have no colours of their own
            image = np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB"))
        pixels = torch.as_tensor(np.array(image)) if not isinstance(image, Tensor) else image
        if pixels.ndim == 2:
            pixels = pixels[None]
        form = input_data_format or infer_channel_dimension_format(pixels.numpy(), num_channels=(1, 3, 4))
        if form == ChannelDimension.LAST:
            pixels = pixels.movedim(-1, 0)
        pixels = pixels[:3].float()
        if num_channels == 1 and len(pixels) == 3:
            return torch.einsum("c,chw->hw", pixels.new_tensor(LUMINANCE), pixels)[None]
        return pixels.expand(num_channels, -1, -1)

    def _preprocess(
        self,
        images: list[Tensor],
        do_resize: bool,
        size: SizeDict,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: float | tuple[float, ...],
        image_std: float | tuple[float, ...],
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        done = []
        for pixels in images:
            if do_resize:
                shape = [size["height"], size["width"]]
                pixels = F.interpolate(pixels[None], shape, mode="bilinear", antialias=True)[0]
            if do_rescale:
                pixels = pixels * rescale_factor
            if do_normalize:
                mean, std = (
                    pixels.new_tensor(values).reshape(-1, 1, 1) for values in (image_mean, image_std)
                )
                pixels = (pixels - mean) / std
            done.append(pixels)
        if return_tensors == "pt":
            return BatchFeature({"pixel_values": torch.stack(done)})
        return BatchFeature({"pixel_values": [p.numpy() for p in done]}, tensor_type=return_tensors)


def register_processor(config: type[PreTrainedConfig]) -> None:
    """Makes `AutoImageProcessor`, which transformers has only beside Pillow, know the processor of a configuration."""
    if is_vision_available():
        AutoImageProcessor.register(config, image_processor_classes={"pil": CrocutaImageProcessor})
