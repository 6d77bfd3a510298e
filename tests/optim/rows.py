"""The rows that the tests of optimisers and schedules share with the recorder of PyTorch's numbers.

It imports neither minicnn nor torch; either is handed in.
"""

from __future__ import annotations

START = [1.0, -2.0, 0.5, 0.0]
GRADIENTS = [
    [0.5, -0.25, 3.0, 0.0],
    [-0.125, 0.75, 2.0, 1e-3],
    [0.0, 0.0, -40.0, 0.0],
    [0.3, -0.6, 0.1, -2e-3],
    [0.25, 0.25, 0.25, 0.25],
]

# (class, options): every option at least once alone and once with others.
OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "nesterov": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "betas": (0.3, 0.9)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"lr": 0.1, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "centered": True, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.5, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.5, "initial_accumulator_value": 2.0, "eps": 1e-2, "maximize": True}),
]

FIGURES = [1.0, 0.9, 0.9, 0.91, 0.89, 0.95, 0.95, 0.95, 0.95, float("nan"), 0.5, 0.5]

# (optimiser, schedule, options); a schedule that holds others has them as such pairs.
SCHEDULES = [
    ("SGD", "StepLR", {"step_size": 3, "gamma": 0.5}),
    ("SGD", "MultiStepLR", {"milestones": [2, 5, 5, 8], "gamma": 0.3}),
    ("SGD", "ExponentialLR", {"gamma": 0.9}),
    ("SGD", "ConstantLR", {"factor": 0.25, "total_iters": 4}),
    ("SGD", "LinearLR", {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 7}),
    ("SGD", "LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch) ** 0.5}),
    ("SGD", "LambdaLR", {"lr_lambda": [lambda epoch: 0.95**epoch, lambda epoch: 1.0]}),
    ("SGD", "CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("SGD", "CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.001}),
    ("SGD", "CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("SGD", "OneCycleLR", {"max_lr": 0.5, "total_steps": 12}),
    ("Adam", "OneCycleLR", {"max_lr": [0.5, 0.1], "epochs": 3, "steps_per_epoch": 4, "three_phase": True}),
    ("SGD", "OneCycleLR", {"max_lr": 0.5, "total_steps": 12, "anneal_strategy": "linear", "pct_start": 0.5}),
    ("Adagrad", "OneCycleLR", {"max_lr": 0.5, "total_steps": 12, "cycle_momentum": False, "div_factor": 5.0}),
    ("SGD", "ReduceLROnPlateau", {"factor": 0.5, "patience": 1, "cooldown": 1}),
    ("SGD", "ReduceLROnPlateau", {"mode": "max", "patience": 0, "threshold_mode": "abs", "min_lr": [0.1, 0]}),
    (
        "SGD",
        "SequentialLR",
        {
            "schedulers": [
                ("LinearLR", {"start_factor": 0.2, "total_iters": 3}),
                ("CosineAnnealingLR", {"T_max": 6}),
                ("ConstantLR", {"factor": 0.5, "total_iters": 2}),
            ],
            "milestones": [3, 9],
        },
    ),
    (
        "SGD",
        "SequentialLR",
        {
            "schedulers": [
                ("CosineAnnealingWarmRestarts", {"T_0": 3}),
                ("StepLR", {"step_size": 2}),
                ("ExponentialLR", {"gamma": 0.5}),
            ],
            "milestones": [4, 8],
        },
    ),
]


def parameters_in_time(optim, row, parameter, set_gradient):
    """The values of ``parameter`` after each step with GRADIENTS."""
    name, options = row
    optimizer = getattr(optim, name)([parameter], **options)
    values = []
    for gradient in GRADIENTS:
        set_gradient(parameter, gradient)
        optimizer.step()
        values.append(parameter.tolist())
    return values


def make_schedule(optim, row, parameters):
    """(optimiser, schedule) of a row, for two parameters in two groups."""
    kind, name, options = row
    momentum = {"momentum": 0.9} if kind == "SGD" else {}
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.02}]
    optimizer = getattr(optim, kind)(groups, lr=0.1, **momentum)
    if "schedulers" in options:
        parts = [getattr(optim.lr_scheduler, part)(optimizer, **o) for part, o in options["schedulers"]]
        options = {**options, "schedulers": parts}
    return optimizer, getattr(optim.lr_scheduler, name)(optimizer, **options)


def advance(optimizer, schedule, step):
    """One step of both; afterwards the learning rates and the momentum or beta of the first group."""
    optimizer.step()
    if type(schedule).__name__ == "ReduceLROnPlateau":
        schedule.step(FIGURES[step])
    else:
        schedule.step()
    return look(optimizer)


def look(optimizer):
    """The learning rates of both groups, and the first group's momentum or beta."""
    first, second = optimizer.param_groups
    momentum = first["betas"][0] if "betas" in first else first.get("momentum", 0.0)
    return [first["lr"], second["lr"], momentum]


def rates_in_time(optim, row, parameters):
    """What :func:`look` sees at the start and after each of 12 steps."""
    optimizer, schedule = make_schedule(optim, row, parameters)
    return [look(optimizer)] + [advance(optimizer, schedule, step) for step in range(len(FIGURES))]
