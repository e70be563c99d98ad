"""What a study may set of its trainings: overrides of recipes, checked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Schedule = Literal["one-cycle", "triangle", "step", "cosine", "constant"]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Table):
    """Overrides of a training recipe (network.recipe.Recipe); what is absent keeps its default."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    optimiser: Literal["adamw", "adam", "sgd"] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    nesterov: bool | None = None
    schedule: Schedule | None = None
    milestones: tuple[int, ...] | None = None
    gamma: float | None = Field(default=None, gt=0, le=1)
    warm_up: float | None = Field(default=None, ge=0, lt=1)
    bias_rate: float | None = Field(default=None, gt=0)
    lookahead: bool | None = None
    whitened: bool | None = None
    identity: bool | None = None
    fixed_scales: bool | None = None
    clip_gradient: float | None = Field(default=None, gt=0)

    def overrides(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_none=True)


class AnnTraining(Training):
    """Overrides of an ANN's recipe (network.recipe.AnnRecipe)."""

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    score_scale: float | None = Field(default=None, gt=0)
