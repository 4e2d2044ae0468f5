"""What the tests of the QGIS plugin share: an empty profile with the plugin from its ZIP in it.

The environment says where things are (see run.py):
UNCLOUDED_TEST_PROFILE, the profile; UNCLOUDED_TEST_PROGRAM, the program to compare with.
"""

import json
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

from osgeo import gdal

REPO = Path(__file__).resolve().parent.parent.parent
DEMO = REPO / "tests" / "data" / "demo"
SCENE = DEMO / "punjab_20200823.tif"
MASK = DEMO / "punjab_20200823_mask.tif"
PROFILE = Path(os.environ["UNCLOUDED_TEST_PROFILE"])
PROGRAM = os.environ["UNCLOUDED_TEST_PROGRAM"]
PLUGIN = PROFILE / "python" / "plugins" / "unclouded_qgis"
QGIS_PYTHON = "/usr/share/qgis/python"
# Enough to compute, quick enough for many tests.
QUICK = {"SAMPLES": 1, "STEPS": 1, "SEED": 3}

gdal.UseExceptions()


def program(*words, check=True):
    """Run the program itself."""
    return subprocess.run(
        [PROGRAM, *map(str, words)], check=check, capture_output=True, text=True
    )


def has(command, option):
    """Whether the program has an option, or one of its values as in "--write=texture"."""
    answer = json.loads(program("capabilities", "--json").stdout)
    option, _, value = option.partition("=")
    values = answer["commands"][command].get(option)
    return values is not None and (not value or value in values)


def outside():
    """The environment for a QGIS of its own: it finds plugins by itself."""
    return {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}


def qgis_process(*words, **environment):
    """Run qgis_process with the test's profile; returns the finished process."""
    return subprocess.run(
        ["qgis_process.bin", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env={**outside(), **environment},
    )


def pixels(path, band=None):
    """All bands of a raster, or one, as an array."""
    dataset = gdal.Open(str(path))
    return (dataset.GetRasterBand(band) if band else dataset).ReadAsArray()


def crop(path, target, window):
    """A part (col, row, width, height) of a raster, so that a test is quick."""
    gdal.Translate(str(target), str(path), srcWin=list(window))
    return Path(target)


def children(of=None):
    """Processes that one, this one by default, has started and that still run: (pid, name)."""
    found, of = [], of or os.getpid()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        if int(parent) == of and state != "Z":
            found.append((int(folder.name), name))
    return found


def fake_program(folder, behaviour):
    """A program that answers like the real one but behaves as told when it has to work.

    Args:
        behaviour: lines of Python that run instead of `restore`.
    """
    path = Path(folder) / "unclouded-fake"
    path.write_text(
        "#!/usr/bin/python3\n"
        "import json, os, signal, sys, time\n"
        f"REAL = {PROGRAM!r}\n"
        "if sys.argv[1:2] != ['restore'] or '--help' in sys.argv:\n"
        "    os.execv(REAL, ['unclouded', *sys.argv[1:]])\n"
        "def say(**line):\n"
        "    print(json.dumps(line), flush=True)\n" + behaviour
    )
    path.chmod(0o755)
    return str(path)


def older_program(folder, newer, word):
    """The real program as it was before an option or one of its values.

    Args:
        newer: the option, or the option's value as in "--write=texture", it then did not name.
        word: the argument it then did not understand.
    """
    path = Path(folder) / "unclouded-older"
    path.write_text(
        "#!/usr/bin/python3\n"
        "import json, os, subprocess, sys\n"
        f"REAL, NEWER, WORD = {PROGRAM!r}, {newer!r}, {word!r}\n"
        "if sys.argv[1:] == ['capabilities', '--json']:\n"
        "    found = json.loads(subprocess.check_output([REAL, *sys.argv[1:]], text=True))\n"
        "    options = found['commands']['restore']\n"
        "    option, _, value = NEWER.partition('=')\n"
        "    options[option].remove(value) if value else options.pop(option)\n"
        "    print(json.dumps(found))\n"
        "elif WORD in sys.argv:\n"
        "    sys.exit(f'error: unexpected {WORD}')\n"
        "else:\n"
        "    os.execv(REAL, ['unclouded', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return str(path)


def start_qgis():
    """A QGIS without windows, with Processing and the plugin, for tests in this process."""
    from qgis.core import QgsApplication

    application = QgsApplication([], False)
    application.initQgis()
    # Our own warnings are failures; those of QGIS and GDAL are not ours to mend.
    warnings.filterwarnings("error", module=r"unclouded_qgis")
    from processing.core.Processing import Processing

    Processing.initialize()
    import unclouded_qgis

    plugin = unclouded_qgis.classFactory(None)
    plugin.initProcessing()
    return application, plugin


class Folder:
    """A temporary folder with an awkward name: a space and letters beyond ASCII."""

    def __enter__(self):
        self.outer = tempfile.mkdtemp(prefix="unclouded-test-")
        inner = Path(self.outer) / "möst räste®s 雲"
        inner.mkdir()
        return inner

    def __exit__(self, *_):
        shutil.rmtree(self.outer)


def result_lines(output):
    """The Results section of qgis_process as a dictionary."""
    section = output.partition("Results")[2]
    pairs = (line.partition(":\t") for line in section.splitlines() if ":\t" in line)
    return {name: value for name, _, value in pairs}


def dump(path, value):
    """Write JSON for another process of the test."""
    Path(path).write_text(json.dumps(value), encoding="utf-8")
