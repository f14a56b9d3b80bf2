"""Losses as modules. The functions of the same meaning are in trueno.nn.functional."""

from __future__ import annotations

import trueno as tn
from trueno.nn import functional
from trueno.nn.module import Module


class _Loss(Module):
    """A loss with a reduction: ``"mean"``, ``"sum"`` or ``"none"``."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        functional.check_reduction(reduction)
        self.reduction = reduction


class L1Loss(_Loss):
    """Absolute difference; see `functional.l1_loss`."""

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of predictions and targets of one shape."""
        return functional.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """Squared difference; see `functional.mse_loss`."""

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of predictions and targets of one shape."""
        return functional.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Squared difference below `beta`, absolute above; see `functional.smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of predictions and targets of one shape."""
        return functional.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class _WeightedLoss(_Loss):
    """A loss with weights, which move with the module."""

    weight: tn.Tensor | None

    def __init__(self, weight: tn.Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities; see `functional.binary_cross_entropy`."""

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of probabilities and targets of one shape."""
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross-entropy of logits; see `functional.binary_cross_entropy_with_logits`."""

    pos_weight: tn.Tensor | None

    def __init__(
        self, weight: tn.Tensor | None = None, reduction: str = "mean", pos_weight: tn.Tensor | None = None
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of logits and targets of one shape."""
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of log-probabilities; see `functional.nll_loss`."""

    def __init__(self, weight: tn.Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of log-probabilities ``(n, classes, ...)`` and classes ``(n, ...)``."""
        return functional.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of logits; see `functional.cross_entropy`."""

    def __init__(
        self,
        weight: tn.Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
        """Return the loss of logits ``(n, classes, ...)`` and classes ``(n, ...)`` or probabilities."""
        return functional.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
