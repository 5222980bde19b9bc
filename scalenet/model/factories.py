"""Networks of others' code: the factory that a callable is, and the modules that it makes.

Here is where the code that a factory names is imported and run: from the working directory, before installed packages.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scalenet.arch.errors import ScalenetError, one_line
from scalenet.arch.factory import DEPTH, OTHERS, WIDTH, Factory
from scalenet.model.importing import found, let_in, made
from scalenet.model.rewriting import Knobs, knobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.spec import Buildable

_USUAL = {"resolution": 224, "channels": 3, "classes": 1000}
_LOGITS = 2
"""Dimensions of logits [images, classes]."""
_LONGEST = 300


@cache
def factory_of(path: str, *, rewrite: bool = False) -> Factory:
    """Return what `package.module:name` is called with as it stands: its own defaults, and 1.0 where it has none.

    The network is made twice and run once. Raise ScalenetError where it takes no width and depth, makes no module, or
    other tensors each time, or does not run.
    """
    parameters = _own_parameters(imported(path)) if rewrite else _parameters(imported(path), path)
    takes = tuple(name for name in OTHERS if name in parameters)
    usual = {name: _default(parameters.get(name), value) for name, value in _USUAL.items()}
    sizes = {name: 1.0 if rewrite else _knob(parameters[name]) for name in (WIDTH, DEPTH)}
    return seen(Factory(callable=path, **sizes, takes=takes, rewrite=rewrite or None, **usual))


def seen(factory: Factory) -> Factory:
    """Return a factory with the classes that its network has, after it was made twice and run."""
    module, again = made_empty(factory), made_empty(factory)
    if _tensors(module) != _tensors(again):
        raise ScalenetError(f"{factory}: makes other tensors each time", hint="its structure must follow from its call")
    classes = _classes(_output(factory, module))
    if "classes" in factory.takes and classes not in (None, factory.classes):
        raise ScalenetError(f"{factory}: gives logits of {classes} classes")
    return factory.changed(classes=classes)


def checked(network: Buildable) -> Buildable:
    """Return a network of which a factory gives as many logits as it is asked for; raise ScalenetError otherwise."""
    if isinstance(network, Factory) and seen(network).classes != network.classes:
        raise ScalenetError(f"{network}: does not give logits [images, {network.classes}]")
    return network


def imported(path: str) -> Any:
    """Return what a path names, imported from the working directory or where Python looks."""
    project = Path.cwd()
    let_in(project)
    try:
        return found(path, project)
    except ScalenetError as error:
        raise ScalenetError(f"{path}: {error.message}", hint=error.hint) from None


def make(factory: Factory) -> nn.Module:
    """Return the network that a factory makes, where torch makes tensors now; initial values are its own."""
    made_by = imported(factory.callable)
    if torch.get_default_device().type == "meta":
        return made_empty(factory)
    return _called(made_by, factory)


def made_empty(factory: Factory) -> nn.Module:
    """Return the network without values, on the meta device; code that reads values makes it on the CPU first."""
    made_by = imported(factory.callable)
    try:
        with torch.device("meta"):
            return _called(made_by, factory)
    except ScalenetError:
        return made_whole(factory).to("meta")


def made_whole(factory: Factory) -> nn.Module:
    """Return the network on the CPU, and leave torch's random numbers as they were."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        return _called(imported(factory.callable), factory)


def _output(factory: Factory, module: nn.Module) -> Any:
    """Return what a network makes of one image of zeros; one that reads values is made on the CPU for it."""
    with suppress(Exception):
        return _run(factory, module)
    try:
        return _run(factory, made_whole(factory))
    except Exception as error:
        raise not_run(factory, error) from None


def _run(factory: Factory, module: nn.Module) -> Any:
    device = next((tensor.device for tensor in module.parameters()), None)
    with torch.no_grad():
        return module.eval()(torch.zeros(1, factory.channels, *factory.size, device=device))


def not_run(factory: Factory, error: BaseException) -> ScalenetError:
    """Return what to raise where a network does not run on an image."""
    shape = "x".join(map(str, (1, factory.channels, *factory.size)))
    return ScalenetError(
        f"{factory}: cannot be run for {shape}: {one_line(error)[:_LONGEST]}",
        hint="it is called with one batch of images; another size is --input-size, or --resolution",
    )


def _called(made_by: Any, factory: Factory) -> nn.Module:
    try:
        module = made(made_by, named=factory.keywords())
        if not factory.rewrite:
            return module
        module = deepcopy(module) if module is made_by else module
        return knobs_of(factory).turn(module, width=factory.width, depth=factory.depth)
    except ScalenetError as error:
        raise ScalenetError(f"{factory}: {error.message}", hint=error.hint) from None


_knobs: dict[str, Knobs] = {}


def knobs_of(factory: Factory) -> Knobs:
    """Return what there is to scale in the module that a callable makes, which is made and run once a process."""
    key = repr((factory.callable, factory.channels, factory.keywords() | {"resolution": None}))
    if key not in _knobs:
        with torch.random.fork_rng(devices=[]):
            whole, empty = (partial(_unscaled, factory, device) for device in ("cpu", "meta"))
            _knobs[key] = knobs(whole, _whichever(empty, whole), _image(factory))
    return _knobs[key]


def _unscaled(factory: Factory, device: str) -> nn.Module:
    """Return the module that a callable makes, or a copy of one that is given, on a device."""
    made_by = imported(factory.callable)
    with torch.device(device):
        module = made(made_by, named=factory.keywords())
    return deepcopy(module).to(device) if module is made_by else module


def _whichever(first: Callable[[], nn.Module], other: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return what makes a module the first way, or else the other one where that one does not go."""
    try:
        first()
    except ScalenetError:
        return other
    return first


def _image(factory: Factory) -> Tensor:
    return torch.zeros(1, factory.channels, *factory.size)


def _own_parameters(made_by: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a callable by name; a module has none."""
    if isinstance(made_by, nn.Module):
        return {}
    try:
        return dict(inspect.signature(made_by).parameters)
    except (TypeError, ValueError):  # it is written in C, or is nothing that can be called
        return {}


def _parameters(made_by: Callable[..., Any], path: str) -> dict[str, inspect.Parameter]:
    """Return the arguments of a factory by name; raise ScalenetError for what is none."""
    hint = "write a function of width and depth that calls it; to count one module, give its --input"
    if not callable(made_by) or isinstance(made_by, nn.Module):
        raise ScalenetError(f"{path} is {type(made_by).__name__}, not a factory of networks", hint=hint)
    parameters = _own_parameters(made_by)
    missing = [name for name in (WIDTH, DEPTH) if name not in parameters]
    if missing:
        raise ScalenetError(f"{path} takes no argument {' and no '.join(map(repr, missing))}", hint=hint)
    return parameters


def _knob(parameter: inspect.Parameter) -> int | float:
    """Return a width or depth as it stands: whole where the annotation says so, or without one a default above 1."""
    value = _default(parameter, 1.0)
    plain = parameter.annotation is parameter.empty and value > 1
    whole = isinstance(value, int) and (plain or parameter.annotation in (int, "int"))
    return int(value) if whole else float(value)


def _default(parameter: inspect.Parameter | None, usual: Any) -> Any:
    given = None if parameter is None or parameter.default is parameter.empty else parameter.default
    return usual if given is None or isinstance(given, bool) else given


def _tensors(module: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, tensor.shape) for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)]


def _classes(output: Any) -> int | None:
    """Return the number of classes of an output that is logits [1, classes]."""
    is_logits = isinstance(output, Tensor) and output.ndim == _LOGITS and len(output) == 1
    return int(output.shape[1]) if is_logits else None
