"""Learning on images: `crocuta lab image`."""
