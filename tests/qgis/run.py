#!/usr/bin/env python3
"""Runs the tests of the QGIS plugin against the installed QGIS, from the plugin's ZIP.

    UNCLOUDED_BINARY=target/release/unclouded python3 tests/qgis/run.py [test_name ...]

Packs the ZIP with that program, unpacks it into an empty profile as QGIS does, and runs every
test_*.py beside this file in a process of its own. Exit code 1 if a test fails.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
INSTALLER = "/usr/share/qgis/python"


def main():
    binary = Path(os.environ.get("UNCLOUDED_BINARY", REPO / "target/release/unclouded"))
    binary = binary.resolve()
    if not binary.is_file():
        sys.exit(f"error: no program at {binary}\nhint: set UNCLOUDED_BINARY")
    with tempfile.TemporaryDirectory(prefix="unclouded-qgis-") as folder:
        dist = Path(folder) / "dist"
        packer = REPO / "qgis-plugin" / "package_plugin.py"
        subprocess.run(
            [sys.executable, packer, "--binary", binary, "--out", dist], check=True
        )
        names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("test_*.py"))
        failed = []
        for name in names:
            environment = prepare(Path(folder) / name, dist, binary)
            print(f"-- {name}", flush=True)
            began = time.monotonic()
            code = subprocess.run(
                [sys.executable, "-m", "unittest", "-v", name],
                cwd=HERE,
                env=environment,
                check=False,
            ).returncode
            if code:
                failed.append(name)
            took = time.monotonic() - began
            print(f"-- {name}: {'FAILED' if code else 'ok'}, {took:.0f} s", flush=True)
    print(f"QGIS tests: {len(names) - len(failed)} of {len(names)} files passed")
    return 1 if failed else 0


def prepare(folder, dist, binary):
    """An empty profile with the plugin from its ZIP in it; returns the environment of a test."""
    profile = folder / "home" / "profiles" / "default"
    plugins = profile / "python" / "plugins"
    plugins.mkdir(parents=True)
    # QGIS's own unpacker, which 'Install from ZIP' uses: it forgets the files' permissions.
    unpack = (
        f"import sys; sys.path.insert(0, {INSTALLER!r})\n"
        "import importlib.util as u\n"
        f"s = u.spec_from_file_location('unzip', {INSTALLER!r} + '/pyplugin_installer/unzip.py')\n"
        "m = u.module_from_spec(s); s.loader.exec_module(m)\n"
        "m.unzip(sys.argv[1], sys.argv[2])\n"
    )
    archive = dist / "unclouded_qgis.zip"
    subprocess.run([sys.executable, "-c", unpack, archive, plugins], check=True)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    environment = dict(os.environ)
    # The tests find the program that came in the ZIP, as a user's QGIS does.
    environment.pop("UNCLOUDED_BINARY", None)
    environment.update(
        HOME=str(folder / "home"),
        QGIS_CUSTOM_CONFIG_PATH=str(folder / "home"),
        XDG_RUNTIME_DIR=str(runtime),
        QT_QPA_PLATFORM="offscreen",
        LC_ALL="C.UTF-8",
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH=os.pathsep.join([INSTALLER, f"{INSTALLER}/plugins", str(plugins)]),
        UNCLOUDED_TEST_PROFILE=str(profile),
        UNCLOUDED_TEST_PROGRAM=str(binary),
        UNCLOUDED_TEST_DIST=str(dist),
    )
    return environment


if __name__ == "__main__":
    sys.exit(main())
