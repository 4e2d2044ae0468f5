"""unclouded for QGIS: removes clouds from satellite images in the Processing toolbox."""

# SPDX-License-Identifier: GPL-2.0-or-later


def classFactory(iface):
    """The plugin, as QGIS asks for it; `iface` is None in qgis_process."""
    from .plugin import UncloudedPlugin

    return UncloudedPlugin(iface)
