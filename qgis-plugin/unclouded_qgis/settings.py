"""What the user set once: the program's path, the device, the bound on memory."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import QgsSettings

GROUP = "unclouded"
DEVICES = ("auto", "cpu", "gpu")


def binary():
    """Path of the program the user chose; empty for the one that came with the plugin."""
    return str(QgsSettings().value(f"{GROUP}/binary", "") or "").strip()


def device():
    """Where to compute unless a run says otherwise: auto, cpu or gpu."""
    chosen = QgsSettings().value(f"{GROUP}/device", DEVICES[0])
    return chosen if chosen in DEVICES else DEVICES[0]


def memory_mb():
    """Most megabytes a run may need by its own forecast; 0 for no bound."""
    try:
        return max(0, int(QgsSettings().value(f"{GROUP}/memory_mb", 0)))
    except (TypeError, ValueError):
        return 0


def save(binary, device, memory_mb):
    """Keep the settings in the user's profile."""
    settings = QgsSettings()
    settings.setValue(f"{GROUP}/binary", binary.strip())
    settings.setValue(f"{GROUP}/device", device)
    settings.setValue(f"{GROUP}/memory_mb", int(memory_mb))
