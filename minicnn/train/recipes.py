"""What is chosen where the user chose nothing."""

from __future__ import annotations

from typing import Any

from minicnn import backends
from minicnn.core.threads import chosen_threads, processors
from minicnn.data.catalog import CATALOG
from minicnn.data.sources import Source
from minicnn.train.choices import OPTIMIZERS
from minicnn.train.config import Config

__all__ = ["LEFT_OPEN", "chosen", "resolved"]

# For the data sets known by name.
_KNOWN: dict[str, dict[str, Any]] = {
    "digits": {"model": "digits_cnn", "epochs": 40, "optimizer": "adam", "lr": 5e-3},
    "mnist": {"model": "lenet5", "epochs": 5, "optimizer": "adam"},
    "fashion-mnist": {"model": "lenet5", "epochs": 10, "optimizer": "adam"},
    "kmnist": {"model": "lenet5", "epochs": 10, "optimizer": "adam"},
}
# For all others, by the number of their training images; the first was measured to be better for up to 2,000.
_FEW: dict[str, Any] = {"epochs": 30, "batch_size": 32, "optimizer": "adam", "augment": "standard"}
_MANY: dict[str, Any] = {"model": "resnet20", "epochs": 20, "optimizer": "sgd", "augment": "standard"}
_FROM = 5000  # training images are many
# SGD's usual rate is too large for what normalises nothing.
_PLAIN = ("mlp", "lenet5", "digits_cnn", "vgg_small")
_PLAIN_RATES = {"sgd": 0.02}
_LARGE = 64  # pixels; beyond, convolutions in full resolution take too long

LEFT_OPEN = ("model", "epochs", "batch_size", "optimizer", "lr", "schedule", "augment", "threads", "backend")


def resolved(config: Config, source: Source, model: str = "") -> Config:
    """The configuration with nothing left open except ``out``; ``model`` is that of the run to start from."""
    config = config.replace(model=config.model or model)
    recipe = _recipe(config, source)
    if config.optimizer not in ("", recipe["optimizer"]):
        recipe = {name: value for name, value in recipe.items() if name != "lr"}
    optimizer, model = config.optimizer or recipe["optimizer"], config.model or recipe["model"]
    usual_rate = OPTIMIZERS[optimizer][1]
    if model in _PLAIN:
        usual_rate = _PLAIN_RATES.get(optimizer, usual_rate)
    # What stops early would never see the low rates that one-cycle ends with; cosine's fall from the start.
    schedule = "cosine" if config.patience else "onecycle"
    recipe = {"batch_size": 64, "lr": usual_rate, "schedule": schedule, "augment": "none"} | recipe
    # With BLAS a second thread gains little on small models, costs tenfold when another process holds its
    # core, and changes the last bits of the numbers; the native kernels' threads do nothing of it.
    backend = config.backend or backends.active().name
    usual = processors() if backend == "native" else 1
    recipe |= {"threads": chosen_threads() or usual, "backend": backend}
    return config.replace(**{name: recipe[name] for name in LEFT_OPEN if not getattr(config, name)})


def _recipe(config: Config, source: Source) -> dict[str, Any]:
    name = config.data.lower().replace("_", "-")
    if name in _KNOWN:
        return _KNOWN[name]
    if len(source.train) >= _FROM or name in CATALOG:
        return _MANY
    side = min(source.image_shape[1:])
    model = "lenet5" if side > _LARGE else "digits_cnn" if side >= 4 else "mlp"
    return _FEW | {"model": model}


def chosen(given: Config, config: Config) -> str:
    """What was chosen in ``config`` of what was left open in ``given``, in words.

    Examples
    --------
    >>> chosen(Config(epochs=3), Config(epochs=3, model="mlp", batch_size=8))
    'model mlp, batch size 8'
    """
    left = [name for name in LEFT_OPEN[:-2] if not (name == "model" and given.start_from)]
    names = [name for name in left if not getattr(given, name) and getattr(config, name)]
    return ", ".join(f"{name.replace('_', ' ')} {getattr(config, name)}" for name in names)
