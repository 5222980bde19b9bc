"""The average of a network's weights over the steps of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel

from scalenet.training.recipe import Ema, Tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from scalenet.training.recipe import Average


class Averages:
    """The average of a module's weights, once it has begun: a moving one, of its buffers too, or the plain mean."""

    def __init__(self, module: nn.Module, average: Average | None, *, steps: int) -> None:
        """Prepare the average of a training of so many steps."""
        self.module, self.average = module, average
        self.first = average.first(steps) if isinstance(average, Tail) else 0
        self.averaged: AveragedModel | None = None

    @property
    def network(self) -> nn.Module:
        """The averaged network, or the module itself where no average has begun."""
        if self.averaged is None:
            return self.module
        averaged: nn.Module = self.averaged.module
        return averaged

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts while the training runs: a plain mean is worth nothing before its end."""
        return self.network if isinstance(self.average, Ema) else self.module

    @property
    def is_mean(self) -> bool:
        """Whether the average is a plain mean of weights, which no running statistics are of."""
        return self.averaged is not None and not isinstance(self.average, Ema)

    def update(self, step: int) -> None:
        """Take the weights after a step, counted from 0, into the average."""
        if self.average is None or step < self.first:
            return
        if self.averaged is None:
            self.averaged = self._begun()
        self.averaged.update_parameters(self.module)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that the average goes on from, if it has begun."""
        return {} if self.averaged is None else dict(self.averaged.state_dict())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.averaged = self._begun() if tensors else None
        if self.averaged is not None:
            self.averaged.load_state_dict(tensors)

    def _begun(self) -> AveragedModel:
        if not isinstance(self.average, Ema):
            return AveragedModel(self.module)
        decay = self.average.decay

        def move(averages: Any, values: Any, count: Any) -> None:
            if averages[0].is_floating_point():
                kept = min(decay, (1 + int(count)) / (10 + int(count)))
                torch._foreach_lerp_(averages, values, 1 - kept)
            else:
                torch._foreach_copy_(averages, values)

        return AveragedModel(self.module, multi_avg_fn=move, use_buffers=True)
