"""Lets a program that was linked to another version of GDAL run with the GDAL of this QGIS.

The program uses GDAL's C interface only, which newer versions extend and do not change. What
differs between distributions is the file's name (libgdal.so.32, libgdal.so.34, ...), so a folder
with a link of the wanted name is enough, and nothing has to be installed.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

import atexit
import os
import re
import sys
import tempfile

from .compat import tr

_folders = {}


def missing_gdal(text):
    """The name of the GDAL library the dynamic linker did not find, or None."""
    match = re.search(r"(libgdal\.so\.\d+): cannot open shared object file", text or "")
    return match.group(1) if match else None


def loaded_gdal(maps="/proc/self/maps"):
    """Path of the GDAL library that this process runs, or None."""
    try:
        with open(maps, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                path = line.rstrip("\n").partition("/")[2]
                if re.search(r"/libgdal\.so(\.\d+)*$", "/" + path):
                    return "/" + path
    except OSError:
        pass
    return None


def environment(text):
    """Variables that let the program find a GDAL after all; empty if there is no way.

    Args:
        text: what the dynamic linker said.
    """
    wanted, present = missing_gdal(text), loaded_gdal()
    if not (wanted and present and sys.platform.startswith("linux")):
        return {}
    key = (wanted, present)
    if key not in _folders:
        folder = tempfile.TemporaryDirectory(prefix="unclouded-gdal-")
        os.symlink(present, os.path.join(folder.name, wanted))
        _folders[key] = folder
        # Registered last, so called first: before Python complains that nobody did it.
        atexit.register(clean)
    paths = [_folders[key].name, os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(path for path in paths if path)}


def clean():
    """Remove the folders of links."""
    while _folders:
        _folders.popitem()[1].cleanup()


def hint(text):
    """What to do about a program that did not start."""
    library = re.search(r"(lib\S+): cannot open shared object file", text or "")
    if library:
        return tr(
            "Hint: it was built for another system and misses {}; build it for this one "
            "(cargo install --path qgis-plugin)."
        ).format(library.group(1))
    if "GLIBC" in (text or ""):
        return tr(
            "Hint: it was built for a newer system; build it for this one "
            "(cargo install --path qgis-plugin)."
        )
    return tr("Hint: correct its path in Settings > Options > unclouded.")
