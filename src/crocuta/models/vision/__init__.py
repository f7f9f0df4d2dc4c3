"""Models of images: LViT, ViT, Lorentz ResNets, and the image processor."""
