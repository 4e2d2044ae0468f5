"""The plugin itself: provider, menu, settings page and translation, and taking them away again."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QTranslator
from qgis.PyQt.QtGui import QIcon

from . import loader
from .algorithm import ICON
from .compat import tr
from .provider import UncloudedProvider

MENU = "unclouded"
OPTIONS_PAGE = "mOptionsPageUnclouded"


class UncloudedPlugin:
    """Loaded by QGIS, and by qgis_process without a user interface.

    Args:
        iface: QgisInterface; None in qgis_process.
    """

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.actions = []
        self.options = None
        self.translator = None
        self._translate()

    def _translate(self):
        locale = str(QgsSettings().value("locale/userLocale", "en_US") or "en_US")
        folder = Path(__file__).resolve().parent / "i18n"
        for name in (locale, locale[:2]):
            file = folder / f"unclouded_{name}.qm"
            if file.exists():
                self.translator = QTranslator()
                self.translator.load(str(file))
                QCoreApplication.installTranslator(self.translator)
                return

    def initProcessing(self):
        """Add the algorithms; qgis_process calls only this."""
        if self.provider is None:
            self.provider = UncloudedProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add the algorithms, the menu and the settings page."""
        try:
            from qgis.PyQt.QtGui import QAction  # Qt 6
        except ImportError:
            from qgis.PyQt.QtWidgets import QAction

        from . import sample
        from .options_page import OptionsFactory

        self.initProcessing()
        icon = QIcon(str(ICON))
        for text, slot in (
            (tr("Remove clouds…"), self.open_dialog),
            (tr("Try it: a sample scene"), lambda: sample.open_sample(self.iface)),
            (tr("Settings…"), self.open_settings),
        ):
            action = QAction(icon, text, self.iface.mainWindow())
            action.triggered.connect(lambda _checked=False, run=slot: run())
            self.iface.addPluginToRasterMenu(MENU, action)
            self.actions.append(action)
        self.options = OptionsFactory()
        self.iface.registerOptionsWidgetFactory(self.options)

    def unload(self):
        """Take everything away that was added."""
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
            action.deleteLater()
        self.actions = []
        if self.options is not None:
            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
        if self.provider is not None:
            # The registry deletes the provider.
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QCoreApplication.removeTranslator(self.translator)
            self.translator = None
        loader.clean()

    def open_dialog(self):
        """The dialog of 'Remove clouds', with the active raster as its scene."""
        from qgis.core import QgsRasterLayer

        from . import sample

        layer = self.iface.activeLayer()
        chosen = {"INPUT": layer} if isinstance(layer, QgsRasterLayer) else {}
        sample.open_dialog("unclouded:removeclouds", chosen)

    def open_settings(self):
        """Our page of Settings > Options."""
        self.iface.showOptionsDialog(self.iface.mainWindow(), OPTIONS_PAGE)
