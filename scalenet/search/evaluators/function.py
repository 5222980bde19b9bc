"""A function of the user's, named or given."""

from __future__ import annotations

import inspect
import sys
import time
import traceback
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import PlainError, RunError, ScalenetError, one_line
from scalenet.arch.factory import Factory
from scalenet.search.evaluators.base import Report, Result, check_rates, fingerprint, fraction
from scalenet.search.evaluators.contents import CODE, Contents, called, plain
from scalenet.search.evaluators.files import imports, modules, package_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from scalenet.arch.spec import Buildable
    from scalenet.search.evaluators.base import Job, Tell


@dataclass(frozen=True, slots=True)
class Function:
    """A function, as `package.module:function`, found in `folder` or where Python looks.

    It is called as `function(architecture, budget=, seed=, folder=, report=)` with the candidate's
    `scalenet.Architecture` and returns its accuracy, a fraction, or None where the training diverged; it gets a
    `learning_rate=` as well where it names that and there is one. It may call `report(epochs, accuracy)` meanwhile.
    What it prints goes to stderr.
    """

    path: str
    folder: str

    def __str__(self) -> str:
        return self.path

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse a function that cannot be imported, jobs without a budget, and rates that it does not take."""
        _check(jobs, self._found(), self.path)

    def sources(self) -> dict[str, str]:
        """Return digests of the function's module and of those in its folder that it imports, however far.

        Of what is no function, such as a partial, the module is the one that it is found in. Comments and layout make
        no difference.
        """
        found, folder = self._found(), Path(self.folder)
        if known := _digests(found, folder):
            return known
        module = sys.modules[self.path.partition(":")[0]]
        return {f"{name} of {self}": digest for name, digest in _files(module, folder).items()}

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Call the function; the traceback of what it raises goes to `log.txt` in the job's folder."""
        return _call(self._found(), job, tell)

    def _found(self) -> Callable[..., Any]:
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        place, _, name = self.path.partition(":")
        try:
            found: Callable[..., Any] = attrgetter(name)(import_module(place))
        except (Exception, SystemExit) as error:
            raise ScalenetError(f"--evaluate {self.path}: cannot be imported: {_said(error)}") from None
        if not callable(found):
            raise ScalenetError(f"--evaluate {self.path}: is {type(found).__name__}, not a function")
        return found


def sources_of(network: Buildable) -> dict[str, str]:
    """Return digests of the code that a factory's networks follow from; none of a description."""
    if not isinstance(network, Factory):
        return {}
    from scalenet.model.factories import imported  # noqa: PLC0415 - brings torch

    return _digests(imported(network.callable), Path.cwd())


@dataclass(frozen=True, slots=True)
class Given:
    """A function that a program has at hand, called as `Function` says: for a search in that program's own process."""

    function: Callable[..., Any]

    def __str__(self) -> str:
        return called(self.function)

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse jobs without a budget, and rates that the function does not take."""
        _check(jobs, self.function, str(self))

    def sources(self) -> dict[str, str]:
        """Return digests of what the function is made of, as far as it can be told; its own by its name."""
        named = inspect.isfunction(self.function) and not hasattr(self.function, "__wrapped__")
        own = {CODE: str(self)} if named and self.function.__name__ != "<lambda>" else {}
        parts = Contents(self.function).parts
        return {own.get(name, f"{name} of {self}"): fingerprint(text.encode()) for name, text in parts.items()}

    def unnoticed(self) -> str | None:
        """Return what of the function may change without being noticed, in words; None where nothing may."""
        names = sorted(Contents(self.function).unknown)
        if not names:
            return None
        return f"{self}: a change of {', '.join(names)} goes unnoticed: take another folder after one"

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Call the function; the traceback of what it raises goes to `log.txt` in the job's folder."""
        return _call(self.function, job, tell)


def _digests(function: Callable[..., Any], folder: Path) -> dict[str, str]:
    """Return digests of a function's or class's module and of those in a folder that it imports, however far."""
    function = inspect.unwrap(function)
    written = inspect.isfunction(function) or inspect.isclass(function)
    return _files(function, folder) if written else {}


def _files(one: Callable[..., Any] | ModuleType, folder: Path) -> dict[str, str]:
    """Return digests of the file that something is written in and of those in a folder that it imports."""
    try:
        source = inspect.getsourcefile(one)
    except TypeError:  # built in
        source = None
    if source is None:
        return {}
    first = Path(source)
    digests = {first.name: _code_digest(first.read_text(encoding="utf-8"))}
    module = one.__name__ if inspect.ismodule(one) else one.__module__
    names = imports(first.read_text(encoding="utf-8"), package_of(first, module.split(".")))
    for file in modules(names, [folder]):
        if file.resolve() != first.resolve():
            digests[file.relative_to(folder).as_posix()] = _code_digest(file.read_text(encoding="utf-8"))
    return digests


def by_name(function: Callable[..., Any]) -> Function | None:
    """Return a function as other processes find it; None where its module is a script, or it has no name there."""
    place, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<unnamed>")
    module = sys.modules[place or "__main__"]
    file = getattr(module, "__file__", None)
    if place is None or place == "__main__" or file is None or _there(module, name) is not function:
        return None
    path = Path(file).resolve()
    steps = place.count(".") + (path.name == "__init__.py")
    return Function(f"{place}:{name}", str(path.parents[steps]))


def _there(module: ModuleType, name: str) -> Any:
    """Return what a module has by that name, None where it has nothing: a function within another one."""
    try:
        return attrgetter(name)(module)
    except AttributeError:
        return None


def _check(jobs: Sequence[Job], function: Callable[..., Any], what: str) -> None:
    if any(job.budget is None for job in jobs):
        raise ScalenetError(f"--evaluate {what} wants a budget", hint="--epochs says how much it is")
    named = _rate_parameter(function)
    needs = named is not None and named.default is named.empty and named.kind is not named.VAR_KEYWORD
    check_rates(jobs, takes=named is not None, needs=needs, what=f"--evaluate {what}")


def _rate_parameter(function: Callable[..., Any]) -> inspect.Parameter | None:
    """Return the parameter of a function that takes a learning rate, if it has one: by name, or like any other."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C
        return None
    others = [one for one in parameters.values() if one.kind is one.VAR_KEYWORD]
    return parameters.get("learning_rate", *others)


def _call(function: Callable[..., Any], job: Job, tell: Tell) -> Result:
    started = time.perf_counter()
    job.folder.mkdir(parents=True, exist_ok=True)
    rate = {} if job.learning_rate is None else {"learning_rate": job.learning_rate}
    try:
        with chdir("."):  # where it moves to, this process does not stay
            accuracy = function(
                job.config.architecture(),
                budget=job.budget,
                seed=job.seed,
                folder=job.folder,
                **rate,
                report=lambda done, accuracy=None: tell(Report(float(done), fraction(accuracy, f"report({done})"))),
            )
    except (Exception, SystemExit) as error:
        log = job.folder / "log.txt"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        raise RunError(f"{job}: {_said(error)}, see {log}") from None
    seconds = round(time.perf_counter() - started, 2)
    return Result(job.candidate, job.seed, fraction(accuracy, str(job)), None, seconds, None)


def _code_digest(source: str) -> str:
    """Return a digest of what code does, without its comments and its layout."""
    try:
        source = plain(source)
    except SyntaxError:
        source = " ".join(source.split())
    return fingerprint(source.encode())


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, PlainError) else one_line(error)
