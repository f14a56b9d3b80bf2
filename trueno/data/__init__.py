"""Data sets and batches, with PyTorch's names (`torch.utils.data`)."""

from __future__ import annotations

from trueno.data.collate import default_collate
from trueno.data.dataset import Dataset, Subset, TensorDataset, random_split
from trueno.data.loader import DataLoader

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "default_collate", "random_split"]
