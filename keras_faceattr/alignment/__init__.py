"""Cutting the faces of whole collections, once, before training."""
