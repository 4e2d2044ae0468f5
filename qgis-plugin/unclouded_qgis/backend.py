"""Finds the `unclouded` program, checks its version and learns what it can do."""

# SPDX-License-Identifier: GPL-2.0-or-later

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import loader, settings
from .compat import tr
from .platforms import platform_folder, program_name

LEAST_VERSION = (0, 1, 0)
# Versions of what the program tells about itself and of its lines that this plugin understands.
CAPABILITIES = 1
PROTOCOL = 1
# A program that only prints its version and takes longer than this is not ours.
ANSWER_SECONDS = 30
PLUGIN = Path(__file__).resolve().parent

_known = {}


class BackendError(Exception):
    """There is no program that can be used; the text says why and what to do."""


@dataclass(frozen=True)
class Backend:
    """A program that was started once and answered.

    Attributes:
        path: where it is.
        version: as it says, e.g. "0.1.0".
        options: long options by command, and those with each value they may have,
            e.g. {"restore": {"--mask", "--write", "--write=mean", ...}}.
        environment: variables it needs beyond ours.
        models: names of the models it has, its default first.
    """

    path: str
    version: str
    options: dict
    environment: dict
    models: tuple

    def can(self, command, *options):
        """Whether it has the command with all these options."""
        return command in self.options and set(options) <= self.options[command]

    def require(self, what, command, *options):
        """Raises BackendError unless it can; `what` is the wish in the user's words."""
        if self.can(command, *options):
            return
        raise BackendError(
            tr("{what} needs a newer unclouded than {version} ({path}).").format(
                what=what, version=self.version, path=self.path
            )
            + "\n"
            + tr(
                "Hint: install the newest plugin ZIP, or name a newer program in "
                "Settings > Options > unclouded."
            )
        )


def candidates():
    """Paths to try, best first: the environment, the settings, the plugin, PATH, cargo's folder.

    A path that the user chose is the only one: falling back to another program behind their
    back would hide a typing error.
    """
    for chosen in (os.environ.get("UNCLOUDED_BINARY", ""), settings.binary()):
        if chosen:
            return [os.path.expanduser(chosen)]
    name = program_name()
    cargo = os.environ.get("CARGO_HOME") or os.path.join(
        os.path.expanduser("~"), ".cargo"
    )
    found = [
        str(PLUGIN / "bin" / platform_folder() / name),
        shutil.which(name),
        os.path.join(cargo, "bin", name),
    ]
    return [path for path in found if path and os.path.isfile(path)]


def find():
    """The program to use.

    Returns:
        A Backend. Programs are asked once and remembered until their file changes.

    Raises:
        BackendError: none was found, or none of those found can be used.
    """
    paths = candidates()
    if not paths:
        raise BackendError(
            tr(
                "The program unclouded was not found: not in the plugin ({folder}), not in PATH."
            ).format(folder=PLUGIN / "bin" / platform_folder())
            + "\n"
            + tr(
                "Hint: install the plugin ZIP that contains it, or install the program "
                "(cargo install --path qgis-plugin) and name it in "
                "Settings > Options > unclouded."
            )
        )
    problem = None
    for path in paths:
        try:
            return ask(path)
        except BackendError as error:
            problem = problem or error
    raise problem


def ask(path):
    """Start the program at `path` and learn its version and options; see `find`."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise BackendError(
            tr("The program unclouded is not at {path} ({reason}).").format(
                path=path, reason=error.strerror
            )
            + "\n"
            + tr("Hint: correct its path in Settings > Options > unclouded.")
        ) from None
    key = (path, state.st_mtime_ns, state.st_size)
    if key not in _known:
        _known[key] = _ask(path, state)
    return _known[key]


def _ask(path, state):
    if not stat.S_ISREG(state.st_mode):
        raise BackendError(tr("{path} is not a program.").format(path=path))
    _make_executable(path)
    environment = {}
    code, text = _run([path, "--version"], environment)
    if code != 0 and loader.missing_gdal(text):
        environment = loader.environment(text)
        code, text = _run([path, "--version"], environment)
    match = re.search(r"unclouded\S* (\d+)\.(\d+)\.(\d+)(\S*)", text)
    if code != 0 or not match:
        raise BackendError(
            tr("{path} does not answer as unclouded does: {answer}").format(
                path=path, answer=_short(text) or tr("exit code {}").format(code)
            )
            + "\n"
            + loader.hint(text)
        )
    numbers = tuple(int(number) for number in match.groups()[:3])
    version = ".".join(match.groups()[:3]) + match.group(4)
    if numbers < LEAST_VERSION:
        raise BackendError(
            tr("{path} is unclouded {found}; this plugin needs {wanted}.").format(
                path=path, found=version, wanted=".".join(map(str, LEAST_VERSION))
            )
        )
    options, models = _capabilities(path, environment)
    return Backend(path, version, options, environment, models)


def _capabilities(path, environment):
    """What the program says that it can do: options by command, and its models."""
    code, text = _run([path, "capabilities", "--json"], environment, subprocess.DEVNULL)
    try:
        found = json.loads(text)
        known = found["format"] == CAPABILITIES and found["protocol"] == PROTOCOL
        options = {
            command: frozenset(
                word
                for option, values in of_command.items()
                for word in (option, *(f"{option}={value}" for value in values))
            )
            for command, of_command in found["commands"].items()
        }
        models = tuple(found["models"])
    except (ValueError, TypeError, KeyError, AttributeError):
        code, known = code or 1, True
    if code != 0:
        raise BackendError(
            tr("{path} does not answer as unclouded does: {answer}").format(
                path=path, answer=_short(text) or tr("exit code {}").format(code)
            )
        )
    if not known:
        raise BackendError(
            tr(
                "{path} is a newer unclouded than this plugin understands: update the plugin."
            ).format(path=path)
        )
    return options, models


def _make_executable(path):
    """QGIS unpacks ZIP files without their permissions."""
    if sys.platform == "win32" or os.access(path, os.X_OK):
        return
    try:
        os.chmod(path, os.stat(path).st_mode | 0o111)
    except OSError as error:
        raise BackendError(
            tr("{path} may not be executed ({reason}).").format(
                path=path, reason=error.strerror
            )
            + "\n"
            + tr("Hint: chmod +x, as the user that owns it.")
        ) from None


def _run(command, environment, errors=subprocess.STDOUT):
    """Exit code and output of a short run; never raises for a program that misbehaves."""
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            timeout=ANSWER_SECONDS,
            env={**os.environ, **environment},
            check=False,
            **no_window(),
        )
    except subprocess.TimeoutExpired:
        return -1, tr("no answer within {} s").format(ANSWER_SECONDS)
    except OSError as error:
        return -1, str(error)
    return answer.returncode, answer.stdout.decode("utf-8", "replace")


def no_window():
    """Arguments for subprocess that keep Windows from opening a console."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return {"creationflags": flags} if flags else {}


def _short(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:3])[:400]
