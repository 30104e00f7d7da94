"""The LoRA adapter that is trained: put on a model's layers by PEFT, read off and saved."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.core.errors import ConfigError
from gateway.tuning.recipe import Recipe, targeted

Tensor = Any


class TrainedAdapter:
    """A new adapter on the layers of a base model, whose own weights stay as they are.

    The same seed gives the same first weights: lora_A is drawn (Kaiming uniform), lora_B zero, so
    that before the first step the model is its base.

    Raises:
        ConfigError: the model has none of the modules that the recipe names, or fewer layers.
    """

    def __init__(self, module: Any, layers: int, recipe: Recipe) -> None:
        import peft
        import torch

        if recipe.top_layers >= layers:
            raise ConfigError(
                f"--top-layers {recipe.top_layers}: the model has {layers}",
                hint="leave it out to train all",
            )
        self.below = layers - recipe.top_layers if recipe.top_layers else 0
        torch.manual_seed(recipe.seed)
        config = peft.LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,  # type: ignore[arg-type]
            lora_dropout=recipe.dropout,
            target_modules=targeted(linear_names(module), recipe.targets),
            layers_to_transform=list(range(self.below, layers)) if self.below else None,
            layers_pattern="layers" if self.below else None,
            task_type="CAUSAL_LM",
        )
        with quiet_peft():
            self._peft: Any = peft.get_peft_model(module, config)
        self.parameters: Mapping[str, Tensor] = {
            name: each for name, each in self._peft.named_parameters() if each.requires_grad
        }
        """What is trained, by PEFT's names."""

    @property
    def trained(self) -> int:
        """How many numbers that is."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    def off(self) -> AbstractContextManager[None]:
        """A block in which the model is its base."""
        found: AbstractContextManager[None] = self._peft.disable_adapter()
        return found

    def weights(self) -> dict[str, Tensor]:
        """A copy of what is trained."""
        return {n: p.detach().cpu().clone() for n, p in self.parameters.items()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Take over such a copy."""
        import torch

        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])

    def save(self, folder: Path, base: str) -> None:
        """Write adapter_config.json and adapter_model.safetensors.

        Args:
            base: what the configuration calls the base model, whose path on this machine would
                say nothing on another.
        """
        self._peft.active_peft_config.base_model_name_or_path = base
        self._peft.save_pretrained(str(folder), save_embedding_layers=False)
        # PEFT's card says nothing that card.toml does not.
        (folder / "README.md").unlink(missing_ok=True)


def linear_names(module: Any) -> list[str]:
    """Last parts of the names of a model's linear layers but the output layer, sorted."""
    from torch.nn import Linear

    head = module.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, each in module.named_modules()
            if isinstance(each, Linear) and each is not head
        }
    )
