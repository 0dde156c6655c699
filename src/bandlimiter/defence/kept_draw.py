"""What a defended model keeps through casts and checkpoints: its draw, seed, radius or sigma."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import InputSampler, Sampler, require_cost


class KeptDraw(nn.Module):
    """The part of `PostAverage` that PyTorch moves, saves and loads."""

    directions: torch.Tensor | None
    scale: float | torch.Tensor
    sigma: float | None
    _radius: float | None
    seed: int
    sampler: Sampler | InputSampler
    directions_count: int

    @override
    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "KeptDraw":
        # Moved with the module but not cast, so that every dtype uses the same offsets.
        before = {
            name: self._buffers[name] for name in ("directions", "scale") if name in self._buffers
        }
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None:
                self._buffers[name] = buffer.to(moved.device)
        return self

    @override
    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # Tensors, so that any format of checkpoints holds them; float64, so that no
        # .half() of the module can round the radius.
        for name, value in (("radius", self._radius), ("sigma", self.sigma)):
            if value is not None:
                destination[prefix + name] = torch.tensor(value, dtype=torch.float64)
        destination[prefix + "seed"] = torch.tensor(self.seed, dtype=torch.int64)

    @override
    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        radius, sigma = (state_dict.pop(prefix + name, None) for name in ("radius", "sigma"))
        own, other = ("radius", sigma) if self.sigma is None else ("sigma", radius)
        if other is not None:
            raise ConfigurationError(
                f"expected the state of a defence with a {own}, got one with "
                f"{'sigma' if own == 'radius' else 'a radius'}; make the defence as it was made "
                "that was saved"
            )
        self._radius = self._radius if radius is None else float(radius)
        self.sigma = self.sigma if sigma is None else float(sigma)
        if prefix + "seed" in state_dict:
            self.seed = int(state_dict.pop(prefix + "seed"))
        saved = state_dict.get(prefix + "directions")
        if saved is not None:
            if isinstance(self.sampler, InputSampler):
                raise ConfigurationError(
                    f"expected a state without directions, as the sampler {self.sampler.name} "
                    f"finds them at each input; got {len(saved)}, saved with another sampler"
                )
            require_cost(self.sampler, self.directions_count, len(saved))
        self.directions = None if saved is None else torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
