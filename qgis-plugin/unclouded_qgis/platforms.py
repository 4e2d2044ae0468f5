"""The name of this platform's folder in bin/; knows nothing of QGIS, the packer uses it too."""

# SPDX-License-Identifier: GPL-2.0-or-later

import platform
import sys


def platform_folder():
    """For instance linux-x86_64, windows-x86_64, macos-arm64."""
    system = {"linux": "linux", "darwin": "macos", "win32": "windows"}.get(
        sys.platform, sys.platform
    )
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)
    return f"{system}-{machine}"


def program_name():
    """The program's file name here."""
    return "unclouded.exe" if sys.platform == "win32" else "unclouded"
