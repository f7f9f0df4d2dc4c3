"""Layers on the Poincare ball."""
