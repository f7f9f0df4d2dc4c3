"""Contrastive models of two sides: L-CLIP, CLIP, and the encoder of sequences."""
