"""Finding the app: from --app, DEEDLOG_APP or pyproject.toml to an object, with errors that say what to write."""

import importlib
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

from deedlog.app import App
from deedlog.ops.exits import Usage

_SPEC = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?::(?P<name>[A-Za-z_]\w*))?")
_DECLARED = re.compile(r"^(?P<name>[A-Za-z_]\w*)\s*(?::[^=\n]*)?=\s*(?:deedlog\.)?App\(", re.MULTILINE)


def configured() -> str | None:
    """`app` of [tool.deedlog] in ./pyproject.toml, or None. Raises Usage for a file that can't be read that way."""
    path = Path("pyproject.toml")
    if not path.is_file():
        return None
    try:
        tools = tomllib.loads(path.read_text("utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"pyproject.toml can't be read: {error}", fix="repair the file, or say --app module:name") from error
    spec = tools.get("deedlog", {}).get("app")
    if spec is not None and not isinstance(spec, str):
        raise Usage("pyproject.toml: [tool.deedlog] app is not text", fix='app = "module:name"')
    return spec


def load(spec: str) -> App:
    """The App that `module:name` stands for. Raises Usage when there is none; what the module itself raises passes."""
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        raise Usage(f"'{spec}' is not module:name", fix=f"--app {_as_spec(spec)}")
    module = _import(parts["module"])
    return _pick(module, parts["module"], parts["name"])


def _as_spec(text: str) -> str:
    """The best guess at what somebody meant who wrote a path."""
    path, _, name = text.partition(":")
    module = re.sub(r"[/\\]+", ".", path.removeprefix("./").removesuffix(".py")).strip(".")
    guess = f"{module}:{name or 'app'}"
    return guess if _SPEC.fullmatch(guess) else "shop:app, for `app = App(…)` in shop.py"


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise  # the module is there, it imports something that is not
        raise Usage(f"no module '{name}' in {here} or among the installed packages", fix=suggestion()) from None


def _pick(module: ModuleType, module_name: str, name: str | None) -> App:
    apps = [key for key, value in vars(module).items() if isinstance(value, App)]
    if name is None and len(apps) == 1:
        name = apps[0]
    found = getattr(module, name, None) if name else None
    if isinstance(found, App):
        return found
    fix = " or ".join(f"--app {module_name}:{key}" for key in apps) or f'write `app = App("…")` in {module_name}'
    if name is None:
        raise Usage(f"{module_name} has {len(apps) or 'no'} apps: which one?", fix=fix)
    if not hasattr(module, name):
        raise Usage(f"{module_name} has no '{name}'", fix=fix)
    what = "class" if isinstance(found, type) else type(found).__name__
    raise Usage(f"{module_name}:{name} is a {what}, not an App", fix=fix)


def suggestion() -> str:
    """What to write for the apps that the files of this folder declare, found without running them."""
    specs = [f"--app {path.stem}:{m['name']}" for path in sorted(Path().glob("*.py")) for m in _DECLARED.finditer(_read(path))]
    if specs:
        return " or ".join(specs[:5])
    return "go to the folder of your service and say --app module:name, such as shop:app for `app = App(…)` in shop.py"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
