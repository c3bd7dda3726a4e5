"""Finds handlers by name, imports each under a name of its own, and checks a bot's settings against its handler."""

from __future__ import annotations

import difflib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

import app
from app.control.registry.directories import CONFIG
from app.core.document import KeyPath, dotted
from app.core.errors import ConfigError, Fault, Misused
from app.core.shape import fit
from app.model.bot import HANDLER_MODULES

if TYPE_CHECKING:
    from app.model.schedule import BotSchedule
    from app.sdk import Bot

# Errors whose texts are about the code; any other's may hold what the code was working on, such as a secret.
_TELLING: Final = (AttributeError, ImportError, NameError, SyntaxError)
_UNTOLD: Final = "its text is not shown, it could hold a secret: `python {file}` shows it"
_numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class HandlerModule:
    """One imported module of bots/: one version of its code."""

    name: str
    file: Path
    bot: Bot[Any]
    module: str
    """Its name in `sys.modules`, which only this version uses."""


class _Fresh(SourceFileLoader):
    """Compiles the source each time: cached bytecode goes by whole seconds, and authors save faster."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def handler_directories(given: Path | None = None) -> tuple[Path, ...]:
    """Where handlers are looked for: in `--bots DIR` or ./bots, then in the examples installed with the hub."""
    # Beside the hub's own package, since importing `bots` could find the working directory's again.
    examples = Path(app.__file__ or "").resolve().parent.parent / "bots"
    first = given or Path("bots")
    return (first,) if first.resolve() == examples else (first, examples)


def available(directories: Sequence[Path]) -> list[str]:
    """Names of all handlers in the directories; names that begin with `_` do not count."""
    names = {
        path.stem if path.is_file() else path.name
        for directory in directories
        if directory.is_dir()
        for path in directory.iterdir()
        if not path.name.startswith(("_", ".")) and _source(directory, path.stem) == _file_of(path)
    }
    return sorted(names)


def load_handler(name: str, directories: Sequence[Path]) -> HandlerModule:
    """Import a handler afresh; raises ConfigError naming file and line. Runs the author's code: for workers only."""
    file = next(filter(None, (_source(directory, name) for directory in directories)), None)
    if file is None or name.startswith("_"):
        raise ConfigError([_not_found(name, directories)])
    module_name = f"{HANDLER_MODULES}{next(_numbers)}_{name}"
    package = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        module_name, file, loader=_Fresh(module_name, str(file)), submodule_search_locations=package
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it runs: dataclasses and pydantic look up a class's module while it is made.
    sys.modules[module_name] = module
    try:
        importlib.invalidate_caches()
        spec.loader.exec_module(module)
        bot = _bot_of(module, file)
    except (Exception, SystemExit) as exc:
        _forget(module_name)
        if isinstance(exc, ConfigError):
            raise
        raise ConfigError([_fault(exc, file)]) from None
    return HandlerModule(name, file, bot, module_name)


def unload(handler: HandlerModule) -> None:
    """Drop a version that no handler runs any more, with the modules of its package."""
    _forget(handler.module)


def check_settings(
    handler: HandlerModule, settings: Mapping[str, Any], directory: str | Path
) -> tuple[BaseModel | None, list[Fault]]:
    """A bot's `settings:` as its handler's own model, or all their faults."""

    def place(path: KeyPath) -> tuple[str, str, int | None]:
        return str(Path(directory) / CONFIG), dotted(("settings", *path)), None

    return fit(handler.bot.settings_model, settings, place)


def check_schedules(handler: HandlerModule, schedules: Sequence[BotSchedule], directory: str | Path) -> list[Fault]:
    """A bot's `schedules:` that start what its handler does not have."""
    from app.sdk.schedules import unknown_handlers

    file = str(Path(directory) / CONFIG)
    return [Fault(file, f"schedules.{place}", wrong) for place, wrong in unknown_handlers(handler.bot, schedules)]


def _source(directory: Path, name: str) -> Path | None:
    for path in (directory / f"{name}.py", directory / name / "__init__.py"):
        if path.is_file():
            return path
    return None


def _file_of(path: Path) -> Path:
    return path / "__init__.py" if path.is_dir() else path


def _bot_of(module: ModuleType, file: Path) -> Bot[Any]:
    from app.sdk import Bot

    bot = getattr(module, "bot", None)
    if not isinstance(bot, Bot):
        found = "nothing of that name" if bot is None else f"a {type(bot).__name__}"
        raise ConfigError([Fault(str(file), "bot", f"expected `bot = Bot()` from app.sdk, found {found}")])
    return bot


def _not_found(name: str, directories: Sequence[Path]) -> Fault:
    names = available(directories)
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    places = ", ".join(str(directory) for directory in directories)
    there = f"there are {', '.join(names)}" if names else "there is none"
    return Fault(str(directories[0] / f"{name}.py"), "", f"no such handler; {meant}looked in {places}; {there}")


def _fault(error: BaseException, file: Path) -> Fault:
    place, line = file, 0
    if isinstance(error, SyntaxError) and error.filename:
        place, line = Path(error.filename), error.lineno or 0
    else:
        for frame_file, frame_line in _frames(error):
            if frame_file == file or (file.name == "__init__.py" and file.parent in frame_file.parents):
                place, line = frame_file, frame_line
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f": {text}" if isinstance(error, _TELLING) else f" ({_UNTOLD.format(file=file)})"
    where = f"{place}:{line}" if line else str(place)
    if isinstance(error, Misused):
        return Fault(where, "", text)
    return Fault(where, "", f"the import failed with {type(error).__name__}{said}")


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next


def _forget(module_name: str) -> None:
    for name in [name for name in sys.modules if name == module_name or name.startswith(f"{module_name}.")]:
        del sys.modules[name]
